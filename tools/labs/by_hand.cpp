#include "lathe/tools/labs/by_hand.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lathe/compress/quantize/kmeans.h"
#include "lathe/compress/quantize/linear.h"
#include "lathe/core/ops/linear.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/labs/tensors.h"
#include "lathe/tools/labs/walk.h"

namespace lathe::tools {

namespace {

void print_rows(const Tensor& values, const char* pattern, const char* end = "\n") {
    const int64_t columns = values.dim(values.rank() - 1);
    for (int64_t i = 0; i < values.numel(); ++i)
        std::printf("%s%s", format(pattern, values.at(i)).c_str(), (i + 1) % columns == 0 ? end : "");
}

// Integers, which must be those of the lab.
void expect(const char* what, const Tensor& found, const std::vector<int>& expected) {
    check(found.numel() == static_cast<int64_t>(expected.size()), what, ": expected ", expected.size(), " integers");
    std::printf("%s: the lab's integers\n", what);
    print_rows(found, " %2.0f");
    for (int64_t i = 0; i < found.numel(); ++i)
        check(static_cast<int>(found.at(i)) == expected[static_cast<size_t>(i)], what, ": expected ",
              expected[static_cast<size_t>(i)], " at ", i, ", got ", static_cast<int>(found.at(i)));
}

}  // namespace

void kmeans_by_hand() {
    constexpr double kOptimum = 0.0792215;  // sum of squares, by dynamic programming
    heading("1. k-means on one 5x5 tensor");
    trap("begins at random, so that its numbers differ from run to run; it checks only that 25 values became 4. Two\n"
         "copies ran the cell twice on the same tensor and print 3",
         "the optimum, found exactly: on a line clusters are neighbours, and which follows from sums.");
    const Tensor weights = lab2::weights();
    const compress::Clusters best = compress::kmeans(weights, {.clusters = 4});
    Tensor labels(weights.shape(), DType::u8), shared(weights.shape());
    for (int64_t i = 0; i < weights.numel(); ++i) {
        const size_t label = best.of(weights.data<float>()[i]);
        labels.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(label);
        shared.mutable_data<float>()[i] = static_cast<float>(best.centroids[label]);
    }
    expect("which of the four each weight becomes",
           labels, {0, 2, 3, 0, 3, 1, 3, 1, 0, 2, 3, 0, 1, 2, 0, 1, 1, 0, 1, 3, 2, 1, 0, 3, 1});
    std::printf("\nthe weights with 2 bits\n");
    print_rows(shared, " %7.4f");
    std::printf("sum of squared errors %.7f, the least there is %.7f\n", best.sse, kOptimum);
    check(std::abs(best.sse - kOptimum) < 1e-6, "k-means: expected the optimum");

    constexpr int kSeeds = 1000;
    int found = 0;
    double worst = 0;
    for (int seed = 0; seed < kSeeds; ++seed) {
        const compress::Clusters some = compress::kmeans(weights, {.clusters = 4, .init = compress::KMeansInit::random,
                                                                   .seed = static_cast<uint64_t>(seed)});
        found += some.sse < best.sse + 1e-6;
        worst = std::max(worst, some.sse);
    }
    std::printf("Lloyd's iterations from %d random starts: %.0f%% end there, the worst at %.4f\n\n", kSeeds,
                100.0 * found / kSeeds, worst);
    std::printf("n bits stand for 2^n values: 4 bits for 16. A layer of N weights takes n N bits and its codebook\n"
                "32 * 2^n: nothing in a large layer, and more than the weights in a small one.\n");
}

void scale_and_zero_by_hand() {
    heading("4. Linear quantization: r = S (q - Z)");
    trap("casts to int8 before it clamps, so that what lies beyond wraps around; the range is that of the numbers,\n"
         "with or without zero",
         "integers saturate; observers widen a range to hold zero, for padding and relu are exact only then.");
    TextTable table({"bits", "integers"});
    for (int bits : {2, 4, 8}) {
        const IntegerRange range = integer_range(bits, true);
        table.add({std::to_string(bits), format("%d to %d", int(range.low), int(range.high))});
    }
    std::printf("%s\n", table.str().c_str());
    const Tensor x = lab2::activations();
    const compress::Range range = compress::range_of(x);
    const compress::Grid grid = compress::asymmetric(range, 2);
    std::printf("numbers from %.2f to %.2f: S = %.2f / 3 = %.4f, Z = round(-2 - (%.2f) / S) = %d\n\n", range.low,
                range.high, range.high - range.low, grid.scale.item(), range.low, int(grid.zero_point.item()));
    expect("clamp(round(r / S) + Z)", compress::quantize(x, grid),
           {-1, 1, -1, -1, 0, 1, 1, 1, -2, 0, -1, 0, 0, 1, -1, -1, -1, 1, 1, -1, 1, -2, 1, -2, 0});
    std::printf("\nhalves go to the even neighbour, before Z is added: after it, an odd Z would turn them round.\n");
}

void linear_layer_by_hand() {
    heading("6, 7. A linear layer in integers, at 2 bits");
    trap("compares the quantized bias with itself, which holds whatever it is",
         "with the intended vector. A convolution is the same in windows; beyond its border stands Z of the input,\n"
         "which is zero.");
    using namespace compress;
    const Tensor x = lab2::layer_input(), weight = lab2::layer_weight(), bias = lab2::layer_bias();
    const Grid x_grid = asymmetric(range_of(x), 2), weight_grid = symmetric(weight, 2),
               y_grid = asymmetric(range_of(ops::linear(x, weight, bias).value()), 2);
    std::printf("S_w = max |w| / 1 for each output:");
    print_rows(weight_grid.scale, " %.3f");
    std::printf("input S = %.4f, Z = %d; output S = %.4f, Z = %d\n\n", x_grid.scale.item(),
                int(x_grid.zero_point.item()), y_grid.scale.item(), int(y_grid.zero_point.item()));
    const Tensor q_x = quantize(x, x_grid), q_weight = quantize(weight, weight_grid);
    expect("weights", q_weight, {1,  -1, 0,  1,  0,  -1, -1, -1, 1,  -1, 0,  0,  0, 0,  0,  1,
                                 -1, -1, 0,  -1, 0,  1,  -1, 0,  0,  0,  0,  0,  0, -1, 0,  0,
                                 0,  0,  -1, 0,  -1, 0,  -1, 0,  -1, 0,  1,  -1, 0, 0,  -1, 1,
                                 -1, 1,  -1, 1,  1,  1,  0,  0,  1,  -1, -1, 1,  0, 0,  0,  -1});
    expect("input", q_x, {0, 1, 1, -1, 1,  1, -1, -1, -1, -1, -1, 1,  0,  -2, -1, 0,
                          0, 0, 0, -1, -1, 1, -2, -1, -1, -1, 0,  -2, -2, -1, 0,  1});
    const Tensor q_bias = quantize_bias(bias, weight_grid.scale, x_grid.scale.item());
    expect("bias, in steps of S_w S_input", q_bias, {3, -2, 3, 1, 3, 2, -2, -2});
    const Tensor shifted = shifted_bias(q_bias, q_weight, static_cast<int64_t>(x_grid.zero_point.item()));
    expect("bias less Z_input times the sum of the weights", shifted, {-1, 0, -3, -1, -3, 0, 2, -4});
    const IntegerLinear y = quantized_linear(q_x, x_grid, q_weight, weight_grid, shifted, y_grid);
    expect("sums of products, int32", y.sums, {-2, -2, -1, -2, -4, 2, 3, -6, 3,  0, -3, 1, -1, 0, 2,  -2,
                                               0,  -1, 1,  -2, 0,  2, 1, -4, -3, 1, 0,  0, -1, 4, -3, -7});
    expect("output, sum S_w S_input / S_output + Z", y.output, {0, -1, 0, -1, -1, 0, 1, -2, 0, 0, -1, 0, 0, 0, 0, -1,
                                                                0, 0,  0, -1, 0,  0, 0, -1, 0, 0, 0,  0, 0, 1, -1, -2});
    std::printf("\nThe factor S_w S_input / S_output is all that is left of real numbers. An integer machine\n"
                "multiplies by 31 bits of it and shifts (core/integer/arithmetic.h).\n");
}

}  // namespace lathe::tools
