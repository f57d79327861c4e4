#include "lathe/core/ops/mse.h"

#include "lathe/core/ops/detail/row_loss.h"

namespace lathe::ops {

Variable mse(const Variable& x, const Tensor& target) {
    check(target.shape() == x.shape(), "mse: expected a target like x ", x.shape(), ", got ", target.shape());
    auto row = [&]<class T>(int64_t i, int64_t width, const T* x, T* gradient) {
        const T* t = target.data<T>() + i * width;
        T loss = 0;
        for (int64_t j = 0; j < width; ++j) {
            const T difference = x[j] - t[j];
            loss += difference * difference;
            gradient[j] = 2 * difference;
        }
        return loss;
    };
    return row_loss("mse", x, target, x.value().numel(), row);
}

namespace row {
OpInfo mse() {
    return {.name = "mse",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::mse(x[0], x[1].value()); },
            .shape = loss_shape};
}
}  // namespace row

}  // namespace lathe::ops
