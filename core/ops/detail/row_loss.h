#pragma once
#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/ops/detail/row.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The last axis of x is a row; a single number is a row of one.
inline int64_t row_width(const Variable& x) { return x.value().rank() ? x.shape().back() : 1; }
inline int64_t row_count(const Variable& x) { return row_width(x) ? x.value().numel() / row_width(x) : 0; }

// A loss that is a sum over the rows of x divided by `count`. `row(i, width, x, gradient)` returns the loss of row i
// and writes its derivative by the row's elements; backward only multiplies that by dy / count. The target is a
// constant.
template <class Row, class MakeAttributes = NoAttributes>
Variable row_loss(const char* op, const Variable& x, const Tensor& target, int64_t count, Row row,
                  MakeAttributes attributes = {}) {
    check(x.value().numel() > 0, op, ": expected at least one element, got ", x.shape());
    const int64_t width = row_width(x), rows = row_count(x);
    Tensor gradient(x.shape(), x.dtype()), loss({}, x.dtype());
    with_float(loss, [&](auto zero) {
        using T = decltype(zero);
        Workspace<T> losses(static_cast<size_t>(rows));
        const T* from = x.value().data<T>();
        T* into = gradient.mutable_data<T>();
        parallel_for(rows, kernels::row_grain(width), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) losses[i] = row(i, width, from + i * width, into + i * width);
        });
        kernels::sum_axis(1, rows, 1, losses.data(), loss.mutable_data<T>());
        *loss.mutable_data<T>() /= static_cast<T>(count);
    });

    auto backward = [gradient = std::move(gradient), count](Tensor dy) mutable {
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            const T factor = *dy.data<T>() / static_cast<T>(count);
            T* g = gradient.mutable_data<T>();
            parallel_for(gradient.numel(), kernels::row_grain(1), [=](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; ++i) g[i] *= factor;
            });
        });
        return Gradients{std::move(gradient), Tensor{}};
    };
    const Variable constant = target;
    return record(op, {&x, &constant}, std::move(loss), std::move(backward), attributes);
}

// Of x and a target of the same shape.
inline Shape loss_shape(const Attributes&, Shapes x) {
    check(x[0] == x[1], "expected a target like x ", x[0], ", got ", x[1]);
    return {};
}

}  // namespace lathe::ops
