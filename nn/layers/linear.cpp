#include "lathe/nn/layers/linear.h"

#include "lathe/core/ops/linear.h"
#include "lathe/nn/init.h"

namespace lathe::nn {

Linear::Linear(const Options& o) {
    check(o.in >= 1 && o.out >= 1, "linear: expected at least 1 input and output, got ", o.in, " and ", o.out);
    check(o.pixels >= 1 && o.in % o.pixels == 0, "linear: expected pixels that divide ", o.in, " inputs, got ",
          o.pixels);
    weight = Parameter(init::fan_in_uniform({o.out, o.in}, o.in), {.kind = FileOrder::image, .pixels = o.pixels});
    parameter("weight", weight);
    if (o.bias) bias = Parameter(init::fan_in_uniform({o.out}, o.in));
    parameter("bias", bias);
}

Variable Linear::forward(const Variable& x) { return ops::linear(x, weight.effective(), bias.effective()); }

}  // namespace lathe::nn
