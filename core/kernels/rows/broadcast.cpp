#include "lathe/core/kernels/rows/broadcast.h"

#include <algorithm>

#include "lathe/core/error.h"

namespace lathe::kernels {

Broadcast broadcast(const char* op, const Shape& a, const Shape& b) {
    const int rank = std::max(a.rank(), b.rank());
    // The extent at `axis` of the result, 1 where the shape is too short to have it.
    const auto extent = [rank](const Shape& shape, int axis) {
        const int own = axis - (rank - shape.rank());
        return own < 0 ? 1 : shape[own];
    };

    Broadcast plan;
    for (int axis = 0; axis < rank; ++axis) {
        const int64_t in_a = extent(a, axis), in_b = extent(b, axis);
        check(in_a == in_b || in_a == 1 || in_b == 1, op, ": expected shapes that broadcast, got ", a, " and ", b);
        plan.shape.push_back(in_a == 1 ? in_b : in_a);
    }

    // Innermost first; turned round at the end.
    int64_t a_size = 1, b_size = 1;
    for (int axis = rank - 1; axis >= 0; --axis) {
        const int64_t count = plan.shape[axis];
        if (count == 1) continue;
        const bool a_moves = extent(a, axis) != 1, b_moves = extent(b, axis) != 1;
        const int inner = plan.rank - 1;
        if (inner >= 0 && a_moves == (plan.a_stride[inner] != 0) && b_moves == (plan.b_stride[inner] != 0)) {
            plan.extent[inner] *= count;
        } else {
            plan.extent[plan.rank] = count;
            plan.a_stride[plan.rank] = a_moves ? a_size : 0;
            plan.b_stride[plan.rank] = b_moves ? b_size : 0;
            ++plan.rank;
        }
        if (a_moves) a_size *= count;
        if (b_moves) b_size *= count;
    }
    if (plan.rank == 0) {  // single numbers
        plan.extent[0] = plan.a_stride[0] = plan.b_stride[0] = 1;
        plan.rank = 1;
    }
    std::reverse(plan.extent.begin(), plan.extent.begin() + plan.rank);
    std::reverse(plan.a_stride.begin(), plan.a_stride.begin() + plan.rank);
    std::reverse(plan.b_stride.begin(), plan.b_stride.begin() + plan.rank);
    return plan;
}

}  // namespace lathe::kernels
