#include "lathe/nn/parameter.h"

#include <algorithm>

namespace lathe::nn {

namespace {

// [.., a * b, ..] with that axis's two factors exchanged, `a` being the outer one before.
Tensor swap_factors(const Tensor& value, int axis, int64_t a) {
    int64_t outer = 1;
    for (int i = 0; i < axis; ++i) outer *= value.dim(i);
    const int64_t extent = value.dim(axis), inner = value.numel() / std::max<int64_t>(1, outer * extent);
    return value.reshape({outer, a, extent / a, inner}).permute({0, 2, 1, 3}).reshape(value.shape());
}

}  // namespace

Tensor FileOrder::to_file(const Tensor& value) const {
    if (kind == conv) return value.permute({0, 3, 1, 2});
    if (kind == image && pixels > 1) return swap_factors(value, axis, pixels);
    return value;
}

Tensor FileOrder::from_file(const Tensor& stored) const {
    if (kind == conv) {
        check(stored.rank() == 4, "expected shape [out, in, kh, kw], got ", stored.shape());
        return stored.permute({0, 2, 3, 1});
    }
    if (kind == image && pixels > 1) {
        check(stored.rank() > axis && stored.dim(axis) % pixels == 0, "expected shape [", axis == 1 ? "out, " : "",
              "channels * ", pixels, "], got ", stored.shape());
        return swap_factors(stored, axis, stored.dim(axis) / pixels);
    }
    return stored;
}

FileOrder FileOrder::beside(const Along& along) const {
    const bool has_columns = kind == image && along.axis_of(axis) >= 0, is_conv = kind == conv && along.is_weight();
    if (has_columns) return {.kind = image, .pixels = pixels, .axis = along.axis_of(axis)};
    return {.kind = is_conv ? conv : plain};
}

// Everything that the effective weight follows from.
void Parameter::add_to_key(std::vector<uint64_t>& key) const {
    key.push_back(version());
    for (const auto& transform : transforms_) {
        key.push_back(transform->version());
        for (const OwnParameter& own : transform->parameters()) own.parameter->add_to_key(key);
    }
}

Variable Parameter::effective() {
    if (transforms_.empty()) return dense_;
    std::vector<uint64_t> key{grad_enabled(), detail::tape()};
    add_to_key(key);
    const bool walked = cached_.node() && cached_.node()->used;
    if (!cached_ || walked || key != cached_key_) {
        cached_ = transformed(cached_box_.emplace(shape()), nullptr);
        cached_key_ = std::move(key);
    }
    if (grad_enabled() && std::find(used_.begin(), used_.end(), *cached_box_) == used_.end())
        used_.push_back(*cached_box_);
    return cached_;
}

// The union of the boxes, row by row of the last axis.
std::vector<std::pair<int64_t, int64_t>> Parameter::used() const {
    const Shape& full = shape();
    const bool all = used_.empty() || full.rank() == 0 ||
                     std::any_of(used_.begin(), used_.end(), [&](const Box& box) { return box.shape == full; });
    if (all) return {{0, full.numel()}};
    std::vector<std::pair<int64_t, int64_t>> found, of_row;
    const auto has_row = [&](const Box& box, int64_t row) {
        for (int axis = full.rank() - 2; axis >= 0; row /= full[axis--])
            if (const int64_t i = row % full[axis] - box.begin[axis]; i < 0 || i >= box.shape[axis]) return false;
        return true;
    };
    for (int64_t row = 0; row < full.numel() / full.back(); ++row) {
        of_row.clear();
        for (const Box& box : used_)
            if (const int64_t begin = row * full.back() + box.begin.back(); has_row(box, row))
                of_row.emplace_back(begin, begin + box.shape.back());
        std::sort(of_row.begin(), of_row.end());
        for (const auto& [begin, end] : of_row)
            if (found.empty() || begin > found.back().second) found.emplace_back(begin, end);
            else found.back().second = std::max(found.back().second, end);
    }
    return found;
}

// The dense value through every transform; tells `lowered` what is known of the result.
Variable Parameter::transformed(Box& box, Lowered* lowered) const {
    Variable weight = dense_;
    for (const auto& transform : transforms_) {
        if (lowered) *lowered = transform->lower(std::move(*lowered), weight.value(), box);
        weight = transform->apply(weight, box);
        check(weight.shape() == box.shape, transform->kind(), ": expected a weight of the shape of its box ", box.shape,
              ", got ", weight.shape());
    }
    return weight;
}

Lowered Parameter::lowered() const {
    const NoGrad no_grad;
    Lowered lowered;
    Box box(shape());
    transformed(box, &lowered);
    return lowered;
}

void Parameter::set_grad(Tensor grad) {
    check(!grad || grad.shape() == shape(), "parameter: expected a gradient of shape ", shape(), ", got ",
          grad.shape());
    dense_.node()->grad = std::move(grad);
}

void Parameter::set_value(Tensor value) {
    const bool trainable = !dense_ || dense_.requires_grad();
    if (dense_) revision_ += dense_.value().version();  // the new value counts its own from the beginning
    dense_ = Variable::leaf(std::move(value));
    dense_.node()->requires_grad = trainable;
    slots_.clear();
    updates_ = 0;
    used_.clear();
    cached_ = {};
    ++revision_;
}

void Parameter::set_trainable(bool trainable) {
    if (!dense_) return;
    dense_.node()->requires_grad = trainable;
    if (!trainable) zero_grad();
    cached_ = {};
    ++revision_;
}

WeightTransform& Parameter::add_transform(std::unique_ptr<WeightTransform> transform) {
    for (const auto& present : transforms_) {
        const std::string kind = transform->kind();
        check(present->kind() != kind, "parameter: expected one '", kind, "' transform, got a second");
        check(present->stage() != transform->stage(), "parameter: expected one transform of the stage '",
              name_of(transform->stage()), "', got '", kind, "' beside '", present->kind(), "'");
    }
    for (const StateEntry& entry : transform->state()) {
        const PathScope scope(entry.suffix);
        if (entry.tensor) entry.along.check_fits(entry.tensor, shape());
    }
    for (const OwnParameter& own : transform->parameters()) {
        const PathScope scope(own.suffix);
        own.along.check_fits(own.parameter->value(), shape());
        own.parameter->owned_ = true;
        own.parameter->layout_ = layout_.beside(own.along);
    }
    const auto later = [&](const auto& present) { return present->stage() > transform->stage(); };
    const auto place = std::find_if(transforms_.begin(), transforms_.end(), later);
    cached_ = {};
    return **transforms_.insert(place, std::move(transform));
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
