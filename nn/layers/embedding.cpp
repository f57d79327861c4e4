#include "lathe/nn/layers/embedding.h"

#include "lathe/core/ops/embedding.h"
#include "lathe/nn/init.h"

namespace lathe::nn {

Embedding::Embedding(const Options& o) {
    check(o.rows >= 1 && o.features >= 1, "embedding: expected at least 1 row and feature, got ", o.rows, " and ",
          o.features);
    weight = Parameter(init::normal({o.rows, o.features}, 1));
    parameter("weight", weight);
}

Variable Embedding::forward(const Variable& x) { return ops::embedding(x.value(), weight.effective()); }

}  // namespace lathe::nn
