#include "lathe/core/ops/sum.h"

#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

// y [outer, inner] = the sum of x [outer, n, inner] along its middle axis, divided by n for a mean.
Variable reduce(const char* op, const Variable& x, int64_t outer, int64_t n, int64_t inner, const Shape& shape,
                bool mean, int axis = -1, bool keep_axis = false) {
    check(!mean || n > 0, op, ": expected at least one element, got ", x.shape());
    Tensor y(shape, x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        T* total = y.mutable_data<T>();
        kernels::sum_axis(outer, n, inner, x.value().data<T>(), total);
        if (mean)
            for (int64_t i = 0; i < outer * inner; ++i) total[i] /= static_cast<T>(n);
    });
    auto backward = [=, x_shape = x.shape()](Tensor dy) {  // dx = dy repeated, over n for a mean
        Tensor dx(x_shape, dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            const T factor = mean ? T(1) / static_cast<T>(n) : T(1);
            kernels::repeat_axis(outer, n, inner, factor, dy.data<T>(), dx.mutable_data<T>());
        });
        return Gradients{dx};
    };
    auto attributes = [&] {
        return axis < 0 ? Attributes{} : Attributes{{"axis", int64_t{axis}}, {"keep_axis", int64_t{keep_axis}}};
    };
    return record(op, {&x}, std::move(y), std::move(backward), attributes);
}

Shape reduced_shape(const Shape& x, int axis, bool keep_axis) {
    Shape shape;
    for (int i = 0; i < x.rank(); ++i) {
        if (i != axis) shape.push_back(x[i]);
        else if (keep_axis) shape.push_back(1);
    }
    return shape;
}

Variable reduce_axis(const char* op, const Variable& x, int axis, bool keep_axis, bool mean) {
    axis = x.shape().axis(axis);
    int64_t outer = 1, inner = 1;
    for (int i = 0; i < axis; ++i) outer *= x.dim(i);
    for (int i = axis + 1; i < x.value().rank(); ++i) inner *= x.dim(i);
    return reduce(op, x, outer, x.dim(axis), inner, reduced_shape(x.shape(), axis, keep_axis), mean, axis, keep_axis);
}

}  // namespace

Variable sum(const Variable& x) { return reduce("sum", x, 1, x.value().numel(), 1, {}, false); }
Variable mean(const Variable& x) { return reduce("mean", x, 1, x.value().numel(), 1, {}, true); }
Variable sum(const Variable& x, int axis, bool keep_axis) { return reduce_axis("sum", x, axis, keep_axis, false); }
Variable mean(const Variable& x, int axis, bool keep_axis) { return reduce_axis("mean", x, axis, keep_axis, true); }

Tensor sum_to(const Tensor& x, const Shape& shape) {
    if (x.shape() == shape) return x;
    const kernels::Broadcast plan = kernels::broadcast("sum_to", x.shape(), shape);
    Tensor total = x;
    int64_t inner = 1;  // of the axes already passed, those that stay
    for (int axis = plan.rank - 1; axis >= 0; --axis) {
        const int64_t n = plan.extent[axis];
        if (plan.b_stride[axis] != 0) {
            inner *= n;
            continue;
        }
        const int64_t outer = total.numel() / (n * inner);
        Tensor part({outer, inner}, x.dtype());
        with_float(x, [&](auto zero) {
            using T = decltype(zero);
            kernels::sum_axis(outer, n, inner, total.data<T>(), part.mutable_data<T>());
        });
        total = part;
    }
    return total.reshape(shape);
}

namespace row {
namespace {

template <Variable (*all)(const Variable&), Variable (*along)(const Variable&, int, bool)>
OpInfo of(const char* name) {
    return {.name = name,
            .attributes = {{.type = AttributeSpec::integer, .name = "axis", .optional = true},
                           {.type = AttributeSpec::integer, .name = "keep_axis", .optional = true}},
            .run =
                [](const Attributes& a, Inputs x, Mode) {
                    return a.has("axis") ? along(x[0], axis_of(a), a.has("keep_axis") && a.integer("keep_axis"))
                                         : all(x[0]);
                },
            .shape =
                [](const Attributes& a, Shapes x) {
                    if (!a.has("axis")) return Shape{};
                    return reduced_shape(x[0], x[0].axis(axis_of(a)), a.has("keep_axis") && a.integer("keep_axis"));
                },
            .channels = ChannelRule::reduce};
}

}  // namespace

OpInfo sum() { return of<ops::sum, ops::sum>("sum"); }
OpInfo mean() { return of<ops::mean, ops::mean>("mean"); }
}  // namespace row

}  // namespace lathe::ops
