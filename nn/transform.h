#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe::nn {

// One stage of a weight's pipeline: ElasticSlice -> Mask -> Codebook | FakeQuantize. It knows neither the other stages
// nor the layer that uses the weight.
class WeightTransform {
public:
    virtual ~WeightTransform() = default;

    // The kind by which files and reports name it ("mask"); one transform of a kind per weight.
    virtual std::string kind() const = 0;
    // The weight as seen by the next stage, recorded on the tape; may change its shape.
    virtual Variable apply(const Variable& weight) = 0;
    // Keeps the slices `indices` along `axis`, in that order: the weight was pruned or permuted.
    virtual void select_(int axis, const std::vector<int64_t>& indices) = 0;
    // The tensors that belong in a file beside the weight, by suffix: "mask" is stored as "conv1.weight.mask".
    virtual std::map<std::string, Tensor> state() const = 0;
    virtual void load_state(const std::map<std::string, Tensor>& state) = 0;  // what state() gave
    virtual std::string describe() const = 0;                                 // "mask, 50.0% zero"
    // Grows whenever apply would give another result for the same weight.
    virtual uint64_t version() const { return 0; }
};

// Makes an empty transform of a kind, to be filled by load_state. Kinds beyond Mask are added with register_transform.
// Error: unknown kind.
using TransformFactory = std::unique_ptr<WeightTransform> (*)();
std::unique_ptr<WeightTransform> make_transform(const std::string& kind);
void register_transform(const std::string& kind, TransformFactory factory);

}  // namespace lathe::nn
