#pragma once
#include "lathe/nn/transform.h"

namespace lathe::nn {

// Zeroes the weights whose mask is 0: effective = weight * mask. Masked elements get no gradient from the data.
class Mask : public WeightTransform {
public:
    // keep: u8, 0 or 1, of the weight's shape. Error: another type or value, or the pattern is not the mask's.
    explicit Mask(Tensor keep, const kernels::Pattern& pattern = {}) { set_mask(std::move(keep), pattern); }
    static TransformPtr make(const Attributes& config, const Tensor& weight);
    static void decode(Encoded& weight, const Attributes& config);

    std::string kind() const override { return "mask"; }
    Stage stage() const override { return Stage::mask; }
    Attributes config() const override;  // the pattern, when there is one
    std::string describe() const override;
    Variable apply(const Variable& weight, Box& box) override;
    uint64_t version() const override { return version_; }
    std::vector<StateEntry> state() const override { return {{"mask", mask_, Along::weight()}}; }
    void load_state(const std::map<std::string, Tensor>& state) override { set_mask(state.at("mask"), pattern_); }
    // A pattern that the selection breaks is forgotten.
    void select_(int axis, const std::vector<int64_t>& indices) override;
    Lowered lower(Lowered before, const Tensor& weight, const Box& box) const override;
    void encode(Encoded& weight) const override;  // without the masked values: they cannot come back

    const Tensor& mask() const { return mask_; }
    const kernels::Pattern& pattern() const { return pattern_; }
    void set_mask(Tensor keep, const kernels::Pattern& pattern = {});
    double sparsity() const;  // share of zeros, 0 to 1

private:
    Mask() = default;

    Tensor mask_;
    kernels::Pattern pattern_;
    Tensor factor_;  // the part of the mask that was last applied, as numbers of the weight's type
    Box part_{{}};   // which part
    uint64_t version_ = 0;
};

// Whether a mask [out, ..., in] has a pattern.
bool has_pattern(const Tensor& keep, const kernels::Pattern& pattern);

// Masks a parameter, or changes the mask that it has. The optimizer forgets what it remembers of weights whose mask
// turns 0: their dense value keeps what it has, less weight decay, until a later mask lets them train again. Error: as
// Mask.
Mask& set_mask(Parameter& parameter, Tensor keep, const kernels::Pattern& pattern = {});

}  // namespace lathe::nn
