#include "lathe/compress/integer/lower_layer.h"

#include <algorithm>
#include <cmath>

#include "lathe/compress/integer/packing.h"
#include "lathe/core/activation.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/kernels/integer/conv2d.h"

namespace lathe::compress {

namespace {

// The weight's integers around zero, i8 of its shape.
Tensor integers_of(const GraphNode& weight) {
    check(weight.value && weight.lowered && weight.lowered->integers,
          "expected a weight '", weight.path, "' with integers (FakeQuantize)");
    const Lowered& lowered = *weight.lowered;
    const int64_t row = weight.value.numel() / weight.value.dim(0);
    check(lowered.scale && (lowered.scale.numel() == 1 || lowered.axis == 0),
          "expected one scale for the weight '", weight.path, "' or one for each output channel");
    Tensor integers(weight.value.shape(), DType::i8);
    int8_t* to = integers.mutable_data<int8_t>();
    for (int64_t i = 0; i < integers.numel(); ++i) {
        const Tensor& zeros = lowered.zero_point;
        const double zero = zeros ? zeros.at(zeros.numel() == 1 ? 0 : i / row) : 0;
        const double q = lowered.integers.at(i) - zero;
        check(q >= -128 && q <= 127, "expected integers of the weight '", weight.path, "' from -128 to 127, got ", q);
        to[i] = static_cast<int8_t>(q);
    }
    return integers;
}

// The most of a result's steps that a sum's may be: results of sums so far out are at the end of 8 bits whatever it is,
// but beside an addend as far out on the other side, at scales that no network has been seen to have.
constexpr double kMostRatio = 512;

// Likewise of an addend: 255 of it are then half of what results may be.
constexpr double kMostAddendRatio = 1 << 22;

// The numbers of a channel (kernels::integer::Layer).
struct Numbers {
    int32_t bias, fraction, multiplier, shift, addend_multiplier = 0, addend_shift = 0;
};

// bias in steps of sums, which reach to `reach`; results are `ratio` of a step and `addend_ratio` of an addend.
// The finest steps to round from are those of a multiplier of 31 bits, or of 2^-62, if the addend has room in them: 255
// times it and the sum stay below 2^60 each. A multiplier of less than half such a step is 0, and the bias too small.
Numbers numbers_of(double bias, double reach, double ratio, double addend_ratio) {
    const integer::Multiplier found = integer::multiplier_of(ratio);
    int shift = found.m ? 31 - found.s : 62;
    while (shift > 1 && std::max(255 * addend_ratio, reach * ratio) >= std::ldexp(1, 60 - shift))
        --shift;
    Numbers to{.bias = static_cast<int32_t>(std::floor(bias)), .fraction = 0,
               .multiplier = static_cast<int32_t>(std::llround(std::ldexp(ratio, shift))), .shift = shift};
    to.fraction = static_cast<int32_t>(std::llround((bias - std::floor(bias)) * to.multiplier));
    const double addend = std::ldexp(addend_ratio, shift);
    while (std::ldexp(addend, -to.addend_shift) > INT32_MAX) ++to.addend_shift;
    to.addend_multiplier = static_cast<int32_t>(std::llround(std::ldexp(addend, -to.addend_shift)));
    return to;
}

}  // namespace

std::pair<int64_t, int64_t> ends_of(const GraphNode& node, const Grid8& y) {
    const Activation activation = activation_named(node.attributes.text("activation"));
    const int64_t low = activation == Activation::none ? 0 : y.zero;
    const int64_t high = activation == Activation::relu6 ? integer::quantize(6, y.scale, y.zero, 0, y.high) : y.high;
    return {low, high};
}

LayerNumbers lower_layer(const Graph& graph, const GraphNode& node, const Grid8& x, const Grid8* addend,
                         const Grid8& y) {
    const GraphNode& weight = graph[node.inputs[1]];
    Tensor integers = integers_of(weight);
    int8_t* w = integers.mutable_data<int8_t>();
    const int64_t channels = integers.dim(0), row = integers.numel() / channels;
    const int bits = bits_for(integers);
    const int64_t unit = int64_t{1} << (8 - bits);  // of a weight in sums (kernels::integer::Layer)
    const Tensor bias = node.inputs[2] < 0 ? Tensor{} : graph[node.inputs[2]].value;
    check(node.inputs[2] < 0 || bias, "expected a constant bias");
    const Tensor& scales = weight.lowered->scale;
    LayerNumbers to;
    // Of an addend whose least step is beyond all of y's range less will do.
    const double addend_ratio =
        addend ? std::min(static_cast<double>(addend->scale) / y.scale, kMostAddendRatio) : 0;
    std::vector<int32_t> numbers[6];
    for (int64_t k = 0; k < channels; ++k) {
        const auto sum_of_sizes = [&] {
            int64_t sum = 0;
            for (int64_t i = 0; i < row; ++i) sum += std::abs(w[k * row + i]) * unit;
            return static_cast<double>(sum);
        };
        double size = sum_of_sizes();
        double real = bias ? bias.at(k) : 0;
        double step = static_cast<double>(x.scale) * scales.at(scales.numel() == 1 ? 0 : k) / static_cast<double>(unit);
        check(step > 0 && std::isfinite(step) && std::isfinite(real), "channel ", k,
              ": expected a scale above 0 and a finite bias, got ", scales.at(scales.numel() == 1 ? 0 : k), " and ",
              real);
        // Of a result so far below 0 or above its range that nothing brings it back, any bias there is as good.
        const double beyond = 510 * size * step + (255 * addend_ratio + 512) * y.scale;
        real = std::clamp(real, -beyond, beyond);
        const auto reach = [&] { return 510 * size + std::abs(real) / step; };  // of its sums
        const auto most_ratio = [&] { return kernels::integer::kMostSum / (reach() + 1) / 2; };  // for results to fit
        // A bias may leave the weights no room, so little do they add to a result; or so much that their sums leave
        // the multiplier none. At half their precision, then, as often as it takes: what adds little is moved by less
        // than row / 30,000 of a result's steps.
        for (; size > 0 && most_ratio() < std::clamp(step / y.scale, 0.5, kMostRatio); step *= 2) {
            for (int64_t i = k * row; i < (k + 1) * row; ++i)
                w[i] = static_cast<int8_t>(std::nearbyint(w[i] / 2.0));
            size = sum_of_sizes();
        }
        // The scale of weights of zero may be anything, and too coarse for the bias.
        if (size == 0) step = y.scale * std::max(1 / 4096.0, addend_ratio / 32768);
        const Numbers n = numbers_of(real / step, reach(), std::min(step / y.scale, most_ratio()), addend_ratio);
        const int32_t each[] = {n.bias, n.fraction, n.multiplier, n.shift, n.addend_multiplier, n.addend_shift};
        for (size_t i = 0; i < std::size(each); ++i) numbers[i].push_back(each[i]);
    }
    to.weight = bits == 8 ? integers : pack(integers, bits);
    Tensor* const tensors[] = {&to.bias, &to.fraction, &to.multiplier, &to.shift, &to.addend_multiplier,
                               &to.addend_shift};
    for (size_t i = 0; i < (addend ? 6 : 4); ++i) *tensors[i] = Tensor::of<int32_t>({channels}, numbers[i]);
    const auto [low, high] = ends_of(node, y);
    to.attributes = {{"bits", int64_t{bits}}, {"x_zero", int64_t{x.zero}},
                     {"addend_zero", int64_t{addend ? addend->zero : 0}}, {"zero", int64_t{y.zero}}, {"low", low},
                     {"high", high}};
    for (const char* name : {"stride", "padding", "dilation"})
        if (node.attributes.has(name)) to.attributes.add(name, node.attributes.integers(name));
    if (node.attributes.has("stride")) to.attributes.add("groups", conv2d_shape(graph, node).groups);
    return to;
}

}  // namespace lathe::compress
