#include "lathe/compress/integer/lower.h"

#include <doctest/doctest.h>

#include "lathe/core/parallel.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/compress/integer/prepared.h"
#include "lathe/tests/compress/random_network.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using compress::IntegerProgram;
using compress::lower_to_integer;
using lathe::testing::Preparation;
using lathe::testing::random_network;
using lathe::testing::random_tensor;
using lathe::testing::values_of;

namespace {

double largest_difference(const Graph& prepared, const IntegerProgram& program, const Tensor& x) {
    const Tensor simulated = values_of(prepared, x)[static_cast<size_t>(prepared.output)];
    return lathe::testing::largest_difference(simulated, program(x), program.net().output.scale);
}

nn::Description about(const Shape& input, int64_t classes) {
    return {.architecture = "test", .options = {.classes = classes, .input = input}};
}

bool is_lowerable(uint64_t seed) {
    const auto net = random_network(seed);
    for (const GraphNode& node :
         fold(lathe::testing::with_plain_norms(nn::trace(*net, random_tensor({1, 8, 8, 3}, 1)))).nodes)
        if (node.op == "permute" || node.op->affine) return false;  // mixed pixels, norms that stand alone
    return true;
}

}  // namespace

TEST_CASE("random networks: execution in integers is what their simulation says, but for values at ties") {
    double largest = 0;
    int networks = 0;
    for (uint64_t seed = 1; seed <= 60; ++seed) {
        if (!is_lowerable(seed)) continue;
        INFO("network ", seed);
        const auto net = random_network(seed);
        net->eval();
        const Tensor x = random_tensor({6, 8, 8, 3}, seed);
        const Graph prepared = Preparation(*net, x, seed % 3 ? 8 : 4).run();
        prepared.check();
        const IntegerProgram program(lower_to_integer(prepared), about({8, 8, 3}, 5));
        const double difference = largest_difference(prepared, program, x);
        // A value within rounding errors of a tie goes to the other side, and what follows differs by its share.
        CHECK(difference <= 3.01);
        largest = std::max(largest, difference);
        ++networks;
    }
    CHECK(networks >= 30);
    MESSAGE(networks, " networks: outputs differ by ", largest, " steps at most");
}

TEST_CASE("networks of the zoo run in integers, alike for every instruction set, batch and number of threads") {
    for (const char* name :
         {"resnet20", "mobilenetv2", "mobilenetv1-025", "resnet8", "ds-cnn", "lenet5", "autoencoder"}) {
        INFO(std::string(name));
        const bool wide = std::string(name) == "mobilenetv2";
        const auto model = nn::make_model(name, {.width = wide ? 0.25 : 1, .input = wide ? Shape{16, 16, 3} : Shape{}});
        model->eval();
        const Tensor x = model->example(5);
        const Graph prepared = Preparation(*model, x).run();
        const IntegerProgram program(lower_to_integer(prepared), nn::description_of(*model));
        const double difference = largest_difference(prepared, program, x);
        MESSAGE(std::string(name), ": outputs differ by ", difference, " steps at most");
        CHECK(difference <= 4.01);
        const Tensor y = program(x);
        const int before = threads();
        set_threads(1);
        CHECK(lathe::testing::same(program(x), y));
        set_threads(before);
        CHECK(lathe::testing::same(program(x.rows(3, 1)), y.rows(3, 1).clone()));
        for_each_isa([&] { CHECK(lathe::testing::same(program(x.rows(0, 2)), y.rows(0, 2).clone())); });
        CHECK(program(x.rows(0, 0)).numel() == 0);
    }
}
