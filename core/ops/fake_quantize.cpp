#include "lathe/core/ops/fake_quantize.h"

#include <cmath>
#include <vector>

#include "lathe/core/enum_names.h"
#include "lathe/core/integer/arithmetic.h"
#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe {

IntegerRange integer_range(int bits, bool is_signed) {
    check(bits >= 2 && bits <= 8, "quantization: expected 2 to 8 bits, got ", bits);
    const int64_t count = int64_t{1} << bits;
    return is_signed ? IntegerRange{-count / 2, count / 2 - 1} : IntegerRange{0, count - 1};
}

}  // namespace lathe

namespace lathe::ops {

namespace {

constexpr EnumNames<ScaleRule, 2> kRules{"scale rule", {{ScaleRule::lsq, "lsq"}, {ScaleRule::pact, "pact"}}};

void check_shapes(const Shape& x, const Shape& scale, const Shape& zero_point, int axis) {
    check(axis >= -1 && axis < x.rank(), "fake_quantize: expected an axis of x ", x, " or -1, got ", axis);
    const Shape expected{axis < 0 ? 1 : x[axis]};
    check(scale == expected, "fake_quantize: expected scale ", expected, ", got ", scale);
    check(is_absent(zero_point) || zero_point == expected, "fake_quantize: expected zero_point ", expected, ", got ",
          zero_point);
}

void check_zero_points(const Variable& zero_point, const IntegerRange& range) {
    for (int64_t i = 0; zero_point && i < zero_point.value().numel(); ++i) {
        const double z = zero_point.value().at(i);
        check(z == std::nearbyint(z) && z >= static_cast<double>(range.low) && z <= static_cast<double>(range.high),
              "fake_quantize: expected a zero_point that is an integer from ", range.low, " to ", range.high, ", got ",
              z);
    }
}

// The integers that share a scale, as numbers: those of integer inference, which are found in float32, of float64 too.
template <class T>
struct Grid {
    T scale;
    float zero, low, high;

    float level(T x) const {  // before it is clipped
        return integer::level_of(static_cast<float>(x), static_cast<float>(scale), zero);
    }
    float clipped(float level) const { return integer::clip(level, low, high); }
    bool holds(float level) const { return level >= low && level <= high; }
};

// x as [outer, channels, inner] where the middle index has a scale, cut into pieces of one scale each.
class Pieces {
public:
    Pieces(const Shape& x, int axis) {
        if (axis >= 0) channels_ = x[axis];
        for (int i = axis + 1; i < x.rank(); ++i) inner_ *= x[i];
        if (x.numel() > 0) count_ = x.numel() / inner_ * ceil_div(inner_, kMost);
    }

    int64_t count() const { return count_; }
    int64_t channel(int64_t piece) const { return piece / ceil_div(inner_, kMost) % channels_; }

    // f(piece, channel, begin, end) for every piece of elements.
    template <class F>
    void for_each(F f) const {
        const int64_t in_row = ceil_div(inner_, kMost);
        parallel_for(count_, kernels::row_grain(std::min(inner_, kMost)), [&](int64_t first, int64_t last) {
            for (int64_t piece = first; piece < last; ++piece) {
                const auto [row, part] = divmod(piece, in_row);
                const int64_t begin = row * inner_ + part * kMost;
                f(piece, row % channels_, begin, std::min(begin + kMost, (row + 1) * inner_));
            }
        });
    }

private:
    static constexpr int64_t kMost = 1 << 12;
    int64_t channels_ = 1, inner_ = 1, count_ = 0;
};

template <class T>
std::vector<Grid<T>> grids_of(const Tensor& scale, const Tensor& zero_point, const IntegerRange& range) {
    std::vector<Grid<T>> grids;
    for (int64_t k = 0; k < scale.numel(); ++k)
        grids.push_back({std::max(scale.data<T>()[k], static_cast<T>(kLeastScale)),
                         zero_point ? static_cast<float>(zero_point.data<T>()[k]) : 0.f, static_cast<float>(range.low),
                         static_cast<float>(range.high)});
    return grids;
}

// Backward: rounding counts as if it were not there (the straight-through estimator, Bengio et al. 2013, arXiv
// 1308.3432), clipping as what it is. With the level q = round(x / scale) + zero_point,
//   dx     = dy                                    where low <= q <= high, else 0
//   dscale = sum of dy (q - zero_point - x / scale)   where low <= q <= high: by how much rounding missed
//          + sum of dy (clamp(q) - zero_point)        elsewhere
// The second line is what y = scale (x / scale + e) gives for a fixed rounding error e. PACT leaves it out: its bound
// high scale moves y only where x is clipped.
template <class T>
Gradients backward(const Tensor& x, const std::vector<Grid<T>>& grids, Tensor dy, const FakeQuantizeOptions& o,
                   bool needs_x, bool needs_scale) {
    const Pieces pieces(x.shape(), o.axis);
    std::vector<double> partial(needs_scale ? static_cast<size_t>(pieces.count()) : 0);
    Tensor dx;
    if (needs_x) dx = dy.unique() ? dy : Tensor(dy.shape(), dy.dtype());
    const T *from = x.data<T>(), *d = dy.data<T>();
    T* to = needs_x && x.numel() ? dx.mutable_data<T>() : nullptr;
    const T rounding = o.rule == ScaleRule::lsq ? T(1) : T(0);
    pieces.for_each([&](int64_t piece, int64_t channel, int64_t begin, int64_t end) {
        const Grid<T> grid = grids[static_cast<size_t>(channel)];
        constexpr int64_t kBlock = 256;
        T share[kBlock];  // of the scale's gradient
        double sum = 0;
        for (int64_t block = begin; block < end; block += kBlock) {
            const int64_t n = std::min(kBlock, end - block);
            for (int64_t i = 0; i < n; ++i) {
                const T at = from[block + i] / grid.scale, dz = d[block + i];
                const float level = grid.level(from[block + i]);
                const bool inside = grid.holds(level);
                share[i] = dz * (inside ? rounding * (level - grid.zero - at) : grid.clipped(level) - grid.zero);
                if (to) to[block + i] = inside ? dz : T(0);
            }
            sum += static_cast<double>(kernels::sum_run(n, share));
        }
        if (needs_scale) partial[static_cast<size_t>(piece)] = sum;
    });

    Gradients gradients(3);
    gradients[0] = dx;
    if (needs_scale) {
        std::vector<double> sum(grids.size());
        for (int64_t piece = 0; piece < pieces.count(); ++piece)
            sum[static_cast<size_t>(pieces.channel(piece))] += partial[static_cast<size_t>(piece)];
        gradients[1] = Tensor({static_cast<int64_t>(grids.size())}, x.dtype());
        for (size_t k = 0; k < grids.size(); ++k)
            gradients[1].mutable_data<T>()[k] = static_cast<T>(o.scale_gradient * sum[k]);
    }
    return gradients;
}

}  // namespace

Variable fake_quantize(const Variable& x, const Variable& scale, const Variable& zero_point,
                       const FakeQuantizeOptions& o) {
    const IntegerRange range = integer_range(o.bits, o.is_signed);
    check_shapes(x.shape(), scale.shape(), shape_of(zero_point), o.axis);
    check_zero_points(zero_point, range);
    for (const Variable* v : {&scale, &zero_point})
        check(!*v || v->dtype() == x.dtype(), "fake_quantize: expected values like x, of type ", name_of(x.dtype()),
              ", got ", name_of(v->dtype()));
    Tensor y(x.shape(), x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const auto grids = grids_of<T>(scale.value(), zero_point ? zero_point.value() : Tensor{}, range);
        const T* from = x.value().data<T>();
        T* to = y.numel() ? y.mutable_data<T>() : nullptr;
        Pieces(x.shape(), o.axis).for_each([&](int64_t, int64_t channel, int64_t begin, int64_t end) {
            const Grid<T> grid = grids[static_cast<size_t>(channel)];
            for (int64_t i = begin; i < end; ++i)
                to[i] = grid.scale * (grid.clipped(grid.level(from[i])) - grid.zero);
        });
    });
    auto step = [x = Saved(x), scale = Saved(scale), zero_point = zero_point ? zero_point.value() : Tensor{}, range,
                 o](Tensor dy) {
        return with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            return backward<T>(*x, grids_of<T>(*scale, zero_point, range), std::move(dy), o, x.needs(), scale.needs());
        });
    };
    auto attributes = [&] {
        return Attributes{{"bits", int64_t{o.bits}},
                          {"signed", int64_t{o.is_signed}},
                          {"axis", int64_t{o.axis}},
                          {"rule", std::string(kRules[o.rule])},
                          {"scale_gradient", o.scale_gradient}};
    };
    return record("fake_quantize", {&x, &scale, &zero_point}, std::move(y), std::move(step), attributes);
}

namespace row {
namespace {

FakeQuantizeOptions options_of(const Attributes& a) {
    return {.bits = static_cast<int>(a.integer("bits")), .is_signed = a.integer("signed") != 0, .axis = axis_of(a),
            .rule = kRules.value_of(a.text("rule")), .scale_gradient = a.real("scale_gradient")};
}

}  // namespace

OpInfo fake_quantize() {
    return {.name = "fake_quantize",
            .min_inputs = 3,
            .max_inputs = 3,
            .attributes = {{.type = AttributeSpec::integer, .name = "bits", .required = true},
                           {.type = AttributeSpec::integer, .name = "signed", .otherwise = int64_t{1}},
                           axis_spec(),
                           {.type = AttributeSpec::text, .name = "rule", .otherwise = std::string("lsq")},
                           {.type = AttributeSpec::real, .name = "scale_gradient", .otherwise = 1.0}},
            .run = [](const Attributes& a, Inputs x, Mode) {
                return ops::fake_quantize(x[0], x[1], x[2], options_of(a));
            },
            .shape = [](const Attributes& a, Shapes x) {
                const FakeQuantizeOptions o = options_of(a);
                integer_range(o.bits, o.is_signed);
                check_shapes(x[0], x[1], x[2], o.axis);
                return x[0];
            },
            .traits = {.elementwise = true, .per_channel = true, .monotone = true, .keeps_zero = true},
            .channels = ChannelRule::same};
}
}  // namespace row

}  // namespace lathe::ops
