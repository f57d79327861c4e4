#include "lathe/compress/weights/importance.h"

#include <cmath>

#include "lathe/compress/detail/gradients.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/parallel.h"

namespace lathe::compress {

namespace {

constexpr EnumNames<WeightImportance, 4> kImportanceNames{"importance", {
    {WeightImportance::magnitude, "magnitude"},
    {WeightImportance::taylor, "taylor"},
    {WeightImportance::movement, "movement"},
    {WeightImportance::random, "random"},
}};

constexpr const char* kScore = "kept_score";
static_assert(std::string_view(kScore).starts_with(nn::Parameter::kKept));

bool needs_gradients(WeightImportance kind) {
    return kind == WeightImportance::taylor || kind == WeightImportance::movement;
}

// score = decay * score + what the present gradient says.
void add_score(nn::Parameter& parameter, Tensor& score, WeightImportance kind, float decay) {
    with_float(parameter.value(), [&](auto zero) {
        using T = decltype(zero);
        const T *w = parameter.value().template data<T>(), *g = parameter.grad().template data<T>();
        float* s = score.mutable_data<float>();
        const bool taylor = kind == WeightImportance::taylor;
        parallel_for(score.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
                const auto change = static_cast<float>(-g[i] * w[i]);
                s[i] = decay * s[i] + (taylor ? std::abs(change) : change);
            }
        });
    });
}

std::vector<Tensor> scores_from_images(nn::Module& module, const NamedParameters& parameters,
                                       const WeightImportanceOptions& o) {
    std::vector<Tensor> scores;
    for (const auto& [name, parameter] : parameters) scores.push_back(Tensor::zeros(parameter->shape()));
    detail::for_each_gradient(module, *o.data, o.images, o.seed, [&](int64_t) {
        for (size_t i = 0; i < scores.size(); ++i)
            if (parameters[i].second->grad()) add_score(*parameters[i].second, scores[i], o.kind, 1);
    });
    return scores;
}

Tensor random_scores(const Shape& shape, Random random) {
    Tensor scores(shape);
    float* to = scores.mutable_data<float>();
    for (int64_t i = 0; i < scores.numel(); ++i) to[i] = static_cast<float>(random.uniform());
    return scores;
}

Tensor magnitudes(const Tensor& value) {
    Tensor found = value.to(DType::f32).clone();
    float* w = found.mutable_data<float>();
    for (int64_t i = 0; i < found.numel(); ++i) w[i] = std::abs(w[i]);
    return found;
}

}  // namespace

const char* name_of(WeightImportance importance) { return kImportanceNames[importance]; }
std::vector<std::string> weight_importance_names() { return kImportanceNames.all(); }
WeightImportance weight_importance_of(const std::string& name) { return kImportanceNames.value_of(name); }

std::vector<Tensor> weight_importance(nn::Module& module, const NamedParameters& parameters,
                                      const WeightImportanceOptions& o) {
    std::vector<Tensor> found;
    bool collected = needs_gradients(o.kind);
    for (const auto& [name, parameter] : parameters) collected = collected && parameter->slots().count(kScore);
    if (collected) {
        for (const auto& [name, parameter] : parameters) found.push_back(parameter->slots().at(kScore).clone());
    } else if (needs_gradients(o.kind)) {
        check(o.data, "importance ", name_of(o.kind), ": expected images to take gradients from, got none");
        found = scores_from_images(module, parameters, o);
    } else {
        for (size_t i = 0; i < parameters.size(); ++i) {
            const nn::Parameter& parameter = *parameters[i].second;
            found.push_back(o.kind == WeightImportance::random ? random_scores(parameter.shape(), Random(o.seed, i))
                                                               : magnitudes(parameter.value()));
        }
    }
    return found;
}

void collect_scores(const NamedParameters& parameters, WeightImportance kind) {
    if (!needs_gradients(kind)) return;
    for (const auto& [name, parameter] : parameters) {
        if (!parameter->grad()) continue;
        Tensor& score = parameter->slots()[kScore];
        if (!score) score = Tensor::zeros(parameter->shape());
        add_score(*parameter, score, kind, kind == WeightImportance::taylor ? 0.9f : 1.0f);
    }
}

}  // namespace lathe::compress
