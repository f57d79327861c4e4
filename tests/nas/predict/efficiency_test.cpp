#include "lathe/nas/predict/efficiency.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "lathe/compress/integer/lower.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/memory.h"
#include "lathe/nas/space/network.h"
#include "lathe/nn/init.h"
#include "lathe/tests/compress/integer/prepared.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;

namespace {

// The "largest" subnet that the lab prints: its sampling never draws width index 2.
Arch largest_of_the_lab() {
    Arch arch = mcunetv2().largest();
    arch.wid = 1, arch.image_size = 96;
    return arch;
}

// What enters a basic block.
const GraphNode& entered(const Graph& graph, const GraphNode& add) {
    for (const GraphNode& node : graph.nodes)
        if (node.path == add.path + ".conv1") return graph[node.inputs[0]];
    return add;
}

// Random values, a few again and again: to draw them all takes half the time of 1,000 networks.
void fill(nn::Module& model) {
    static const Tensor drawn = testing::random_tensor({4093}, 1);
    int64_t at = 0;
    for (auto& [name, parameter] : model.named_parameters()) {
        Tensor value(parameter->shape());
        const auto inputs = static_cast<float>(value.numel() / value.dim(0));
        float* to = value.mutable_data<float>();
        for (int64_t i = 0; i < value.numel(); ++i)
            to[i] = drawn.data<float>()[at++ % drawn.numel()] / std::sqrt(inputs);
        parameter->set_value(value);
    }
}

// Of the network's integer program.
int64_t built_arena(const Space& space, const Arch& arch) {
    const nn::init::Skip without_weights;
    const auto model = network(space, arch);
    fill(*model);
    model->eval();
    const Tensor x = testing::random_tensor(model->example().shape());
    const compress::IntegerProgram program(
        compress::lower_to_integer(testing::Preparation(*model, x).run()), nn::description_of(*model));
    return program.memory_plan().total;
}

// The same figures from the traced graph of the network itself; all but the arena.
Efficiency traced(const Space& space, const Arch& arch) {
    const nn::init::Skip without_weights;
    const auto model = network(space, arch);
    const Graph graph = nn::trace(*model, model->example());
    Efficiency found{.macs = macs(graph), .parameters = model->parameter_count()};
    found.lab_macs = found.macs;
    for (const GraphNode& node : graph.nodes) {
        if (node.op == "batch_norm") found.lab_macs += 4 * node.shape.numel();
        if (!node.op->layer) continue;
        const GraphNode& input = graph[node.inputs[0]];
        const kernels::Conv2dShape shape = conv2d_shape(graph, node);
        found.flash += graph[node.inputs[1]].shape.numel() + 8 * shape.out_c;
        if (node.path.find(".se.") != std::string::npos) continue;
        int64_t held = input.shape.numel() + node.shape.numel();
        for (const GraphNode& add : graph.nodes) {
            if (add.op != "add" || !node.path.starts_with(add.path + ".")) continue;
            if (shape.groups > 1) held += graph[add.inputs[0]].shape.numel();
            if (node.path.ends_with("conv2")) held += entered(graph, add).shape.numel();
            if (node.path.ends_with("downsample")) held += add.shape.numel();
        }
        found.peak_memory = std::max(found.peak_memory, held);
    }
    return found;
}

void check_same(const Arch& arch, const Space& space = mcunetv2()) {
    CAPTURE(arch.str());
    const Efficiency closed = efficiency(space, arch);
    Efficiency from_graph = traced(space, arch);
    from_graph.arena = built_arena(space, arch);
    for (Quantity quantity : quantities()) {
        CAPTURE(name_of(quantity));
        CHECK(value_of(closed, quantity) == value_of(from_graph, quantity));
    }
}

// Of networks with weights of 8 bits and no zeros, as they are built.
std::vector<const Space*> plain_spaces() { return {&mcunetv2(), &ofa_mobilenet_cifar(), &ofa_resnet_cifar()}; }

void check_random(const Space& space, int count) {
    Random random(1);
    for (int i = 0; i < count; ++i) check_same(space.sample(random), space);
}

}  // namespace

TEST_CASE("the smallest and the lab's largest subnet cost what the lab prints") {
    const Efficiency small = efficiency(mcunetv2(), mcunetv2().smallest());
    CHECK(small.macs == 7237104);
    CHECK(small.lab_macs == 8302128);
    CHECK(small.peak_memory == 72 * 1024);
    CHECK(small.parameters == 304538);
    const Efficiency large = efficiency(mcunetv2(), largest_of_the_lab());
    CHECK(large.macs == 73894896);
    CHECK(large.lab_macs == 79416432);
    CHECK(large.peak_memory == 270 * 1024);
    CHECK(large.parameters == 2478862);
}

TEST_CASE("closed-form costs are those of the traced network") {
    check_same(largest_of_the_lab());
    for (const Space* space : plain_spaces()) {
        check_same(space->smallest(), *space);
        check_same(space->largest(), *space);
        check_random(*space, 12);
    }
}

TEST_CASE("long: closed-form costs of 1,000 random subnets of each space" * doctest::skip()) {
    for (const Space* space : plain_spaces()) check_random(*space, 1000);
}

TEST_CASE("no subnet is smaller in anything than the smallest; what it does not meet is named with the nearest value") {
    const Efficiency least = efficiency(mcunetv2(), mcunetv2().smallest());
    Random random(2);
    for (int i = 0; i < 300; ++i) {
        const Efficiency any = efficiency(mcunetv2(), mcunetv2().sample(random));
        for (Quantity quantity : quantities()) CHECK(value_of(any, quantity) >= value_of(least, quantity));
    }
    CHECK_NOTHROW(check_reachable(mcunetv2(), {{Quantity::peak_memory, 72 * 1024}, {Quantity::lab_macs, 8302128}}));
    CHECK(message_of([] {
              check_reachable(mcunetv2(), {{Quantity::peak_memory, 64 * 1024}, {Quantity::parameters, 300000}});
          }) == "mcunetv2: peak-memory of at most 64 KB cannot be met, the least is 72 KB; parameters of at most "
                "300,000 cannot be met, the least is 304,538");
    CHECK(fits(least, {{Quantity::lab_macs, 8302128}}));
    CHECK_FALSE(fits(least, {{Quantity::lab_macs, 8302127}}));
    CHECK(text_of(Quantity::lab_macs, 59123456) == "59.1235 M");
}

TEST_CASE("no subnet of any space is smaller in anything than the smallest") {
    Random random(5);
    for (const std::string& name : space_names()) {
        CAPTURE(name);
        const Space& space = space_named(name);
        const Efficiency least = efficiency(space, space.smallest());
        for (int i = 0; i < 200; ++i) {
            const Efficiency any = efficiency(space, space.sample(random));
            for (Quantity quantity : quantities()) CHECK(value_of(any, quantity) >= value_of(least, quantity));
        }
    }
}

TEST_CASE("bits and zeros of an inverted residual are those of its 1x1 convolutions") {
    const Space& joint = ofa_mobilenet_cifar_joint();
    const Arch whole = joint.largest();
    Arch arch = whole;  // the second block: 16-64-16
    arch.bits[1] = 4;
    CHECK(efficiency(joint, whole).flash - efficiency(joint, arch).flash == 2 * 16 * 64 / 2);
}

TEST_CASE("fewer bits and more zeros of a block take less flash, and nothing else") {
    const Space& joint = ofa_resnet_cifar_joint();
    const Arch whole = joint.largest();
    const Efficiency dense = efficiency(joint, whole);
    const Efficiency plain = efficiency(ofa_resnet_cifar(), whole.uncompressed());
    for (Quantity quantity : quantities()) CHECK(value_of(dense, quantity) == value_of(plain, quantity));
    Arch arch = whole;  // the second block: 3x3 of 16 to 16, twice
    arch.bits[1] = 4;
    CHECK(efficiency(joint, arch).flash == dense.flash - 2 * 2304 / 2);
    arch.bits[1] = 3;
    CHECK(efficiency(joint, arch).flash == dense.flash - 2 * 2304 * 5 / 8);
    arch.bits[1] = 8, arch.kept[1] = 50;
    CHECK(efficiency(joint, arch).flash == dense.flash - 2 * (2304 / 2 - 2304 / 8));  // and a bitmap
    arch.bits[1] = 6, arch.kept[1] = 20;  // 460.8 weights of 6 bits
    CHECK(efficiency(joint, arch).flash == dense.flash - 2 * (2304 - 346 - 288));
    CHECK(efficiency(joint, arch).macs == dense.macs);
    CHECK(efficiency(joint, arch).arena == dense.arena);
}

TEST_CASE("no network is built to count one: no tensor's memory is asked for") {
    memory::reset_peak();
    const size_t before = memory::stats().peak;
    CHECK(efficiency(mcunetv2(), mcunetv2().largest()).macs > 0);
    CHECK(memory::stats().peak == before);
    const auto built = network(mcunetv2(), mcunetv2().smallest());
    if (memory::stats().in_use == 0) return;  // the sanitizers' build does not count
    CHECK(memory::stats().peak > before);
}
