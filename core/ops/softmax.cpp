#include "lathe/core/ops/softmax.h"

#include "lathe/core/kernels/rows/reduce.h"
#include "lathe/core/kernels/rows/softmax.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

// Calls row(i, width, x, y) for each row of x, which makes the row of y.
template <class Row>
Tensor by_row(const char* op, const Tensor& x, Row row) {
    check(x.rank() >= 1 && x.shape().back() > 0, op, ": expected x [.., K], got ", x.shape());
    const int64_t width = x.shape().back();
    Tensor y(x.shape(), x.dtype());
    with_float(x, [&](auto zero) {
        using T = decltype(zero);
        const T* from = x.data<T>();
        T* to = y.mutable_data<T>();
        parallel_for(x.numel() / width, kernels::row_grain(width), [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) row(i, width, from + i * width, to + i * width);
        });
    });
    return y;
}

}  // namespace

Variable softmax(const Variable& x) {
    const Tensor y = by_row("softmax", x.value(), []<class T>(int64_t, int64_t width, const T* x, T* y) {
        kernels::softmax_row(width, T(1), x, y);
    });
    auto backward = [y = Saved(y)](Tensor dy) {  // dx = y (dy - sum dy y)
        return Gradients{by_row("softmax", dy, [&]<class T>(int64_t i, int64_t width, const T* dy, T* dx) {
            const T* p = y->data<T>() + i * width;
            T total = 0;
            for (int64_t j = 0; j < width; ++j) total += dy[j] * p[j];
            for (int64_t j = 0; j < width; ++j) dx[j] = p[j] * (dy[j] - total);
        })};
    };
    return record("softmax", {&x}, y, std::move(backward));
}

Variable log_softmax(const Variable& x) {
    const Tensor y = by_row("log_softmax", x.value(), []<class T>(int64_t, int64_t width, const T* x, T* y) {
        const T log_sum = kernels::softmax_row(width, T(1), x, y);
        for (int64_t j = 0; j < width; ++j) y[j] = x[j] - log_sum;
    });
    auto backward = [y = Saved(y)](Tensor dy) {  // dx = dy - exp(y) sum dy
        return Gradients{by_row("log_softmax", dy, [&]<class T>(int64_t i, int64_t width, const T* dy, T* dx) {
            const T* log_p = y->data<T>() + i * width;
            const T total = kernels::sum_run(width, dy);
            for (int64_t j = 0; j < width; ++j) dx[j] = dy[j] - std::exp(log_p[j]) * total;
        })};
    };
    return record("log_softmax", {&x}, y, std::move(backward));
}

namespace row {
namespace {

Shape row_shape(const Attributes&, Shapes x) {
    check(x[0].rank() >= 1 && x[0].back() > 0, "softmax: expected x [.., K], got ", x[0]);
    return x[0];
}

}  // namespace

OpInfo softmax() {
    return {.name = "softmax",
            .run = [](const Attributes&, Inputs x, Mode) { return ops::softmax(x[0]); },
            .shape = row_shape,
            .traits = {.probabilities = true}};
}

OpInfo log_softmax() {
    return {.name = "log_softmax",
            .run = [](const Attributes&, Inputs x, Mode) { return ops::log_softmax(x[0]); },
            .shape = row_shape,
            .traits = {.probabilities = true}};
}
}  // namespace row

}  // namespace lathe::ops
