#pragma once
#include "lathe/nn/module.h"

namespace lathe::compress {

// A layer's weight as it will be when the norm behind the layer is folded into it, while that norm still trains:
//   effective = weight * f, f = norm weight / sqrt(running_var + eps) for each output channel (ops::folded_factor).
// The norm divides by f again (batch_norm with `folded`, where the gradient through f is accounted for: here f is a
// constant). Between masks and quantizers, so that those see what integers will be made of (Jacob et al. 2017, arXiv
// 1712.05877, section 3.2). Norm weight and running_var belong to the network and are found by name.
class FoldedNorm : public nn::WeightTransform {
public:
    struct Names {
        std::string weight, running_var;  // "bn1.weight", "bn1.running_var"
    };
    FoldedNorm(const Names& names, double eps) : names_(names), eps_(eps) {}
    static nn::TransformPtr make(const Attributes& config, const Tensor& weight);
    static constexpr const char* kKind = "folded_norm";

    std::string kind() const override { return kKind; }
    Stage stage() const override { return Stage::scale; }
    Attributes config() const override {
        return {{"weight", names_.weight}, {"running_var", names_.running_var}, {"eps", eps_}};
    }
    std::string describe() const override { return "times the norm " + names_.weight; }
    // Error: the network has no such parameter or buffer.
    void bind(nn::Module& network) override;
    Variable apply(const Variable& weight, nn::Box& box) override;
    uint64_t version() const override;
    Lowered lower(Lowered before, const Tensor&, const nn::Box&) const override { return before; }  // zeros stay

    nn::Parameter& norm_weight() const { return *norm_weight_; }
    // weight * f, as the effective one but without other transforms.
    Tensor scaled(const Tensor& weight) const;

private:
    std::vector<double> factors() const;

    Names names_;
    double eps_;
    nn::Parameter* norm_weight_ = nullptr;
    Tensor* running_var_ = nullptr;
};

// Files with such weights can be read wherever this header is known.
inline const bool folded_norm_is_known = [] {
    nn::register_transform(FoldedNorm::kKind, {.make = FoldedNorm::make});
    return true;
}();

}  // namespace lathe::compress
