#include "lathe/nn/transform.h"

#include <numeric>

#include "lathe/core/graph/attributes_json.h"
#include "lathe/nn/codebook.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/parameter.h"

namespace lathe::nn {

namespace {

std::map<std::string, TransformKind>& kinds() {
    static std::map<std::string, TransformKind> known{
        {"mask", {.make = Mask::make, .decode = Mask::decode}},
        {"codebook", {.make = Codebook::make, .decode = Codebook::decode}},
    };
    return known;
}

}  // namespace

Box::Box(const Shape& full)
    : full(full), begin(std::vector<int64_t>(static_cast<size_t>(full.rank()), 0)), shape(full) {}

Tensor Along::select(const Tensor& tensor, int weight_axis, const std::vector<int64_t>& indices) const {
    const int axis = axis_of(weight_axis);
    return axis < 0 ? tensor : tensor.select(axis, indices);
}

Tensor Along::cut(const Tensor& tensor, const Box& box) const {
    check_fits(tensor, box.full);
    Tensor part = tensor;
    for (int i = 0; i < box.shape.rank(); ++i) {
        const int axis = axis_of(i);
        if (axis < 0 || box.shape[i] == box.full[i]) continue;
        std::vector<int64_t> indices(static_cast<size_t>(box.shape[i]));
        std::iota(indices.begin(), indices.end(), box.begin[i]);
        part = part.select(axis, indices);
    }
    return part;
}

void Along::check_fits(const Tensor& tensor, const Shape& weight) const {
    bool fits = kind_ != kWeight || tensor.rank() == weight.rank();
    for (int i = 0; i < weight.rank() && fits; ++i) {
        const int axis = axis_of(i);
        fits = axis < 0 || (axis < tensor.rank() && tensor.dim(axis) == weight[i]);
    }
    const std::string part = kind_ < 0 ? "" : concatenated("axis ", kind_, " of ");
    check(fits && kind_ < weight.rank(), "weight transform: expected a tensor that lies along ", part,
          "its weight of shape ", weight, ", got ", tensor.shape());
}

void WeightTransform::select_(int axis, const std::vector<int64_t>& indices) {
    std::map<std::string, Tensor> moved;
    for (const StateEntry& entry : state()) moved[entry.suffix] = entry.along.select(entry.tensor, axis, indices);
    if (!moved.empty()) load_state(moved);
    for (const OwnParameter& own : parameters())
        if (const int along = own.along.axis_of(axis); along >= 0) own.parameter->select_(along, indices);
}

Lowered WeightTransform::lower(Lowered, const Tensor&, const Box&) const { return {}; }

const char* name_of(WeightTransform::Stage stage) {
    constexpr const char* kNames[] = {"slice", "mask", "scale", "quantize"};
    return kNames[static_cast<size_t>(stage)];
}

void register_transform(const std::string& kind, TransformKind how) { kinds()[kind] = std::move(how); }

const TransformKind& transform_kind(const std::string& kind) {
    const auto found = kinds().find(kind);
    check(found != kinds().end(), "weight transform: unknown kind '", kind, "'");
    return found->second;
}

TransformPtr make_transform(const std::string& kind, const Attributes& config, const Tensor& weight) {
    TransformPtr transform = transform_kind(kind).make(config, weight);
    const std::string taken = json_of(transform->config()), given = json_of(config);
    check(taken == given, "weight transform: expected the settings ", taken, " of kind '", kind, "', got ", given);
    return transform;
}

}  // namespace lathe::nn
