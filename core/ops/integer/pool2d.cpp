#include "lathe/core/ops/detail/row.h"
#include "lathe/core/ops/detail/integer.h"

// Means of integer programs (integer::mean): of windows, with a multiplier i32 [kernel size] and a shift alike for each
// number of pixels that a window may hold, and of whole maps.
namespace lathe::ops::row {

OpInfo int_avg_pool2d() {
    std::vector<AttributeSpec> specs = integer_specs({"x_zero", "zero", "high"});
    specs.push_back({.type = AttributeSpec::integers, .name = "kernel_size", .count = 2, .required = true});
    specs.push_back(stride_spec());
    specs.push_back(padding_spec());
    return {.name = "int_avg_pool2d",
            .min_inputs = 3,
            .max_inputs = 3,
            .attributes = specs,
            .run = only_in_programs,
            .shape =
                [](const Attributes& a, Shapes x) {
                    static const Op pool = "max_pool2d";
                    const Shape y = pool->shape(a, x.first(1));
                    const Pair kernel = pair_of(a, "kernel_size");
                    for (const size_t k : {1, 2})
                        check(x[k] == Shape{kernel.h * kernel.w}, "int_avg_pool2d: expected [", kernel.h * kernel.w,
                              "] as input ", k, ", got ", x[k]);
                    return y;
                },
            .traits = {.per_channel = true},
            .channels = ChannelRule::pool};
}

OpInfo int_global_avg_pool() {
    return {.name = "int_global_avg_pool",
            .attributes = integer_specs({"x_zero", "multiplier", "shift", "zero", "high"}),
            .run = only_in_programs,
            .shape =
                [](const Attributes&, Shapes x) {
                    static const Op pool = "global_avg_pool";
                    return pool->shape({}, x);
                },
            .traits = {.per_channel = true},
            .channels = ChannelRule::pool};
}

}  // namespace lathe::ops::row
