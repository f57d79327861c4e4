#include "lathe/nn/parameter.h"

#include <algorithm>

namespace lathe::nn {

namespace {

// [out, a * b] with the columns' two factors exchanged, `a` being the outer one before.
Tensor swap_columns(const Tensor& value, int64_t a) {
    return value.reshape({value.dim(0), a, value.dim(1) / a}).permute({0, 2, 1}).reshape(value.shape());
}

}  // namespace

Tensor FileOrder::to_file(const Tensor& value) const {
    if (kind == conv) return value.permute({0, 3, 1, 2});
    if (kind == image && pixels > 1) return swap_columns(value, pixels);
    return value;
}

Tensor FileOrder::from_file(const Tensor& stored) const {
    if (kind == conv) {
        check(stored.rank() == 4, "expected shape [out, in, kh, kw], got ", stored.shape());
        return stored.permute({0, 2, 3, 1});
    }
    if (kind == image && pixels > 1) {
        check(stored.rank() == 2 && stored.dim(1) % pixels == 0, "expected shape [out, channels * ", pixels, "], got ",
              stored.shape());
        return swap_columns(stored, stored.dim(1) / pixels);
    }
    return stored;
}

Variable Parameter::effective() {
    if (transforms_.empty()) return dense_;
    std::vector<uint64_t> key{value().version(), grad_enabled(), detail::tape()};
    for (const auto& transform : transforms_) key.push_back(transform->version());
    const bool walked = cached_.node() && cached_.node()->used;
    if (!cached_ || walked || key != cached_key_) {
        Variable weight = dense_;
        for (const auto& transform : transforms_) weight = transform->apply(weight);
        cached_ = std::move(weight);
        cached_key_ = std::move(key);
    }
    return cached_;
}

void Parameter::set_grad(Tensor grad) {
    check(!grad || grad.shape() == shape(), "parameter: expected a gradient of shape ", shape(), ", got ", grad.shape());
    dense_.node()->grad = std::move(grad);
}

void Parameter::set_value(Tensor value) {
    const bool trainable = !dense_ || dense_.requires_grad();
    dense_ = Variable::leaf(std::move(value));
    dense_.node()->requires_grad = trainable;
    slots_.clear();
    updates_ = 0;
    cached_ = {};
}

void Parameter::set_trainable(bool trainable) {
    if (!dense_) return;
    dense_.node()->requires_grad = trainable;
    if (!trainable) zero_grad();
    cached_ = {};
}

WeightTransform& Parameter::add_transform(std::unique_ptr<WeightTransform> transform) {
    for (const auto& present : transforms_)
        check(present->kind() != transform->kind(), "parameter: expected one '", transform->kind(), "' transform, got a second");
    transforms_.push_back(std::move(transform));
    cached_ = {};
    return *transforms_.back();
}

void Parameter::remove_transform(const std::string& kind) {
    std::erase_if(transforms_, [&](const auto& transform) { return transform->kind() == kind; });
    cached_ = {};
}

void Parameter::select_(int axis, const std::vector<int64_t>& indices) {
    Tensor value = dense_.value().select(axis, indices);
    Tensor grad = dense_.grad() ? dense_.grad().select(axis, indices) : Tensor{};
    auto slots = std::move(slots_);
    const int64_t updates = updates_;
    for (auto& [name, slot] : slots) slot = slot.select(axis, indices);
    for (const auto& transform : transforms_) transform->select_(axis, indices);
    set_value(std::move(value));
    set_grad(std::move(grad));
    slots_ = std::move(slots);
    updates_ = updates;
}

}  // namespace lathe::nn
