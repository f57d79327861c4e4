#include "lathe/core/kernels/integer/conv2d.h"

#include <doctest/doctest.h>

#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/core/kernels/integer/integer_cases.h"
#include "lathe/tests/core/kernels/random_values.h"

using namespace lathe;
using namespace lathe::kernels;
using kernels::integer::Layer;
using kernels::integer::PreparedLayer;
using lathe::testing::IntegerLayer;
using lathe::testing::random_bytes;

namespace {

constexpr uint8_t kGuard = 77;

// By the definition, with 64-bit sums.
std::vector<uint8_t> expected(const Layer& l, const std::vector<uint8_t>& x, const std::vector<uint8_t>& addend) {
    const Conv2dShape& s = l.shape;
    const int64_t in = s.in_c / s.groups, out = s.out_c / s.groups;
    std::vector<uint8_t> y;
    for (int64_t n = 0; n < s.batch; ++n)
        for (int64_t p = 0; p < s.out_h; ++p)
            for (int64_t q = 0; q < s.out_w; ++q)
                for (int64_t k = 0; k < s.out_c; ++k) {
                    int64_t sum = l.bias[k];
                    for (int64_t r = 0; r < s.kernel_h; ++r)
                        for (int64_t t = 0; t < s.kernel_w; ++t)
                            for (int64_t c = 0; c < in; ++c) {
                                const int64_t h = p * s.stride_h - s.pad_top + r * s.dilation_h;
                                const int64_t w = q * s.stride_w - s.pad_left + t * s.dilation_w;
                                if (h < 0 || h >= s.in_h || w < 0 || w >= s.in_w) continue;
                                sum += (x[((n * s.in_h + h) * s.in_w + w) * s.in_c + k / out * in + c] - l.x_zero) *
                                       l.weight[((k * s.kernel_h + r) * s.kernel_w + t) * in + c] * l.unit();
                            }
                    int64_t fine = sum * l.multiplier[k] + l.fraction[k];
                    if (l.addend_multiplier)
                        fine += (int64_t{addend[y.size()] - l.addend_zero} << l.addend_shift[k]) *
                                l.addend_multiplier[k];
                    const int64_t result = (((fine >> (l.shift[k] - 1)) + 1) >> 1) + l.zero;
                    y.push_back(static_cast<uint8_t>(std::clamp<int64_t>(result, l.low, l.high)));
                }
    return y;
}

std::vector<uint8_t> run(const IntegerLayer& of, const std::vector<uint8_t>& x, const std::vector<uint8_t>& addend,
                         size_t results) {
    const PreparedLayer layer(of.layer);
    const int64_t batch = of.layer.shape.batch;
    std::vector<uint8_t> y(results + 1, kGuard), scratch(static_cast<size_t>(layer.workspace(batch)));
    layer.forward(kernels::integer::table(), batch, x.data(), addend.data(), scratch.data(), y.data());
    CHECK(y.back() == kGuard);
    y.pop_back();
    return y;
}

Conv2dShape shape(int64_t batch, int64_t size, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
                  int64_t pad = 0, int64_t groups = 1, int64_t dilation = 1) {
    const int64_t result = (size + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1;
    return {.batch = batch, .in_h = size, .in_w = size + 2, .in_c = in, .out_h = result,
            .out_w = (size + 2 + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1, .out_c = out, .kernel_h = kernel,
            .kernel_w = kernel, .stride_h = stride, .stride_w = stride, .pad_top = pad, .pad_left = pad,
            .dilation_h = dilation, .dilation_w = dilation, .groups = groups};
}

const Conv2dShape kShapes[] = {
    shape(2, 7, 3, 16, 3, 1, 1),          shape(1, 5, 5, 17, 3, 2, 1),     shape(3, 4, 16, 70, 1),
    shape(1, 9, 7, 33, 5, 2, 2),          shape(1, 1, 130, 200, 1),        shape(1, 8, 12, 8, 3, 1, 1, 2),
    shape(1, 8, 6, 9, 3, 1, 1, 3, 2),     shape(2, 6, 3, 5, 3, 1, 0, 1, 2), shape(2, 7, 65, 65, 3, 1, 1, 65),
    shape(1, 6, 40, 40, 3, 2, 1, 40),     shape(1, 9, 8, 8, 5, 1, 2, 8),   shape(1, 8, 4, 8, 3, 1, 1, 4),
    shape(1, 6, 16, 48, 2, 2),            shape(0, 6, 16, 48, 3, 1, 1),    shape(1, 6, 100, 100, 3, 1, 1, 100),
    shape(1, 9, 1, 8, 3, 1, 1),           shape(1, 2, 20, 20, 3, 2, 1, 20), shape(1, 30, 64, 64, 3, 1, 1, 64),
    shape(2, 33, 70, 70, 3, 2, 1, 70),    shape(1, 5, 16, 20, 1),           shape(5, 1, 16, 20, 1),
    shape(7, 1, 16, 36, 1),               shape(3, 1, 20, 48, 1),           shape(13, 1, 16, 60, 1),
    // Runs that matrices are multiplied in: one chunk or several, of pixels at equal distances or not, some left over.
    shape(1, 7, 24, 70, 1),               shape(2, 16, 64, 40, 3),          shape(1, 6, 48, 16, 3, 1, 1),
    shape(1, 9, 64, 130, 3, 2, 1, 2),     shape(3, 1, 96, 64, 1),           shape(1, 6, 40, 24, 2, 1, 0, 1, 2),
    shape(1, 8, 100, 64, 1),              shape(1, 3, 80, 32, 1),
};

// Of every tile: maps of many sizes, lines of pixels, few of them, strides, dilation, groups, several chunks.
const Conv2dShape kSparseShapes[] = {
    shape(2, 9, 8, 33, 3, 1, 1),       shape(3, 16, 64, 16, 3, 1, 1),      shape(1, 4, 68, 20, 3, 1, 1),
    shape(1, 7, 12, 40, 5, 2, 2),      shape(1, 8, 16, 6, 3, 1, 1, 2),     shape(1, 9, 8, 24, 3, 1, 2, 1, 2),
    shape(1, 1, 132, 17, 1),           shape(5, 6, 20, 9, 1),              shape(2, 20, 4, 16, 1),
    shape(1, 6, 520, 5, 3, 1, 1),
};

// Costs of integers, and the table as it was at the end of the scope.
class IntegerSpeed {
public:
    explicit IntegerSpeed(const sparse::IntegerCosts& costs) : before_(sparse::speed()) {
        sparse::Speed table = before_;
        table.integer = costs;
        sparse::use_speed(table);
    }
    ~IntegerSpeed() { sparse::use_speed(before_); }

private:
    sparse::Speed before_;
};

}  // namespace

TEST_CASE("integer layers are the definition, the same bits for every instruction set") {
    for (const Conv2dShape& s : kShapes)
        for (const int bits : {8, 4, 2})
            for (const bool adds : {false, true}) {
                INFO(s.batch, " x ", s.in_h, " x ", s.in_c, " -> ", s.out_c, ", groups ", s.groups, ", bits ", bits,
                     adds ? ", adds" : "");
                const IntegerLayer layer(s, bits, adds);
                const int64_t in = s.batch * s.in_h * s.in_w * s.in_c;
                const auto x = random_bytes(in, 2);
                const auto addend = random_bytes(s.batch * s.out_h * s.out_w * s.out_c, 3);
                const auto right = expected(layer.layer, x, addend);
                for_each_isa([&] { CHECK(run(layer, x, addend, addend.size()) == right); });
            }
}

TEST_CASE("sparse integer layers are the definition, too, for every instruction set and number of threads") {
    const IntegerSpeed always({.dense = 1e6, .matrix = 1e6, .finish = 1e6, .quad = 0.5, .moving = 4});
    const int before = threads();
    int sparse = 0;
    for (const Conv2dShape& s : kSparseShapes)
        for (const int bits : {8, 4, 2})
            for (const bool adds : {false, true})
                for (const double zeros : {0.9, 1.0}) {
                    INFO(s.batch, " x ", s.in_h, " x ", s.in_c, " -> ", s.out_c, ", groups ", s.groups, ", bits ", bits,
                         adds ? ", adds" : "", ", zeros ", zeros);
                    IntegerLayer layer(s, bits, adds);
                    Random random(5);
                    for (int8_t& w : layer.weight)
                        if (random.uniform() < zeros) w = 0;
                    sparse += PreparedLayer(layer.layer).name(kernels::integer::table(), s.batch).ends_with(" sparse");
                    const auto x = random_bytes(s.batch * s.in_h * s.in_w * s.in_c, 2);
                    const auto addend = random_bytes(s.batch * s.out_h * s.out_w * s.out_c, 3);
                    const auto right = expected(layer.layer, x, addend);
                    set_threads(1);
                    for_each_isa([&] { CHECK(run(layer, x, addend, addend.size()) == right); });
                    set_threads(2);
                    CHECK(run(layer, x, addend, addend.size()) == right);
                }
    set_threads(before);
    CHECK(sparse == static_cast<int>(std::size(kSparseShapes)) * 12);
}

TEST_CASE("the table of speeds alone chooses between dense and sparse, for each number of images") {
    IntegerLayer of(shape(1, 4, 64, 64, 3, 1, 1), 8, false);
    const kernels::integer::Table& table = kernels::integer::table(Isa::baseline);
    {
        const IntegerSpeed always({.dense = 1e6, .matrix = 1e6, .finish = 1e6, .quad = 0.5, .moving = 4});
        CHECK(PreparedLayer(of.layer).name(table, 1) == "portable");  // too few zeros
    }
    for (size_t i = 0; i < of.weight.size(); ++i)
        if (i % 64 >= 8) of.weight[i] = 0;
    const auto names = [&](const sparse::IntegerCosts& costs) {
        const IntegerSpeed speed(costs);
        const PreparedLayer layer(of.layer);
        return layer.name(table, 1) + ", " + layer.name(table, 100);
    };
    CHECK(names({.dense = 1e-6, .matrix = 1e-6, .finish = 1e-6, .quad = 0.5, .moving = 4}) == "portable, portable");
    CHECK(names({.dense = 1e6, .matrix = 1e6, .finish = 1e6, .quad = 0.5, .moving = 4}) ==
          "portable sparse, portable sparse");
    // Single images do not fill the vectors of a tile.
    const IntegerSpeed speed({.dense = 0.16, .matrix = 0.16, .finish = 1, .quad = 0.5, .moving = 1});
    const PreparedLayer layer(of.layer);
    CHECK(layer.name(table, 1) == "portable");
    CHECK(layer.name(table, 16) == "portable sparse");
    CHECK(layer.done(1) == 1);
    CHECK(layer.done(16) == 0.125);
    CHECK(layer.workspace(16) > 0);  // a smaller batch runs dense
    const IntegerSpeed always({.dense = 1e6, .matrix = 1e6, .finish = 1e6, .quad = 0.5, .moving = 4});
    CHECK(PreparedLayer(of.layer).workspace(16) == 0);
    // 2 of 16 quads at 9 taps of 64 channels: 4 bytes of weights and 4 of an offset each, one tile for every batch.
    CHECK(PreparedLayer(of.layer).bytes() >= 64 * 9 * 2 * 8);
}

TEST_CASE("weights of 4 and 2 bits stay packed, those of depthwise and grouped layers, too") {
    const auto bytes = [](const Conv2dShape& s, int bits) {
        return PreparedLayer(IntegerLayer(s, bits, false).layer).bytes();
    };
    // 64 channels by 9 taps in whole fours; 2 groups by 9 taps by 16 input by 16 output channels.
    for (const auto& [s, whole] : {std::pair(shape(1, 8, 64, 64, 3, 1, 1, 64), 64 * 12),
                                   std::pair(shape(1, 8, 32, 32, 3, 1, 1, 2), 2 * 9 * 16 * 16)})
        for (const int bits : {8, 4, 2}) CHECK(bytes(s, bits) == whole * bits / 8);
    const PreparedLayer layer(IntegerLayer(shape(1, 8, 64, 64, 3, 1, 1, 64), 2, false).layer);
    CHECK(layer.name(kernels::integer::table(Isa::baseline), 1) == "portable 2 bits depthwise");
}

TEST_CASE("an integer layer gives the same bits for one and two threads") {
    const int before = threads();
    const IntegerLayer layer(shape(9, 16, 32, 100, 3, 1, 1), 8, true);
    const Conv2dShape& s = layer.layer.shape;
    const auto x = random_bytes(s.batch * s.in_h * s.in_w * s.in_c, 2);
    const auto addend = random_bytes(s.batch * s.out_h * s.out_w * s.out_c, 3);
    std::vector<uint8_t> results[2];
    for (int i : {0, 1}) {
        set_threads(i + 1);
        results[i] = run(layer, x, addend, addend.size());
    }
    CHECK(results[0] == results[1]);
    set_threads(before);
}

// Totals from end to end of 62 bits, where nothing may wrap, and the shifts at the ends of their ranges.
TEST_CASE("what is rounded keeps every bit of 62, at every shift") {
    struct Extreme {
        int32_t bias, fraction, multiplier, shift, addend_multiplier, addend_shift;
    };
    constexpr int32_t most = INT32_MAX;
    const Extreme extremes[] = {
        {(1 << 30) + 4321, most, most, 62, most, 22},    {-(1 << 30) - 4321, 0, most, 62, most, 22},
        {most - 600000, most, most, 62, 0, 0},           {-(most - 600000), most, most, 62, 0, 22},
        {most - 600000, most, most, 32, 1 << 20, 0},     {-(most - 600000), 0, most, 32, 1, 22},
        {most - 600000, most, 1, 31, most, 0},           {-(most - 600000), most, 1, 31, 3, 22},
        {150, 1, 1, 1, 1, 0},                            {-150, 0, 1, 1, 2, 0},
        {-1, most, most, 31, 0, 0},                      {0, most, 0, 62, most, 22},
        {0, 0, 0, 1, 0, 0},
    };
    for (const int64_t channels : {int64_t{13}, int64_t{65}})
        for (const bool adds : {false, true}) {
            const Conv2dShape s = shape(1, 3, 8, channels, 1);
            IntegerLayer of(s, 8, adds);
            of.layer.low = 0, of.layer.high = 255;
            for (size_t k = 0; k < of.bias.size(); ++k) {
                const Extreme& e = extremes[k % std::size(extremes)];
                if (e.multiplier < 2) std::fill_n(of.weight.begin() + static_cast<int64_t>(k) * 8, 8, int8_t{1});
                of.bias[k] = e.bias, of.fraction[k] = e.fraction, of.multiplier[k] = e.multiplier;
                of.shift[k] = e.shift, of.addend_multiplier[k] = e.addend_multiplier;
                of.addend_shift[k] = e.addend_shift;
            }
            check_layer(of.layer);
            const std::vector<uint8_t> x = random_bytes(s.in_h * s.in_w * s.in_c, 3);
            const std::vector<uint8_t> addend = random_bytes(s.out_h * s.out_w * channels, 4);
            const std::vector<uint8_t> y = expected(of.layer, x, addend);
            for_each_isa([&] { CHECK(run(of, x, addend, y.size()) == y); });
        }
}

TEST_CASE("numbers beyond 62 bits, or whose results are beyond 32, are refused") {
    IntegerLayer of(shape(1, 3, 8, 3, 1), 8, true);
    of.bias[1] = 3 << 29, of.multiplier[1] = INT32_MAX, of.shift[1] = 62;
    of.addend_multiplier[1] = INT32_MAX, of.addend_shift[1] = 22;
    CHECK_THROWS_WITH(check_layer(of.layer), "channel 1: results reach beyond 62 bits");
    of.bias[1] = 0, of.shift[1] = 29;
    CHECK_THROWS_WITH(check_layer(of.layer), "channel 1: results reach beyond 32 bits");
    of.shift[1] = 31;
    check_layer(of.layer);
}

TEST_CASE("sums at the ends of their range keep every bit") {
    const Conv2dShape s = shape(1, 1, 4096, 16, 1);
    IntegerLayer of(s, 8, false);
    std::fill(of.weight.begin(), of.weight.end(), int8_t{-128});
    for (int32_t& b : of.bias) b = 0;
    of.layer.x_zero = 0, of.layer.zero = 255, of.layer.low = 0, of.layer.high = 255;
    const auto m = lathe::integer::multiplier_of(250.0 / (255.0 * 128 * 4096));
    for (size_t k = 0; k < of.multiplier.size(); ++k) of.multiplier[k] = m.m, of.shift[k] = 31 - m.s;
    const std::vector<uint8_t> x(static_cast<size_t>(s.in_w) * 4096, 255);
    for_each_isa([&] { CHECK(run(of, x, {}, static_cast<size_t>(s.out_w) * 16)[0] == 5); });
}
