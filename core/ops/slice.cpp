#include "lathe/core/ops/slice.h"

#include "lathe/core/kernels/rows/copy_box.h"

namespace lathe::ops {

namespace {

int64_t inner_bytes(const Tensor& x, int axis) {
    int64_t bytes = static_cast<int64_t>(size_of(x.dtype()));
    for (int i = axis + 1; i < x.rank(); ++i) bytes *= x.dim(i);
    return bytes;
}

}  // namespace

Variable slice(const Variable& x, int axis, int64_t start, int64_t length) {
    axis = x.shape().axis(axis);
    check(start >= 0 && length >= 0 && start <= x.dim(axis) - length, "slice: expected a range inside axis ", axis, " of ",
          x.shape(), ", got ", start, " and ", length, " more");
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
    auto attributes = [&] { return Attributes{{"axis", int64_t{axis}}, {"start", start}, {"length", length}}; };
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

}  // namespace lathe::ops
