#include "lathe/core/ops/l1.h"

#include <cmath>

#include "lathe/core/ops/detail/row_loss.h"

namespace lathe::ops {

Variable l1(const Variable& x, const Tensor& target) {
    check(target.shape() == x.shape(), "l1: expected a target like x ", x.shape(), ", got ", target.shape());
    auto row = [&]<class T>(int64_t i, int64_t width, const T* x, T* gradient) {
        const T* t = target.data<T>() + i * width;
        T loss = 0;
        for (int64_t j = 0; j < width; ++j) {
            const T difference = x[j] - t[j];
            loss += std::abs(difference);
            gradient[j] = static_cast<T>((difference > 0) - (difference < 0));
        }
        return loss;
    };
    return row_loss("l1", x, target, x.value().numel(), row);
}

namespace row {
OpInfo l1() {
    return {.name = "l1",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::l1(x[0], x[1].value()); },
            .shape = loss_shape};
}
}  // namespace row

}  // namespace lathe::ops
