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

// Results of sums so far out are at the end of 8 bits whatever the multiplier, which may then be less than it is.
double limited(double ratio, double sum, int64_t k) {
    const double most = kernels::integer::kMostSum / (sum + 1) / 2;
    if (ratio <= most) return ratio;
    check(most >= 512, "channel ", k, ": its result's scale is too small for its sums");
    return most;
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
    const double most = kernels::integer::kMostSum;
    const int64_t unit = int64_t{1} << (8 - bits);  // of a weight in sums (kernels::integer::Layer)
    const Tensor bias = node.inputs[2] < 0 ? Tensor{} : graph[node.inputs[2]].value;
    check(node.inputs[2] < 0 || bias, "expected a constant bias");
    const Tensor& scales = weight.lowered->scale;
    LayerNumbers to;
    std::vector<int32_t> numbers[5];  // bias, multiplier, shift, addend's multiplier and shift
    for (int64_t k = 0; k < channels; ++k) {
        int64_t size = 0;
        for (int64_t i = 0; i < row; ++i) size += std::abs(w[k * row + i]) * unit;
        double real = bias ? bias.at(k) : 0;
        double step = static_cast<double>(x.scale) * scales.at(scales.numel() == 1 ? 0 : k) / static_cast<double>(unit);
        check(step > 0 && std::isfinite(step) && std::isfinite(real), "channel ", k,
              ": expected a scale above 0 and a finite bias, got ", scales.at(scales.numel() == 1 ? 0 : k), " and ",
              real);
        // Of a result so far below 0 or above its range that nothing brings it back, any bias there is as good.
        const double beyond = 510.0 * static_cast<double>(size) * step + (addend ? 255.0 * addend->scale : 0) +
                              512.0 * y.scale;
        real = std::clamp(real, -beyond, beyond);
        const auto reach = [&] {  // of its sums
            return 510.0 * static_cast<double>(size) + std::abs(real) / step +
                   (addend ? 255.0 * addend->scale / step + 1 : 0);
        };
        // Weights of zero, whose scale may be anything and too coarse for the bias, or that cannot move the result by
        // half a step, beside a bias or an addend that they have no room for.
        if (size == 0 || (reach() >= most && 255.0 * static_cast<double>(size) * step < y.scale / 2)) {
            std::fill_n(w + k * row, row, int8_t{0});
            size = 0;
            // Room for an addend whose least step is beyond all of y's range, as where all results are 0; the farther
            // it is, the less must its sums be, for `limited` to take them to the end.
            const double far = addend ? static_cast<double>(addend->scale) / y.scale : 0;
            step = y.scale * std::max(1 / 4096.0, far > 1 << 21 ? far / 2048 : far / 32768);
        }
        check(reach() < most, "channel ", k, ": sums reach ", reach(), ", beyond 32 bits");
        numbers[0].push_back(static_cast<int32_t>(std::nearbyint(real / step)));
        const integer::Multiplier m = integer::multiplier_of(limited(step / y.scale, reach(), k));
        numbers[1].push_back(m.m);
        numbers[2].push_back(31 - m.s);
        if (!addend) continue;
        const integer::Multiplier a = integer::multiplier_of(addend->scale / step);
        numbers[3].push_back(a.m);
        numbers[4].push_back(31 - a.s);
    }
    to.weight = bits == 8 ? integers : pack(integers, bits);
    Tensor* const tensors[] = {&to.bias, &to.multiplier, &to.shift, &to.addend_multiplier, &to.addend_shift};
    for (size_t i = 0; i < (addend ? 5 : 3); ++i) *tensors[i] = Tensor::of<int32_t>({channels}, numbers[i]);
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
