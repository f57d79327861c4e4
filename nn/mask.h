#pragma once
#include "lathe/nn/transform.h"

namespace lathe::nn {

// Zeroes the weights whose mask is 0: effective = weight * mask. Masked elements get no gradient from the data; their
// dense value keeps what it had, less weight decay, so a mask that is lifted lets them grow back.
class Mask : public WeightTransform {
public:
    Mask() = default;
    // mask: u8, 0 or 1, of the weight's shape. Error: another type.
    explicit Mask(Tensor mask) { set_mask(std::move(mask)); }

    std::string kind() const override { return "mask"; }
    Variable apply(const Variable& weight) override;
    void select_(int axis, const std::vector<int64_t>& indices) override { set_mask(mask_.select(axis, indices)); }
    std::map<std::string, Tensor> state() const override { return {{"mask", mask_}}; }
    void load_state(const std::map<std::string, Tensor>& state) override { set_mask(state.at("mask")); }
    std::string describe() const override;
    uint64_t version() const override { return version_; }

    const Tensor& mask() const { return mask_; }
    void set_mask(Tensor mask);
    double sparsity() const;  // share of zeros, 0 to 1

private:
    Tensor mask_;
    Tensor factor_;  // the mask as numbers of the weight's type, made on first use
    uint64_t version_ = 0;
};

}  // namespace lathe::nn
