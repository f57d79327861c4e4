#include "lathe/nn/snapshot.h"

namespace lathe::nn {

namespace {

std::map<std::string, Tensor> copies(const std::map<std::string, Tensor>& tensors) {
    std::map<std::string, Tensor> made;
    for (const auto& [name, tensor] : tensors) made[name] = tensor.clone();
    return made;
}

const auto& entry(const auto& entries, const std::string& name) {
    const auto found = entries.find(name);
    check(found != entries.end(), "'", name, "' is missing");
    return found->second;
}

}  // namespace

Snapshot::SavedParameter Snapshot::saved(Parameter& parameter) {
    SavedParameter saved{.value = parameter.value().clone(),
                         .grad = parameter.grad() ? parameter.grad().clone() : Tensor{},
                         .slots = copies(parameter.slots()),
                         .updates = parameter.updates(),
                         .trainable = parameter.trainable(),
                         .transforms = {}};
    for (const auto& transform : parameter.transforms()) {
        SavedTransform one{.kind = transform->kind(), .config = transform->config(), .state = {}, .own = {}};
        for (const StateEntry& entry : transform->state()) one.state[entry.suffix] = entry.tensor.clone();
        for (const OwnParameter& own : transform->parameters()) one.own[own.suffix] = Snapshot::saved(*own.parameter);
        saved.transforms.push_back(std::move(one));
    }
    return saved;
}

void Snapshot::restore(Parameter& parameter, const SavedParameter& saved, const What& what) {
    parameter.set_value(saved.value.clone());
    if (what.transforms) {
        const auto is_saved = [&](const WeightTransform& present) {
            for (const SavedTransform& one : saved.transforms)
                if (one.kind == present.kind() && one.config == present.config()) return true;
            return false;
        };
        std::vector<std::string> other;
        std::map<std::string, WeightTransform*> present;
        for (const auto& transform : parameter.transforms())
            if (is_saved(*transform)) present[transform->kind()] = transform.get();
            else other.push_back(transform->kind());
        for (const std::string& kind : other) parameter.remove_transform(kind);
        for (const SavedTransform& one : saved.transforms) {
            WeightTransform*& transform = present[one.kind];
            if (!transform)
                transform = &parameter.add_transform(make_transform(one.kind, one.config, parameter.value()));
            transform->load_state(copies(one.state));
            for (const OwnParameter& own : transform->parameters())
                restore(*own.parameter, entry(one.own, own.suffix), what);
        }
    }
    if (!what.training) return;
    parameter.set_trainable(saved.trainable);
    if (saved.grad) parameter.set_grad(saved.grad.clone());
    parameter.slots() = copies(saved.slots);
    parameter.updates() = saved.updates;
}

Snapshot::Snapshot(Module& module) {
    for (const auto& [name, parameter] : module.named_parameters())
        if (!parameter->owned()) parameters_.emplace(name, saved(*parameter));
    for (const auto& [name, buffer] : module.named_buffers()) buffers_[name] = buffer->clone();
}

void Snapshot::restore(Module& module, const What& what) const {
    const auto parameters = module.named_parameters();
    const auto buffers = module.named_buffers();
    for (const auto& [name, parameter] : parameters) {
        if (parameter->owned()) continue;
        const Shape& shape = entry(parameters_, name).value.shape();
        check(what.transforms || shape == parameter->shape(), "expected '", name, "' of shape ", parameter->shape(),
              ", got ", shape);
    }
    for (const auto& [name, buffer] : buffers) entry(buffers_, name);
    for (const auto& [name, parameter] : parameters)  // with those of its transforms, which may go when they do
        if (parameters_.count(name)) restore(*parameter, parameters_.at(name), what);
    for (const auto& [name, buffer] : buffers) *buffer = buffers_.at(name).clone();
}

}  // namespace lathe::nn
