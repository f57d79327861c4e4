#include "lathe/core/ops/matmul.h"

#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

using kernels::Trans;

Shape leading(const Shape& shape) {
    Shape batch;
    for (int i = 0; i + 2 < shape.rank(); ++i) batch.push_back(shape[i]);
    return batch;
}

int64_t rows(const Tensor& x) { return x.dim(-2); }
int64_t columns(const Tensor& x) { return x.dim(-1); }

// y = op(a) op(b) for each matrix of the broadcast leading axes.
Tensor product(Trans a_trans, const Tensor& a, Trans b_trans, const Tensor& b) {
    const kernels::Broadcast plan = kernels::broadcast("matmul", leading(a.shape()), leading(b.shape()));
    const int64_t m = a_trans == Trans::no ? rows(a) : columns(a), k = a_trans == Trans::no ? columns(a) : rows(a);
    const int64_t n = b_trans == Trans::no ? columns(b) : rows(b);
    Shape shape = plan.shape;
    shape.push_back(m);
    shape.push_back(n);
    Tensor y(shape, a.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const T *from_a = a.data<T>(), *from_b = b.data<T>();
        T* to = y.mutable_data<T>();
        parallel_tasks(plan.shape.numel(), [&](int64_t matrix) {
            int64_t a_at = 0, b_at = 0, rest = matrix;
            for (int axis = plan.rank - 1; axis >= 0; --axis) {
                a_at += rest % plan.extent[axis] * plan.a_stride[axis];
                b_at += rest % plan.extent[axis] * plan.b_stride[axis];
                rest /= plan.extent[axis];
            }
            kernels::gemm(a_trans, b_trans, m, n, k, from_a + a_at * m * k, columns(a), from_b + b_at * k * n,
                          columns(b), to + matrix * m * n, n);
        });
    });
    return y;
}

}  // namespace

namespace {

void check_inner(const Shape& a, const Shape& b) {
    check(a.rank() >= 2 && b.rank() >= 2 && a.back() == b[b.rank() - 2],
          "matmul: expected [.., m, k] and [.., k, n], got ", a, " and ", b);
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
    check_inner(a.shape(), b.shape());
    // Against one matrix b, all rows of a are one matrix.
    const Shape batch = leading(a.shape());
    const bool one = b.value().rank() == 2 && batch.rank() > 0;
    const Shape a_shape = one ? Shape{batch.numel() * a.dim(-2), a.dim(-1)} : a.shape();
    Tensor y = product(Trans::no, a.value().reshape(a_shape), Trans::no, b.value());
    const Shape y_shape = y.shape();
    if (one) {
        Shape shape = batch;
        shape.push_back(a.dim(-2));
        shape.push_back(b.dim(-1));
        y = y.reshape(shape);
    }

    auto backward = [a = Saved(a, b.requires_grad()), b = Saved(b, a.requires_grad()), a_full = a.shape(), a_shape,
                     y_shape,
                     b_shape = b.shape()](Tensor dy) {  // da = dy b^T, db = a^T dy
        dy = dy.reshape(y_shape);
        return Gradients{
            a.needs() ? sum_to(product(Trans::no, dy, Trans::yes, *b), a_shape).reshape(a_full) : Tensor{},
            b.needs() ? sum_to(product(Trans::yes, a->reshape(a_shape), Trans::no, dy), b_shape) : Tensor{}};
    };
    return record("matmul", {&a, &b}, std::move(y), std::move(backward));
}

namespace row {
OpInfo matmul() {
    return {.name = "matmul",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::matmul(x[0], x[1]); },
            .shape = [](const Attributes&, Shapes x) {
                check_inner(x[0], x[1]);
                Shape y = kernels::broadcast("matmul", leading(x[0]), leading(x[1])).shape;
                y.push_back(x[0][x[0].rank() - 2]);
                y.push_back(x[1].back());
                return y;
            },
            .macs = [](const Attributes&, Shapes x, const Shape& y) { return y.numel() * x[0].back(); },
            .channels = ChannelRule::matmul};
}
}  // namespace row

}  // namespace lathe::ops
