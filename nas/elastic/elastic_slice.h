#pragma once
#include <string>
#include <vector>

#include "lathe/nn/parameter.h"

namespace lathe::nas {

// The part of a weight that a subnet uses; 0: all there is.
struct ActivePart {
    int64_t out = 0;     // first slices of the first axis: output channels, or the elements of a bias or norm
    int64_t in = 0;      // first slices of the last axis: input channels
    int64_t kernel = 0;  // side of the kernel [out, n, n, in], odd
    bool operator==(const ActivePart&) const = default;
};

// Lets a supernet's subnets share one weight (Cai et al. 2020, "Once-for-all", arXiv 1908.09791, section 3.3): each
// uses the first channels, and of a kernel its centre, which learned matrices transform on the way from one size to the
// next smaller: y = M x for the taps x [25 or 9] of every pair of channels alike. The matrices begin as the identity,
// and are parameters of the weight: "7to5_matrix", "5to3_matrix". Slices of the first axis copy nothing. A mask that
// follows lies along the full weight, so a small kernel meets the centre of the mask.
class ElasticSlice : public nn::WeightTransform {
public:
    explicit ElasticSlice(const Tensor& weight);
    static nn::TransformPtr make(const Attributes& config, const Tensor& weight);

    std::string kind() const override { return "elastic_slice"; }
    Stage stage() const override { return Stage::slice; }
    Attributes config() const override;
    std::string describe() const override;
    Variable apply(const Variable& weight, nn::Box& box) override;
    uint64_t version() const override { return version_; }
    std::vector<nn::OwnParameter> parameters() override;
    // What is kept of the active part is active afterwards. Error: kernels are not cut so.
    void select_(int axis, const std::vector<int64_t>& indices) override;

    const ActivePart& active() const { return active_; }  // with numbers for "all"
    void use(ActivePart part);  // Error: more than the weight has, or a kernel that is not odd and at least 3

private:
    bool has_kernel() const { return full_.rank() == 4; }

    Shape full_;
    ActivePart active_;
    std::vector<nn::Parameter> matrices_;  // from the largest kernel to the smallest; none if it cannot shrink
    uint64_t version_ = 0;
};

// Makes the transform known to files: nn::load reads models that have it. Doing it again changes nothing.
void register_elastic_slice();

}  // namespace lathe::nas
