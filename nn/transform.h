#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lathe/core/graph/lowered.h"
#include "lathe/core/tape/variable.h"

namespace lathe::nn {

class Module;
class Parameter;
struct Encoded;

// The part of a weight of shape `full` that a stage of its pipeline sees: along each axis, `shape` slices from `begin`
// on.
struct Box {
    Shape full, begin, shape;

    explicit Box(const Shape& full);  // all of it
    bool operator==(const Box&) const = default;
};

// How a tensor that belongs to a weight lies along it, so that it moves with the weight when slices are kept, cut or
// reordered.
class Along {
public:
    static Along weight() { return Along(kWeight); }     // element by element: it has the weight's shape
    static Along axis(int axis) {
        return Along(axis);
    }  // its first axis is that axis of the weight; others are its own
    static Along none() { return Along(kNone); }         // as it is, whatever becomes of the weight
    bool is_weight() const { return kind_ == kWeight; }

    // Which axis of the tensor lies along that axis of the weight; -1: none does.
    int axis_of(int weight_axis) const { return kind_ == kWeight ? weight_axis : kind_ == weight_axis ? 0 : -1; }
    Tensor select(const Tensor& tensor, int weight_axis, const std::vector<int64_t>& indices) const;
    // What meets a box of the weight. The same handle when that is all of it. Error: the tensor does not fit the full
    // weight.
    Tensor cut(const Tensor& tensor, const Box& box) const;
    // Error: the tensor cannot lie so along a weight of that shape.
    void check_fits(const Tensor& tensor, const Shape& weight) const;

private:
    static constexpr int kWeight = -1, kNone = -2;
    explicit Along(int kind) : kind_(kind) {}
    int kind_;
};

// What belongs to a transform, by suffix: "mask" of "conv1.weight" is "conv1.weight.mask".
struct StateEntry {
    std::string suffix;
    Tensor tensor;
    Along along;
};
struct OwnParameter {
    std::string suffix;
    Parameter* parameter;
    Along along;
};

// One stage of a weight's pipeline. It knows neither the other stages nor the layer that uses the weight.
class WeightTransform {
public:
    // In this order they are applied, whoever was added first.
    enum class Stage { slice, mask, scale, quantize };

    virtual ~WeightTransform() = default;

    // The kind by which files and reports name it ("mask").
    virtual std::string kind() const = 0;
    virtual Stage stage() const = 0;
    // Its settings ("bits"), which a file holds beside the kind; the factory of the kind gets them back.
    virtual Attributes config() const { return {}; }
    virtual std::string describe() const = 0;  // "mask, 50.0% zero"

    // The weight as seen by the next stage, recorded on the tape. `box` says which part of the full weight it is; one
    // that changes the shape narrows it, for state of later stages lies along the full weight.
    virtual Variable apply(const Variable& weight, Box& box) = 0;
    // Grows whenever apply would give another result for the same weight and parameters.
    virtual uint64_t version() const { return 0; }

    // What it trains: these are parameters of the module like all others. They stay where they are as long as it lives.
    virtual std::vector<OwnParameter> parameters() { return {}; }
    // What it keeps beside them, in files, too. load_state gets one tensor for each suffix. Error: of a form it cannot
    // have.
    virtual std::vector<StateEntry> state() const { return {}; }
    virtual void load_state(const std::map<std::string, Tensor>&) {}
    // Finds by name what it reads of the network that its weight belongs to, in which all else is there by now. Error:
    // it is not, or does not fit.
    virtual void bind(Module&) {}
    // Keeps the slices `indices` along `axis` of the weight, in that order: moves state and own parameters along.
    virtual void select_(int axis, const std::vector<int64_t>& indices);

    // What a kernel may use of what apply makes of `weight`, the part `box` of the full one; `before`: what is known of
    // that. By default nothing but its values. Runs no ops.
    virtual Lowered lower(Lowered before, const Tensor& weight, const Box& box) const;

    // What a file stores of the weight in the place of its tensors (nn/files/encode.h); by default them. The last stage
    // encodes first.
    virtual void encode(Encoded&) const {}
};
const char* name_of(WeightTransform::Stage stage);

// What a kind must be able to do before a transform of it is there.
using TransformPtr = std::unique_ptr<WeightTransform>;
struct TransformKind {
    // A transform for a weight, to be filled by load_state. Error: settings that it cannot have.
    std::function<TransformPtr(const Attributes& config, const Tensor& weight)> make{};
    // Undoes encode; none where that does nothing. Error: damaged tensors.
    std::function<void(Encoded& weight, const Attributes& config)> decode{};
};
// Kinds beyond Mask and Codebook are added with register_transform. Error: an unknown kind.
void register_transform(const std::string& kind, TransformKind how);
const TransformKind& transform_kind(const std::string& kind);

// Error: an unknown kind, settings that it does not have.
TransformPtr make_transform(const std::string& kind, const Attributes& config, const Tensor& weight);

}  // namespace lathe::nn
