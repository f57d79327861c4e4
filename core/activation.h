#pragma once
#include <cstdint>
#include <string>

namespace lathe {

// Elementwise non-linearities, as PyTorch defines them.
//   relu          max(x, 0)
//   relu6         min(max(x, 0), 6)
//   hard_swish    x relu6(x + 3) / 6          (Howard et al. 2019, arXiv 1905.02244)
//   hard_sigmoid  relu6(x + 3) / 6
//   sigmoid       1 / (1 + exp(-x))
//   tanh
//   gelu          x (1 + erf(x / sqrt 2)) / 2  (Hendrycks & Gimpel 2016, arXiv 1606.08415)
enum class Activation : uint8_t { none, relu, relu6, hard_swish, hard_sigmoid, sigmoid, tanh, gelu };

const char* name_of(Activation activation);  // "relu6", …: also the name of its op
Activation activation_named(const std::string& name);  // Error: unknown

}  // namespace lathe
