#pragma once
#include <array>
#include <cstdint>

#include "lathe/core/kernels/rows/rows.h"
#include "lathe/core/shape.h"

namespace lathe::kernels {

// How two arrays meet in an elementwise op under NumPy's broadcasting: shapes are aligned at the last axis, and an
// extent of 1 repeats. Neighbouring axes along which both arrays advance, or the same one repeats, are merged: equal
// shapes become one axis, [N, H, W, C] with [C] two (rows by channels), [N, H, W, C] with [N, 1, 1, C] three.
struct Broadcast {
    Shape shape;  // of the result
    int rank = 0;                                     // merged axes, at least 1, outermost first
    std::array<int64_t, Shape::kMaxRank> extent{};
    std::array<int64_t, Shape::kMaxRank> a_stride{};  // elements from one index to the next; 0 where a repeats
    std::array<int64_t, Shape::kMaxRank> b_stride{};
};

// Error: the extents of an axis differ and neither is 1; the message starts with `op`.
Broadcast broadcast(const char* op, const Shape& a, const Shape& b);

// y = f(a, b) for every element of the result. y may be an operand that is not repeated.
template <class T, class F>
void elementwise(const Broadcast& plan, const T* a, const T* b, T* y, F f) {
    const int last = plan.rank - 1;
    const int64_t width = plan.extent[last], a_step = plan.a_stride[last], b_step = plan.b_stride[last];
    const auto run = [=](int64_t count, const T* u, const T* v, T* to) {
        if (a_step && b_step)
            for (int64_t i = 0; i < count; ++i) to[i] = f(u[i], v[i]);
        else if (a_step)
            for (int64_t i = 0; i < count; ++i) to[i] = f(u[i], *v);
        else
            for (int64_t i = 0; i < count; ++i) to[i] = f(*u, v[i]);
    };
    if (plan.rank == 1)
        return parallel_for(width, row_grain(1), [=](int64_t begin, int64_t end) {
            run(end - begin, a + begin * a_step, b + begin * b_step, y + begin);
        });

    const int64_t rows = width ? plan.shape.numel() / width : 0;
    parallel_for(rows, row_grain(width), [&](int64_t begin, int64_t end) {
        std::array<int64_t, Shape::kMaxRank> index{};
        int64_t a_at = 0, b_at = 0, rest = begin;
        for (int axis = last - 1; axis >= 0; --axis) {
            index[axis] = rest % plan.extent[axis];
            rest /= plan.extent[axis];
            a_at += index[axis] * plan.a_stride[axis];
            b_at += index[axis] * plan.b_stride[axis];
        }
        for (int64_t row = begin; row < end; ++row) {
            run(width, a + a_at, b + b_at, y + row * width);
            for (int axis = last - 1; axis >= 0; --axis) {
                a_at += plan.a_stride[axis];
                b_at += plan.b_stride[axis];
                if (++index[axis] < plan.extent[axis]) break;
                a_at -= plan.a_stride[axis] * plan.extent[axis];
                b_at -= plan.b_stride[axis] * plan.extent[axis];
                index[axis] = 0;
            }
        }
    });
}

}  // namespace lathe::kernels
