#include "lathe/core/activation.h"

#include "lathe/core/error.h"

namespace lathe {

const char* name_of(Activation activation) {
    switch (activation) {
        case Activation::none: return "none";
        case Activation::relu: return "relu";
        case Activation::relu6: return "relu6";
        case Activation::hard_swish: return "hard_swish";
        case Activation::hard_sigmoid: return "hard_sigmoid";
        case Activation::sigmoid: return "sigmoid";
        case Activation::tanh: return "tanh";
        case Activation::gelu: return "gelu";
    }
    return "?";
}

Activation activation_named(const std::string& name) {
    for (int i = 0; i <= static_cast<int>(Activation::gelu); ++i)
        if (const auto activation = static_cast<Activation>(i); name == name_of(activation)) return activation;
    fail("activation: unknown '", name, "'");
}

}  // namespace lathe
