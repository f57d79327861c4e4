#include <doctest/doctest.h>

#include <cmath>

#include "lathe/compress/integer/program.h"
#include "lathe/core/integer/arithmetic.h"

using namespace lathe;

// The course lab's quantized linear layer: 2 bits, -2..1, here as 0..3.
TEST_CASE("the lab's quantized linear layer gives the lab's integers") {
    const float s_in = 0.2816f, s_out = 0.468152271f;
    const int z_in = -2, z_out = 0, low = -2;
    const std::vector<double> s_w{0.24982, 0.43835, 0.42504, 0.42427, 0.45331, 0.36866, 0.37675, 0.43349};
    const std::vector<int8_t> w{1,  -1, 0, 1,  0, -1, -1, -1, 1,  -1, 0, 0, 0, 0, 0, 1,  -1, -1, 0, -1, 0, 1,
                                -1, 0,  0, 0,  0, 0,  0,  -1, 0,  0,  0, 0, -1, 0, -1, 0, -1, 0, -1, 0,  1, -1,
                                0,  0,  -1, 1, -1, 1, -1, 1,  1,  1,  0, 0, 1, -1, -1, 1, 0,  0,  0,  -1};
    const std::vector<int32_t> bias{3, -2, 3, 1, 3, 2, -2, -2};
    const std::vector<int> x{0, 1, 1, -1, 1, 1, -1, -1, -1, -1, -1, 1, 0, -2, -1, 0,
                             0, 0, 0, -1, -1, 1, -2, -1, -1, -1, 0, -2, -2, -1, 0, 1};
    const std::vector<int> expected{0, -1, 0, -1, -1, 0, 1, -2, 0, 0, -1, 0, 0, 0, 0, -1,
                                    0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1, -1, -2};

    std::vector<int32_t> multiplier, shift;
    for (double s : s_w) {
        const auto m = integer::multiplier_of(static_cast<double>(s_in) * s / s_out);
        multiplier.push_back(m.m), shift.push_back(31 - m.s);
    }
    Graph graph;
    const auto constant = [&](const Tensor& value) {
        graph.nodes.push_back({.op = "constant", .path = "constant", .shape = value.shape(), .dtype = value.dtype(),
                               .value = value});
        return graph.size() - 1;
    };
    const std::vector<int> inputs{constant(Tensor::of<int8_t>({8, 8}, w)), constant(Tensor::of<int32_t>({8}, bias)),
                                  constant(Tensor::of<int32_t>({8}, std::vector<int32_t>(8, 0))),
                                  constant(Tensor::of<int32_t>({8}, multiplier)),
                                  constant(Tensor::of<int32_t>({8}, shift))};
    graph.nodes.push_back({.op = "input", .path = "input", .shape = {1, 8}, .dtype = DType::u8, .activation = true});
    graph.inputs = {graph.size() - 1};
    graph.nodes.push_back({.op = "int_linear", .path = "fc",
                           .attributes = {{"bits", int64_t{8}}, {"x_zero", int64_t{z_in - low}},
                                          {"addend_zero", int64_t{0}}, {"zero", int64_t{z_out - low}},
                                          {"low", int64_t{0}}, {"high", int64_t{3}}},
                           .inputs = {graph.inputs[0], inputs[0], inputs[1], -1, inputs[2], inputs[3], inputs[4], -1,
                                      -1},
                           .shape = {1, 8}, .dtype = DType::u8, .activation = true});
    graph.output = graph.size() - 1;
    const compress::IntegerProgram program({graph, {s_in, z_in - low, 3}, {s_out, z_out - low, 3}, ""},
                                           {.architecture = "lab", .options = {.input = {8}}});
    Tensor real({4, 8});
    for (size_t i = 0; i < x.size(); ++i)
        real.mutable_data<float>()[i] = s_in * static_cast<float>(x[i] - z_in);
    const Tensor y = program(real);
    for (size_t i = 0; i < expected.size(); ++i)
        CHECK(std::lround(y.at(static_cast<int64_t>(i)) / s_out) == expected[i] - z_out);
}
