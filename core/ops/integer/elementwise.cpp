#include "lathe/core/kernels/rows/broadcast.h"
#include "lathe/core/ops/detail/row.h"
#include "lathe/core/ops/detail/integer.h"

// Elementwise ops of integer programs: sums and products under broadcasting (integer::add, integer::multiply), and any
// function of one value as a table u8 [256], the second input.
namespace lathe::ops::row {

OpInfo int_add() {
    return {.name = "int_add",
            .min_inputs = 2,
            .max_inputs = 2,
            .attributes = integer_specs({"factor_a", "factor_b", "offset", "shift", "low", "high"}),
            .run = only_in_programs,
            .shape = [](const Attributes&, Shapes x) { return kernels::broadcast("int_add", x[0], x[1]).shape; },
            .traits = {.elementwise = true, .per_channel = true},
            .channels = ChannelRule::elementwise};
}

OpInfo int_mul() {
    return {.name = "int_mul",
            .min_inputs = 2,
            .max_inputs = 2,
            .attributes = integer_specs({"a_zero", "b_zero", "multiplier", "shift", "zero", "high"}),
            .run = only_in_programs,
            .shape = [](const Attributes&, Shapes x) { return kernels::broadcast("int_mul", x[0], x[1]).shape; },
            .traits = {.elementwise = true, .per_channel = true},
            .channels = ChannelRule::elementwise};
}

OpInfo int_lookup() {
    return {.name = "int_lookup",
            .min_inputs = 2,
            .max_inputs = 2,
            .run = only_in_programs,
            .shape =
                [](const Attributes&, Shapes x) {
                    check(x[1] == Shape{256}, "int_lookup: expected a table [256], got ", x[1]);
                    return x[0];
                },
            .traits = {.elementwise = true, .per_channel = true},
            .channels = ChannelRule::same};
}

}  // namespace lathe::ops::row
