#pragma once
#include "lathe/core/activation.h"
#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// y = activation(x), element by element, of any shape; the op carries the activation's name. Formulas:
// core/activation.h. Backward keeps y, except for hard_swish and gelu, which keep x.
Variable activation(const Variable& x, Activation activation);

Variable relu(const Variable& x);
Variable relu6(const Variable& x);
Variable hard_swish(const Variable& x);
Variable hard_sigmoid(const Variable& x);
Variable sigmoid(const Variable& x);
Variable tanh(const Variable& x);
Variable gelu(const Variable& x);

}  // namespace lathe::ops
