#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/tape/variable.h"
#include "lathe/nn/transform.h"

namespace lathe::nn {

// How a parameter is arranged here against its order in files, which is PyTorch's.
struct FileOrder {
    enum Kind {
        plain,  // the same
        conv,   // here [out, kh, kw, in], in files [out, in, kh, kw]
        image,  // a linear layer behind a flattened image: here [out, (h, w, c)], in files [out, (c, h, w)]
    } kind = plain;
    int64_t pixels = 1;  // h * w, of `image`
    int axis = 1;        // (h, w, c), of `image`

    Tensor to_file(const Tensor& value) const;
    Tensor from_file(const Tensor& stored) const;  // Error: a shape that this arrangement cannot have
    FileOrder beside(const Along& along) const;    // of a tensor that lies so along a weight of this order
};

// A trainable weight: the dense value, its gradient, the optimizer's state for it, and the chain of transforms that
// makes the effective weight. Layers use effective() only.
class Parameter {
public:
    Parameter() = default;  // absent: false (no bias)
    explicit Parameter(Tensor value, FileOrder layout = {}) : layout_(layout) { set_value(std::move(value)); }
    Parameter(const Parameter&) = delete;
    Parameter& operator=(const Parameter&) = delete;
    Parameter(Parameter&&) = default;
    Parameter& operator=(Parameter&&) = default;

    explicit operator bool() const { return static_cast<bool>(dense_); }
    const Tensor& value() const { return dense_.value(); }
    Tensor mutable_value() { return dense_.value(); }  // to write elements through; set_value replaces the tensor
    const Shape& shape() const { return dense_.shape(); }
    const Tensor& grad() const { return dense_.grad(); }
    void set_grad(Tensor grad);
    void zero_grad() { dense_.zero_grad(), used_.clear(); }
    // Stretches of the value's elements, [begin, end) in order, that forwards since zero_grad computed with: all,
    // unless a transform takes part of the weight. Gradients of the others are zero; an optimizer leaves them alone.
    std::vector<std::pair<int64_t, int64_t>> used() const;
    const FileOrder& layout() const { return layout_; }

    // The weight that layers compute with: the dense value through every transform, on the tape. Computed once until
    // the value, a transform, a parameter of one or the tape changes. Empty for an absent parameter.
    Variable effective();
    // What the transforms let a kernel use of the effective weight beside its values.
    Lowered lowered() const;

    // Replaces the value; the shape may differ. Drops the gradient and the optimizer's slots; transforms must still
    // fit.
    void set_value(Tensor value);

    uint64_t version() const { return revision_ + value().version(); }  // grows whenever the value may have changed

    bool trainable() const { return dense_.requires_grad(); }
    void set_trainable(bool trainable);

    // The transforms in order of application: by stage, at most one of each.
    const std::vector<std::unique_ptr<WeightTransform>>& transforms() const { return transforms_; }
    // Error: one of that stage or kind is there, or its state does not lie along this weight.
    WeightTransform& add_transform(std::unique_ptr<WeightTransform> transform);
    void remove_transform(const std::string& kind);
    template <class T>
    T* find_transform() const {
        for (const auto& transform : transforms_)
            if (auto* wanted = dynamic_cast<T*>(transform.get())) return wanted;
        return nullptr;
    }

    // Calls f(suffix, parameter) for this parameter, with "", and those of its transforms, with ".step".
    template <class F>
    void for_each(F&& f, const std::string& suffix = "") {
        f(suffix, *this);
        for (const auto& transform : transforms_)
            for (const OwnParameter& own : transform->parameters())
                own.parameter->for_each(f, suffix + "." + own.suffix);
    }
    bool owned() const { return owned_; }  // by a transform of another parameter

    // Keeps the slices `indices` along `axis`, in that order: the one way a weight changes size or order. Value,
    // gradient, optimizer slots and transforms with what is theirs move together. Error: index out of range.
    void select_(int axis, const std::vector<int64_t>& indices);

    // The state that training keeps for this weight by name, of the value's shape: the optimizer's ("momentum") and,
    // with names that begin with kKept, what is not the optimizer's to drop ("kept_score" of a pruner). updates()
    // counts the updates that made the optimizer's.
    static constexpr const char* kKept = "kept_";
    std::map<std::string, Tensor>& slots() { return slots_; }
    int64_t& updates() { return updates_; }

private:
    void add_to_key(std::vector<uint64_t>& key) const;
    Variable transformed(Box& box, Lowered* lowered) const;

    Variable dense_;
    FileOrder layout_{};
    std::vector<std::unique_ptr<WeightTransform>> transforms_;
    std::map<std::string, Tensor> slots_;
    int64_t updates_ = 0;
    bool owned_ = false;
    uint64_t revision_ = 0;  // grows when the value is replaced or is to be trained otherwise

    Variable cached_;  // the effective weight, valid for cached_key_
    std::vector<uint64_t> cached_key_;
    std::optional<Box> cached_box_;  // the part of the value that it is
    std::vector<Box> used_;          // such parts that were asked for with gradients; none: all
};

}  // namespace lathe::nn
