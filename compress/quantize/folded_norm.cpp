#include "lathe/compress/quantize/folded_norm.h"

#include "lathe/core/ops/batch_norm.h"
#include "lathe/core/random.h"

namespace lathe::compress {

namespace {

// Row k times factors[k].
Tensor with_rows_scaled(const Tensor& x, const std::vector<double>& factors) {
    Tensor y(x.shape(), x.dtype());
    const int64_t row = x.numel() / std::max<int64_t>(1, x.dim(0));
    with_float(x, [&](auto zero) {
        using T = decltype(zero);
        const T* from = x.data<T>();
        T* to = y.mutable_data<T>();
        for (int64_t i = 0; i < x.numel(); ++i)
            to[i] = static_cast<T>(from[i] * factors[static_cast<size_t>(i / row)]);
    });
    return y;
}

}  // namespace

nn::TransformPtr FoldedNorm::make(const Attributes& config, const Tensor&) {
    return std::make_unique<FoldedNorm>(Names{config.text("weight"), config.text("running_var")}, config.real("eps"));
}

void FoldedNorm::bind(nn::Module& network) {
    const auto found = [](const auto& known, const std::string& name) {
        const auto at = known.find(name);
        check(at != known.end(), "folded_norm: the network has no '", name, "'");
        return at->second;
    };
    norm_weight_ = found(nn::by_name(network.named_parameters()), names_.weight);
    running_var_ = found(nn::by_name(network.named_buffers()), names_.running_var);
}

uint64_t FoldedNorm::version() const {
    check(norm_weight_ && running_var_, "folded_norm: expected to be bound to a network before it is used");
    return mix(norm_weight_->version(), running_var_->version());
}

std::vector<double> FoldedNorm::factors() const {
    const Tensor &weight = norm_weight_->value(), &variance = *running_var_;
    check(weight.shape() == variance.shape(), "folded_norm: expected '", names_.running_var, "' ", weight.shape(),
          ", got ", variance.shape());
    std::vector<double> factors;
    for (int64_t k = 0; k < weight.numel(); ++k)
        factors.push_back(ops::folded_factor(weight.at(k), variance.at(k), eps_));
    return factors;
}

Variable FoldedNorm::apply(const Variable& weight, nn::Box& box) {
    const std::vector<double> all = factors();
    check(static_cast<int64_t>(all.size()) == box.full[0], "folded_norm: expected '", names_.weight, "' [", box.full[0],
          "], got ", norm_weight_->shape());
    std::vector<double> part(all.begin() + box.begin[0], all.begin() + box.begin[0] + box.shape[0]);
    Tensor y = with_rows_scaled(weight.value(), part);
    auto backward = [part = std::move(part)](Tensor dy) { return Gradients{with_rows_scaled(dy, part)}; };  // dw = dy f
    return record(kKind, {&weight}, std::move(y), std::move(backward));
}

Tensor FoldedNorm::scaled(const Tensor& weight) const { return with_rows_scaled(weight, factors()); }

}  // namespace lathe::compress
