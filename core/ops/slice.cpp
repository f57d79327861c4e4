#include "lathe/core/ops/slice.h"

#include "lathe/core/kernels/rows/copy_box.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

int64_t inner_bytes(const Tensor& x, int axis) {
    int64_t bytes = static_cast<int64_t>(size_of(x.dtype()));
    for (int i = axis + 1; i < x.rank(); ++i) bytes *= x.dim(i);
    return bytes;
}

}  // namespace

namespace {

void check_range(const Shape& x, int axis, int64_t start, int64_t length) {
    check(start >= 0 && length >= 0 && start <= x[axis] - length, "slice: expected a range inside axis ", axis, " of ",
          x, ", got ", start, " and ", length, " more");
}

}  // namespace

Variable slice(const Variable& x, int axis, int64_t start, int64_t length) {
    axis = x.shape().axis(axis);
    check_range(x.shape(), axis, start, length);
    if (length == x.dim(axis)) return x;
    Shape shape = x.shape();
    shape[axis] = length;
    Tensor y;
    if (axis == 0) {
        y = x.value().rows(start, length);
    } else {
        y = Tensor(shape, x.dtype());
        kernels::copy_box(shape, size_of(x.dtype()), x.value().raw() + start * inner_bytes(x.value(), axis), x.shape(),
                          y.mutable_raw(), shape);
    }

    auto backward = [x_shape = x.shape(), axis, start](Tensor dy) {  // dx is dy inside the range, zero outside
        Tensor dx = Tensor::zeros(x_shape, dy.dtype());
        kernels::copy_box(dy.shape(), size_of(dy.dtype()), dy.raw(), dy.shape(),
                          dx.mutable_raw() + start * inner_bytes(dx, axis), x_shape);
        return Gradients{dx};
    };
    auto attributes = [&] {  // one of several equal parts stays that when the axis loses elements
        const bool part = length > 0 && x.dim(axis) % length == 0 && start % length == 0;
        if (part) return Attributes{{"axis", int64_t{axis}}, {"part", start / length}, {"parts", x.dim(axis) / length}};
        return Attributes{{"axis", int64_t{axis}}, {"start", start}, {"length", length}};
    };
    return record("slice", {&x}, std::move(y), std::move(backward), attributes);
}

std::vector<Variable> split(const Variable& x, const std::vector<int64_t>& sizes, int axis) {
    int64_t total = 0;
    for (int64_t size : sizes) total += size;
    check(total == x.dim(axis), "split: expected sizes that add up to ", x.dim(axis), ", got a sum of ", total);
    std::vector<Variable> parts;
    int64_t start = 0;
    for (int64_t size : sizes) {
        parts.push_back(slice(x, axis, start, size));
        start += size;
    }
    return parts;
}

namespace row {
namespace {

struct Range {
    int axis;
    int64_t start, length;
};

Range range_of(const Attributes& a, const Shape& x) {
    const int axis = x.axis(axis_of(a));
    if (!a.has("parts")) return {axis, a.integer("start"), a.integer("length")};
    const int64_t part = a.integer("part"), parts = a.integer("parts");
    check(parts >= 1 && part >= 0 && part < parts && x[axis] % parts == 0, "slice: expected a part of ", parts,
          " equal ones of axis ", axis, " of ", x, ", got part ", part);
    return {axis, part * (x[axis] / parts), x[axis] / parts};
}

}  // namespace

OpInfo slice() {
    return {.name = "slice",
            .attributes = {axis_spec(),
                           {.type = AttributeSpec::integer, .name = "start", .optional = true},
                           {.type = AttributeSpec::integer, .name = "length", .optional = true},
                           {.type = AttributeSpec::integer, .name = "part", .optional = true},
                           {.type = AttributeSpec::integer, .name = "parts", .optional = true}},
            .run = [](const Attributes& a, Inputs x, Mode) {
                const Range range = range_of(a, x[0].shape());
                return ops::slice(x[0], range.axis, range.start, range.length);
            },
            .shape = [](const Attributes& a, Shapes x) {
                const Range range = range_of(a, x[0]);
                check_range(x[0], range.axis, range.start, range.length);
                Shape y = x[0];
                y[range.axis] = range.length;
                return y;
            },
            .traits = {.any_layout = true},
            .channels = ChannelRule::slice};
}
}  // namespace row

}  // namespace lathe::ops
