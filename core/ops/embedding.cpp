#include "lathe/core/ops/embedding.h"

#include <algorithm>

#include "lathe/core/kernels/rows/rows.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

Shape result_shape(const Shape& indices, const Shape& weight) {
    check(weight.rank() == 2, "embedding: expected weight [V, D], got ", weight);
    Shape y = indices;
    y.push_back(weight[1]);
    return y;
}

}  // namespace

Variable embedding(const Tensor& indices, const Variable& weight) {
    const Shape shape = result_shape(indices.shape(), weight.shape());
    const int64_t rows = weight.dim(0), width = weight.dim(1), count = indices.numel();
    const int32_t* index = indices.data<int32_t>();
    for (int64_t i = 0; i < count; ++i)
        check(index[i] >= 0 && index[i] < rows, "embedding: index ", i, " is ", index[i], ", expected one of ", rows,
              " rows from 0");

    Tensor y(shape, weight.dtype());
    with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const T* from = weight.value().data<T>();
        T* to = y.mutable_data<T>();
        parallel_for(count, kernels::row_grain(width), [=](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) std::copy_n(from + index[i] * width, width, to + i * width);
        });
    });

    auto backward = [indices = Saved(indices), weight_shape = weight.shape()](Tensor dy) {
        // dweight[indices[i]] += dy[i]. Tasks own columns, so that each element adds in the order of the indices.
        constexpr int64_t kColumns = 64;
        Tensor dweight = Tensor::zeros(weight_shape, dy.dtype());
        with_float(dy, [&](auto zero) {
            using T = decltype(zero);
            const int32_t* index = indices->data<int32_t>();
            const int64_t count = indices->numel(), width = weight_shape[1];
            const T* from = dy.data<T>();
            T* to = dweight.mutable_data<T>();
            parallel_for(width, kColumns, [=](int64_t begin, int64_t end) {
                for (int64_t i = 0; i < count; ++i)
                    for (int64_t j = begin; j < end; ++j) to[index[i] * width + j] += from[i * width + j];
            });
        });
        return Gradients{{}, dweight};
    };
    const Variable where = indices;
    return record("embedding", {&where, &weight}, std::move(y), std::move(backward));
}

namespace row {
OpInfo embedding() {
    return {.name = "embedding",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = [](const Attributes&, Inputs x, Mode) { return ops::embedding(x[0].value(), x[1]); },
            .shape = [](const Attributes&, Shapes x) { return result_shape(x[0], x[1]); },
            .channels = ChannelRule::lookup};
}
}  // namespace row

}  // namespace lathe::ops
