#include "lathe/core/graph/op_table.h"
#include "lathe/core/ops/detail/row.h"

// Between the layouts of activations, NHWC and CHWN (nn/run/layout.h). Shapes of a graph are those of NHWC, so to the
// graph both are the identity; only kernels see the difference.
namespace lathe::ops::row {

namespace {

OpInfo conversion(const char* name) {
    return {.name = name,
            .run = [](const Attributes&, Inputs x, Mode) { return x[0]; },
            .shape = same_shape,
            .traits = {.per_channel = true, .monotone = true, .keeps_zero = true},
            .channels = ChannelRule::same};
}

}  // namespace

OpInfo to_chwn() { return conversion("to_chwn"); }
OpInfo to_nhwc() { return conversion("to_nhwc"); }

}  // namespace lathe::ops::row
