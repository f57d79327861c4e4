#include "lathe/core/ceil_div.h"
#include "lathe/core/ops/detail/row.h"
#include "lathe/core/ops/detail/integer.h"

// Layers of integer programs: kernels/integer/conv2d.h says what they compute. Inputs are x u8, the weight (i8, or u8
// with values of 4 or 2 bits side by side in bytes along its last axis, the first in the lowest bits), bias i32 [K], an
// addend u8 like the result, the bias's fraction, multiplier and shift i32 [K], and those of the addend; the addend and
// its two may be absent together.
namespace lathe::ops::row {

namespace {

Shape unpacked(Shape weight, int64_t last, int64_t bits) {
    check(weight.rank() > 0, "expected a weight, got a number");
    check(bits == 8 || bits == 4 || bits == 2, "expected weights of 8, 4 or 2 bits, got ", bits);
    const int64_t stored = ceil_div(last, 8 / bits);
    check(weight.back() == stored, "expected a weight of ", stored, " bytes along its last axis, got ", weight);
    weight[weight.rank() - 1] = last;
    return weight;
}

void check_numbers(Shapes x, const Shape& y, int64_t channels) {
    const Shape each{channels};
    for (const size_t k : {2, 4, 5, 6})
        check(x[k] == each, "expected ", each, " as input ", k, ", got ", x[k]);
    const bool adds = !is_absent(x[3]);
    check(!adds || x[3] == y, "expected an addend like ", y, ", got ", x[3]);
    for (const size_t k : {7, 8})
        check(adds ? x[k] == each : is_absent(x[k]), "expected ", adds ? "" : "no ", each, " as input ", k);
}

// The call of the op in floating point that has the same shapes.
std::array<Shape, 3> conv_shapes(const Attributes& a, Shapes x) {
    const int64_t groups = a.integer("groups");
    check(x[0].rank() == 4 && x[1].rank() == 4 && groups >= 1 && x[0][3] % groups == 0,
          "expected x [N, H, W, C], a weight [K, R, S, C/groups] and groups that divide C, got ", x[0], ", ", x[1],
          " and ", groups);
    return {x[0], unpacked(x[1], x[0][3] / groups, a.integer("bits")), x[2]};
}

Shape conv_shape(const Attributes& a, Shapes x) {
    static const Op conv = "conv2d";
    const Shape y = conv->shape(a, conv_shapes(a, x));
    check_numbers(x, y, x[1][0]);
    return y;
}

kernels::Conv2dShape conv_layer(const Attributes& a, Shapes x) {
    static const Op conv = "conv2d";
    return conv->layer(a, conv_shapes(a, x));
}

std::array<Shape, 3> linear_shapes(const Attributes& a, Shapes x) {
    check(x[0].rank() >= 1 && x[1].rank() == 2, "expected x [.., C] and a weight [K, C], got ", x[0], " and ", x[1]);
    return {x[0], unpacked(x[1], x[0].back(), a.integer("bits")), x[2]};
}

Shape linear_shape(const Attributes& a, Shapes x) {
    static const Op linear = "linear";
    const Shape y = linear->shape({}, linear_shapes(a, x));
    check_numbers(x, y, x[1][0]);
    return y;
}

kernels::Conv2dShape linear_layer(const Attributes& a, Shapes x) {
    static const Op linear = "linear";
    return linear->layer({}, linear_shapes(a, x));
}

std::vector<AttributeSpec> numbers() {
    return integer_specs({"bits", "x_zero", "addend_zero", "zero", "low", "high"});
}

}  // namespace

OpInfo int_conv2d() {
    std::vector<AttributeSpec> specs = numbers();
    specs.push_back(stride_spec());
    specs.push_back(padding_spec());
    specs.push_back({.type = AttributeSpec::integers, .name = "dilation", .count = 2, .otherwise = list_of(Pair{})});
    specs.push_back({.type = AttributeSpec::integer, .name = "groups", .otherwise = int64_t{1}});
    return {.name = "int_conv2d",
            .min_inputs = 9,
            .max_inputs = 9,
            .attributes = specs,
            .run = only_in_programs,
            .shape = conv_shape,
            .macs = [](const Attributes& a, Shapes x, const Shape&) { return conv_layer(a, x).macs(); },
            .channels = ChannelRule::convolution,
            .layer = conv_layer};
}

OpInfo int_linear() {
    return {.name = "int_linear",
            .min_inputs = 9,
            .max_inputs = 9,
            .attributes = numbers(),
            .run = only_in_programs,
            .shape = linear_shape,
            .macs = [](const Attributes& a, Shapes x, const Shape&) { return linear_layer(a, x).macs(); },
            .channels = ChannelRule::linear,
            .layer = linear_layer};
}

}  // namespace lathe::ops::row
