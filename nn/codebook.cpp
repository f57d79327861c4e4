#include "lathe/nn/codebook.h"

#include <algorithm>
#include <bit>

#include "lathe/core/ceil_div.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/parallel.h"
#include "lathe/nn/files/encode.h"

namespace lathe::nn {

namespace {

constexpr int64_t kGrain = 1 << 14;  // weights a task
constexpr int64_t kMostEntries = 256;

constexpr EnumNames<Codebook::Gradient, 2> kNames{"gradient of a codebook", {
    {Codebook::Gradient::mean, "mean"},
    {Codebook::Gradient::sum, "sum"},
}};

void check_indices(const Tensor& indices, int64_t entries) {
    check(indices.dtype() == DType::u8, "codebook: expected indices of type u8, got ", name_of(indices.dtype()));
    const uint8_t* index = indices.data<uint8_t>();
    const auto greatest = std::max_element(index, index + indices.numel());
    check(indices.numel() == 0 || *greatest < entries, "codebook: expected indices of ", entries, " entries, got ",
          indices.numel() ? int{*greatest} : 0);
}

Tensor taken(const Tensor& entries, const Tensor& indices) {
    Tensor values(indices.shape(), entries.dtype());
    with_float(values, [&](auto zero) {
        using T = decltype(zero);
        const T* from = entries.data<T>();
        const uint8_t* index = indices.data<uint8_t>();
        T* to = values.mutable_data<T>();
        parallel_for(values.numel(), kGrain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) to[i] = from[index[i]];
        });
    });
    return values;
}

}  // namespace

// Backward: y_i = c_k where index_i = k and w_i is not 0, so dc_k is the sum of dy_i over those i, or their mean. Tasks
// of fixed size add up in order, so that the bits do not depend on threads.
Variable look_up(const Variable& weight, const Variable& codebook, const Tensor& indices, Codebook::Gradient gradient) {
    Tensor y = taken(codebook.value(), indices);
    return with_float(y, [&](auto zero) {
        using T = decltype(zero);
        const T* w = weight.value().data<T>();
        T* to = y.mutable_data<T>();
        parallel_for(y.numel(), kGrain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) to[i] = w[i] == 0 ? 0 : to[i];
        });
        auto backward = [=, w = Saved(weight.value()), entries = codebook.shape()](Tensor dy) -> Gradients {
            struct Sums {
                double of[kMostEntries] = {}, count[kMostEntries] = {};
            };
            std::vector<Sums> sums(static_cast<size_t>(std::max<int64_t>(1, ceil_div(dy.numel(), kGrain))));
            const T *g = dy.template data<T>(), *dense = w->template data<T>();
            const uint8_t* index = indices.data<uint8_t>();
            parallel_for(dy.numel(), kGrain, [&](int64_t begin, int64_t end) {
                Sums& mine = sums[static_cast<size_t>(begin / kGrain)];
                for (int64_t i = begin; i < end; ++i)
                    if (dense[i] != 0) mine.of[index[i]] += g[i], mine.count[index[i]] += 1;
            });
            Tensor dc(entries, dy.dtype());
            for (int64_t k = 0; k < dc.numel(); ++k) {
                double sum = 0, count = 0;
                for (const Sums& part : sums) sum += part.of[k], count += part.count[k];
                const bool mean = gradient == Codebook::Gradient::mean && count > 0;
                dc.mutable_data<T>()[k] = static_cast<T>(mean ? sum / count : sum);
            }
            return {dc};
        };
        return record("codebook", {&codebook}, std::move(y), std::move(backward));
    });
}

const char* Codebook::name_of(Gradient gradient) { return kNames[gradient]; }
Codebook::Gradient Codebook::gradient_of(const std::string& name) { return kNames.value_of(name); }

Codebook::Codebook(Tensor indices, Tensor entries, Gradient gradient)
    : entries_(std::move(entries)), gradient_(gradient) {
    const int64_t count = entries_.value().numel();
    check(entries_.shape().rank() == 1 && count >= 2 && count <= kMostEntries && count == int64_t{1} << bits(),
          "codebook: expected entries [2^bits], 1 to 8 bits, got ", entries_.shape());
    set_indices(std::move(indices));
}

TransformPtr Codebook::make(const Attributes& config, const Tensor& weight) {
    const int64_t bits = config.integer("bits");
    check(bits >= 1 && bits <= 8, "codebook: expected 1 to 8 bits, got ", bits);
    return std::make_unique<Codebook>(Tensor::zeros(weight.shape(), DType::u8),
                                      Tensor::zeros({int64_t{1} << bits}, weight.dtype()),
                                      gradient_of(config.text("gradient")));
}

void Codebook::set_indices(Tensor indices) {
    check_indices(indices, entries_.value().numel());
    indices_ = std::move(indices);
    ++version_;
}

int64_t Codebook::bits() const { return std::bit_width(static_cast<uint64_t>(entries_.value().numel())) - 1; }

std::string Codebook::describe() const { return concatenated("codebook, ", bits(), " bits"); }

Tensor Codebook::values() const { return taken(entries(), indices_); }

Variable Codebook::apply(const Variable& weight, Box& box) {
    return look_up(weight, entries_.effective(), Along::weight().cut(indices_, box), gradient_);
}

Lowered Codebook::lower(Lowered before, const Tensor&, const Box& box) const {
    before.indices = Along::weight().cut(indices_, box);
    before.codebook = entries();
    return before;
}

void Codebook::encode(Encoded& weight) const {
    weight.tensors[""] = weight.tensors.at("indices");
    weight.tensors.erase("indices");
    weight.symbols[""] = static_cast<int>(bits());
}

void Codebook::decode(Encoded& weight, const Attributes&) {
    const Tensor indices = weight.tensors[""], entries = weight.tensors["codebook"];
    check(indices && entries, "codebook: expected indices and a codebook");
    check_indices(indices, entries.numel());
    Tensor values = taken(entries, indices);
    with_float(values, [&](auto zero) {
        const uint8_t* keep = weight.keep ? weight.keep.data<uint8_t>() : nullptr;
        auto* to = values.mutable_data<decltype(zero)>();
        for (int64_t i = 0; keep && i < values.numel(); ++i)
            if (!keep[i]) to[i] = 0;
    });
    weight.tensors[""] = values;
    weight.tensors["indices"] = indices;
}

Codebook& set_codebook(Parameter& parameter, Tensor indices, Tensor entries, Codebook::Gradient gradient) {
    auto codebook = std::make_unique<Codebook>(std::move(indices), std::move(entries), gradient);
    check(codebook->indices().shape() == parameter.shape(), "codebook: expected indices of shape ", parameter.shape(),
          ", got ", codebook->indices().shape());
    Tensor values = codebook->values();
    parameter.remove_transform(codebook->kind());
    auto& added = static_cast<Codebook&>(parameter.add_transform(std::move(codebook)));
    parameter.set_value(std::move(values));
    return added;
}

}  // namespace lathe::nn
