#include "lathe/nas/elastic/supernet.h"

#include <doctest/doctest.h>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/memory.h"
#include "lathe/data/resize.h"
#include "lathe/data/shapes.h"
#include "lathe/data/transforms.h"
#include "lathe/nas/elastic/space_supernet.h"
#include "lathe/nas/space/network.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/compress/integer/prepared.h"
#include "lathe/tests/nas/elastic/own_network.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;
using lathe::testing::own_supernet;
using lathe::testing::random_tensor;
using lathe::testing::same;

namespace {

data::Dataset pictures(int64_t count) { return data::shapes(data::Split::train, {.count = count}); }

// What is calibrated on a few pictures.
template <class Net>
std::unique_ptr<Net> ready(std::unique_ptr<Net> net) {
    net->calibrate_on(pictures(20), {.count = 20, .batch = 10});
    net->eval();
    return net;
}

Tensor input_of(Supernet& net, int64_t count = 2) {
    return random_tensor({count, net.active_image_size(), net.active_image_size(), 3});
}

// Values that no two channels share, in statistics, too.
void disturb(nn::Module& net) {
    uint64_t next = 1;
    for (const auto& [name, parameter] : net.named_parameters()) {
        Tensor value = parameter->mutable_value();
        const Tensor noise = random_tensor(value.shape(), next++);
        for (int64_t i = 0; i < value.numel(); ++i) value.mutable_data<float>()[i] += 0.1f * noise.data<float>()[i];
    }
}

const nn::BatchNorm& norm_named(nn::Module& net, const std::string& wanted) {
    const nn::BatchNorm* found = nullptr;
    for (const auto& [name, module] : net.named_modules())
        if (name == wanted) found = dynamic_cast<const nn::BatchNorm*>(module);
    REQUIRE(found);
    return *found;
}

void check_extracted(Supernet& net, const Subnet& subnet) {
    CAPTURE(net.str(subnet));
    net.use(subnet);
    const Tensor x = input_of(net), inside = net(x).value();
    const auto model = net.extract(subnet);
    model->eval();
    CHECK(same((*model)(x).value(), inside));
    const auto loaded = nn::from_file(nn::to_file(*model), "subnet");
    loaded->eval();
    CHECK(same((*loaded)(x).value(), inside));
    CHECK(loaded->metadata.at("arch") == net.str(subnet));
}

}  // namespace

TEST_CASE("a supernet of one's own: the choices are followed through the network, every subnet can be taken out") {
    seed(1);
    const auto net = ready(own_supernet());
    disturb(*net);
    CHECK(net->str(net->smallest()) ==
          "{\"image_size\":24,\"stem.0\":8,\"blocks\":1,\"blocks.0.conv.0.0\":32,\"blocks.0.conv.1.0\":3,"
          "\"blocks.1.conv.0.0\":32,\"blocks.1.conv.1.0\":3,\"blocks.2.conv.0.0\":32,\"blocks.2.conv.1.0\":3}");
    CHECK(net->active() == net->largest());
    const auto smallest = net->extract(net->smallest());
    std::map<std::string, Shape> shapes;
    for (const auto& [name, parameter] : smallest->named_parameters()) shapes[name] = parameter->shape();
    CHECK(shapes.at("stem.0.weight") == Shape{8, 3, 3, 3});
    CHECK(shapes.at("blocks.0.conv.0.0.weight") == Shape{32, 1, 1, 8});
    CHECK(shapes.at("blocks.0.conv.1.0.weight") == Shape{32, 3, 3, 1});
    CHECK(shapes.at("blocks.0.conv.3.bias") == Shape{8});
    CHECK(shapes.at("fc.weight") == Shape{10, 8});
    CHECK_FALSE(shapes.contains("blocks.1.conv.0.0.weight"));
    CHECK(smallest->input_shape() == Shape{24, 24, 3});
    CHECK(net->active() == net->largest());
    Random random(3);
    check_extracted(*net, net->smallest());
    check_extracted(*net, net->largest());
    for (int i = 0; i < 4; ++i) check_extracted(*net, net->sample(random));
}

TEST_CASE("subnets of the design spaces are the networks that their archs stand for") {
    for (const std::string name : {"ofa-mobilenet-cifar", "ofa-resnet-cifar"}) {
        seed(2);
        const Space& space = space_named(name);
        const auto net = ready(std::make_unique<SpaceSupernet>(space));
        disturb(*net);
        Random random(4);
        for (int i = 0; i < 3; ++i) {
            const Arch arch = i ? space.sample(random) : space.smallest();
            const Subnet subnet = net->subnet(arch);
            CHECK(net->arch(subnet) == arch);
            check_extracted(*net, subnet);
            const auto extracted = net->extract(subnet), alone = network(space, arch);
            alone->load_state(extracted->state());
            alone->eval(), extracted->eval();
            const Tensor x = random_tensor({1, arch.image_size, arch.image_size, 3});
            CHECK(same((*alone)(x).value(), (*extracted)(x).value()));
            CHECK(arch_of(*extracted) == arch.str());
        }
    }
}

TEST_CASE("switching subnets makes no tensor, and weights that lose outputs only are views") {
    const auto net = own_supernet();
    const Subnet smallest = net->smallest(), largest = net->largest();
    memory::reset_peak();
    const size_t before = memory::stats().in_use;
    for (int i = 0; i < 3; ++i) net->use(smallest), net->use(largest);
    CHECK(memory::stats().peak == before);
    net->use(smallest);
    nn::Parameter& stem = *net->named_parameters("stem.0.weight")[0].second;
    CHECK(stem.effective().shape() == Shape{8, 3, 3, 3});
    CHECK(stem.effective().value().shares_storage(stem.value()));
}

TEST_CASE("a subnet is evaluated with statistics of its own, of the weights as they are, or not at all") {
    const auto net = own_supernet();
    net->eval();
    CHECK(message_of([&] { (*net)(input_of(*net)); }) ==
          "supernet: expected images to measure the statistics of a subnet on before it is evaluated (calibrate_on), "
          "got none");
    net->use(net->smallest());
    nn::Module& past_it = *net->named_modules()[1].second;
    CHECK(message_of([&] { past_it(input_of(*net)); })
              .find("expected running statistics when not training") != std::string::npos);

    net->calibrate_on(pictures(20), {.count = 20, .batch = 10});
    const nn::BatchNorm& stem = norm_named(*net, "stem.1");
    const Tensor x = input_of(*net), first = (*net)(x).value();
    const Tensor mean = stem.running_mean;
    REQUIRE(mean.shape() == Shape{8});
    net->use(net->largest()), (*net)(input_of(*net));
    CHECK(stem.running_mean.shape() == Shape{16});
    net->use(net->smallest());
    CHECK(same((*net)(x).value(), first));
    CHECK(stem.running_mean.shares_storage(mean));  // known, not measured again
    net->named_parameters("stem.0.weight")[0].second->mutable_value().mutable_data<float>()[0] += 1;
    (*net)(x);
    CHECK(stem.running_mean.at(0) != mean.at(0));
    CHECK(stem.running_mean.at(1) == mean.at(1));

    net->train();  // training moves no statistics
    const Tensor kept = stem.running_mean.clone();
    (*net)(x);
    CHECK(same(stem.running_mean, kept));
}

TEST_CASE("statistics are the mean of those of batches, each layer working with the batch's") {
    const auto net = own_supernet();
    const data::Dataset images = pictures(15);
    net->calibrate_on(images, {.count = 15, .batch = 10});
    net->use(net->smallest());
    net->calibrate();
    nn::Parameter& weight = *net->named_parameters("stem.0.weight")[0].second;
    const data::Dataset drawn = images.sample(15, 0);
    double expected[2]{};
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 10}, {10, 5}}) {
        std::vector<int64_t> indices;
        for (int64_t i = begin; i < begin + count; ++i) indices.push_back(i);
        const Tensor x = drawn.augmented(data::resize(24, 24)).batch(indices).input();
        const Tensor y = ops::conv2d(x, weight.effective().value(), {}, {.stride = 2, .padding = 1}).value();
        double mean = 0, square = 0;
        const int64_t n = y.numel() / 8;
        for (int64_t i = 0; i < n; ++i) mean += y.at(i * 8), square += y.at(i * 8) * y.at(i * 8);
        mean /= static_cast<double>(n);
        expected[0] += mean * static_cast<double>(count) / 15;
        expected[1] += (square - static_cast<double>(n) * mean * mean) / static_cast<double>(n - 1) *
                       static_cast<double>(count) / 15;
    }
    const nn::BatchNorm& stem = norm_named(*net, "stem.1");
    CHECK(stem.running_mean.at(0) == doctest::Approx(expected[0]).epsilon(1e-4));
    CHECK(stem.running_var.at(0) == doctest::Approx(expected[1]).epsilon(1e-4));
}

TEST_CASE("an update touches what the step's subnets used: the rest keeps its value without decay or momentum") {
    seed(5);
    const auto net = own_supernet();
    const auto optimizer = optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 0.1});
    const auto step = [&](const Subnet& subnet) {
        net->use(subnet);
        const Variable y = (*net)(input_of(*net));
        backward(y, Tensor::full(y.shape(), 1));
    };
    step(net->largest());
    optimizer->step(*net), net->zero_grad();  // everything has momentum now
    std::map<std::string, Tensor> momentum;
    for (const auto& [name, parameter] : net->named_parameters())
        if (parameter->slots().contains("momentum")) momentum[name] = parameter->slots().at("momentum").clone();
    std::map<std::string, Tensor> values;
    for (const auto& [name, parameter] : net->named_parameters()) values[name] = parameter->value().clone();

    Subnet wide = net->smallest();
    wide[1] = 12;  // of the stem, beside the smallest of all
    Subnet deep = net->smallest();
    deep[3] = 48;  // expanded channels of the first block
    step(wide), step(deep);
    optimizer->step(*net);
    for (const auto& [name, parameter] : net->named_parameters()) {
        CAPTURE(name);
        const Shape& s = parameter->shape();
        int64_t wrong = 0;
        const bool of_first = name.starts_with("blocks.0.") || !name.starts_with("blocks.");
        for (int64_t i = 0; i < parameter->value().numel(); ++i) {
            bool used = of_first && name.find("matrix") == std::string::npos;
            if (name == "blocks.0.conv.0.0.weight") {  // [64, 1, 1, 16]
                const int64_t out = i / 16, in = i % 16;
                used = (out < 32 && in < 12) || (out < 48 && in < 8);
            } else if (name == "blocks.0.conv.1.0.weight") {  // [64, 5, 5, 1]
                const int64_t y = i / 5 % 5, x = i % 5;
                used = i / 25 < 48 && y >= 1 && y < 4 && x >= 1 && x < 4;
            } else if (name == "stem.0.weight") {
                used = i / 27 < 12;
            } else if (name == "fc.weight") {
                used = i % 16 < 12;
            } else if (used && s.rank() == 1 && name != "fc.bias") {
                used = i < (name.find("conv.0.1") != std::string::npos || name.find("conv.1.1") != std::string::npos
                                ? 48 : 12);
            } else if (name == "blocks.0.conv.2.weight") {  // [16, 1, 1, 64]
                const int64_t out = i / 64, in = i % 64;
                used = (out < 12 && in < 32) || (out < 8 && in < 48);
            } else if (name == "blocks.0.conv.1.0.weight.5to3_matrix") {
                used = true;
            }
            wrong += (parameter->value().at(i) != values.at(name).at(i)) != used;
            if (!used && momentum.contains(name))
                wrong += parameter->slots().at("momentum").at(i) != momentum.at(name).at(i);
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("sorted channels leave the largest network what it is, and small subnets the channels that count") {
    seed(6);
    const auto net = ready(own_supernet());
    disturb(*net);
    const Tensor x = input_of(*net), before = (*net)(x).value();
    Reach all_but_channels = kWholeReach;
    for (Elastic kind : {Elastic::expansion, Elastic::width}) all_but_channels[static_cast<size_t>(kind)] = 1;
    net->sort_channels(net->smallest(all_but_channels), net->smallest());
    const Tensor after = (*net)(x).value();
    for (int64_t i = 0; i < after.numel(); ++i) CHECK(after.at(i) == doctest::Approx(before.at(i)).epsilon(1e-3));
    const Tensor project = net->named_parameters("blocks.0.conv.2.weight")[0].second->value();
    std::vector<double> importance(64);
    for (int64_t i = 0; i < project.numel(); ++i) importance[static_cast<size_t>(i % 64)] += std::abs(project.at(i));
    CHECK(std::is_sorted(importance.rbegin(), importance.rend()));
}

TEST_CASE("what cannot be elastic is named") {
    const auto net = own_supernet();
    const auto says = [&](auto f) { return message_of([&] { f(*net); }); };
    CHECK(says([](Supernet& s) { s.width("stam.0", {8, 16}); }) ==
          "supernet: no layer is called 'stam.0'; did you mean 'stem.0'?");
    CHECK(says([](Supernet& s) { s.width("fc", {5, 10}); }) ==
          "supernet: 'fc' cannot have fewer channels: it is the network's output");
    CHECK(says([](Supernet& s) { s.expansion("blocks.0.conv.2", {8, 16}); }) ==
          "supernet: 'blocks.0.conv.2' cannot have fewer channels: they are elastic already");
    CHECK(says([](Supernet& s) { s.kernel("fc", {3, 5}); }) == "supernet: expected a convolution, got 'fc'");
    CHECK(says([](Supernet& s) { s.depth("fc", {1}); }) == "supernet: expected a sequence of blocks, got 'fc'");
    CHECK(says([](Supernet& s) { s.image_size({32, 24}); }) ==
          "supernet: 'image_size': expected values that rise to 32");
    CHECK(says([](Supernet& s) { s.use({}); }) == "supernet: expected 9 choices, got 0");
    CHECK(says([](Supernet& s) {
              Subnet subnet = s.smallest();
              subnet[1] = 9;
              s.use(subnet);
          }) == "supernet: 'stem.0' cannot be 9");
}

TEST_CASE("a supernet's file is a model, too, and is read back with its subnets; other files are refused") {
    const TemporaryFolder folder;
    const std::string path = folder / "supernet.safetensors";
    seed(7);
    const auto net = ready(std::make_unique<SpaceSupernet>(ofa_resnet_cifar(), 3));
    disturb(*net);
    net->describe_images({"a", "b", "c"}, {});
    net->save(path);
    const auto again = ready(SpaceSupernet::load(path));
    CHECK(again->space().name == "ofa-resnet-cifar");
    CHECK(again->model().class_names == net->model().class_names);
    Random random(8);
    for (const Subnet& subnet : {net->largest(), net->sample(random)}) {
        net->use(subnet), again->use(subnet);
        const Tensor x = input_of(*net);
        CHECK(same((*net)(x).value(), (*again)(x).value()));
    }
    register_elastic_slice();
    CHECK(nn::load(path)->classes() == 3);
    const std::string plain = folder / "plain.safetensors";
    nn::save(*network(ofa_resnet_cifar(), ofa_resnet_cifar().smallest()), plain);
    CHECK(message_of([&] { SpaceSupernet::load(plain); }) ==
          plain + ": expected a supernet of `lathe nas train`, got another file");
    TensorFile file = read_safetensors(path);
    file.metadata["supernet"] = "ofa-mobilenet-cifar";
    write_safetensors(path, file);
    CHECK(message_of([&] { SpaceSupernet::load(path); }).starts_with(path + ": "));
}

TEST_CASE("from a supernet to a device: a subnet is pruned, prepared for quantized training and lowered to integers") {
    seed(9);
    const auto net = ready(std::make_unique<SpaceSupernet>(ofa_mobilenet_cifar()));
    const data::Dataset images = data::shapes(data::Split::train, {.count = 24}).augmented(data::resize(24, 24));
    const auto subnet = net->extract(net->smallest());
    compress::prune_magnitude(*subnet, {.sparsity = 0.5});
    const auto [quantized, report] = compress::prepare_quantization(*subnet, images);
    optim::Trainer(*quantized, optim::sgd({.lr = 1e-3})).fit(images, images, {.epochs = 1, .batch = 12});
    const compress::IntegerProgram program = compress::lower_to_integer(*quantized);
    quantized->eval();
    const Tensor x = images.batch({0, 1, 2}).input(), simulated = (*quantized)(x).value(), y = program(x);
    // Of 256 steps; each of some thirty layers may round a value the other way.
    CHECK(testing::largest_difference(simulated, y, program.net().output.scale) <= 8.01);
    const Tensor weight = quantized->named_parameters("features.first.0.weight")[0].second->effective().value();
    CHECK(weight.nonzeros() <= weight.numel() / 2);
}
