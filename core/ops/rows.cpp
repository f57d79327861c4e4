#include "lathe/core/ops/rows.h"

#define LATHE_OPS(OP)                                                                                                  \
    OP(relu) OP(relu6) OP(hard_swish) OP(hard_sigmoid) OP(sigmoid) OP(tanh) OP(gelu) OP(add) OP(sub) OP(mul)           \
    OP(scale) OP(conv2d) OP(conv2d_fused) OP(linear) OP(linear_fused) OP(matmul) OP(embedding) OP(batch_norm)          \
    OP(layer_norm) OP(dropout) OP(softmax) OP(log_softmax) OP(max_pool2d) OP(avg_pool2d) OP(global_avg_pool)           \
    OP(concat) OP(slice) OP(pad) OP(pad_channels) OP(permute) OP(reshape) OP(flatten) OP(sum) OP(mean) OP(to_chwn)     \
    OP(to_nhwc) OP(fake_quantize) OP(int_conv2d) OP(int_linear) OP(int_add) OP(int_mul) OP(int_lookup)                 \
    OP(int_avg_pool2d) OP(int_global_avg_pool) OP(cross_entropy) OP(soft_cross_entropy) OP(kl_div) OP(mse) OP(l1)

namespace lathe::ops {

namespace row {
#define LATHE_DECLARE(op) OpInfo op();
LATHE_OPS(LATHE_DECLARE)
#undef LATHE_DECLARE
}  // namespace row

std::vector<OpInfo> rows() {
#define LATHE_MAKE(op) row::op(),
    return {LATHE_OPS(LATHE_MAKE)};
#undef LATHE_MAKE
}

}  // namespace lathe::ops
