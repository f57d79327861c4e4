#include "lathe/core/ops/linear.h"

#include "lathe/core/kernels/gemm/gemm.h"
#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/kernels/rows/rows.h"

namespace lathe::ops {

using kernels::gemm;
using kernels::Trans;

Variable linear(const Variable& x, const Variable& weight, const Variable& bias) {
    check(weight.value().rank() == 2, "linear: expected weight [out, in], got ", weight.shape());
    const int64_t out = weight.dim(0), in = weight.dim(1);
    check(x.value().rank() >= 1 && x.shape().back() == in, "linear: expected x [..., ", in, "], got ", x.shape());
    check(!bias || bias.shape() == Shape{out}, "linear: expected bias [", out, "], got ", bias.shape());
    const int64_t n = x.value().numel() / in;

    Shape shape = x.shape();
    shape[shape.rank() - 1] = out;
    Tensor y(shape, x.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        T* to = y.mutable_data<T>();
        gemm(Trans::no, Trans::yes, n, out, in, x.value().data<T>(), in, weight.value().data<T>(), in, to, out);
        if (bias) kernels::add_row(n, out, bias.value().data<T>(), to);
    });

    auto backward = [x = Saved(x, weight.requires_grad()), weight = Saved(weight, x.requires_grad()),
                     bias_needs = bias.requires_grad(), x_shape = x.shape(), n, in, out](Tensor dy) {
        Gradients gradients(3);
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            const T* d = dy.data<T>();
            if (x.needs()) {  // dx = dy W
                gradients[0] = Tensor(x_shape, dy.dtype());
                gemm(Trans::no, Trans::no, n, in, out, d, out, weight->data<T>(), in, gradients[0].mutable_data<T>(), in);
            }
            if (weight.needs()) {  // dW = dy^T x
                gradients[1] = Tensor({out, in}, dy.dtype());
                gemm(Trans::yes, Trans::no, out, in, n, d, out, x->data<T>(), in, gradients[1].mutable_data<T>(), in);
            }
            if (bias_needs) {  // db = sum of dy over the rows
                gradients[2] = Tensor({out}, dy.dtype());
                kernels::sum_axis(1, n, out, d, gradients[2].mutable_data<T>());
            }
        });
        return gradients;
    };
    auto attributes = [] { return Attributes{{"kernel", std::string("gemm")}}; };
    return record("linear", {&x, &weight, &bias}, std::move(y), std::move(backward), attributes);
}

}  // namespace lathe::ops
