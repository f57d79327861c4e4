#pragma once
#include <algorithm>
#include <cmath>

#include "lathe/core/ops/matmul.h"
#include "lathe/core/ops/permute.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/slice.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/parameter.h"

// Two weight transforms that learn something of their own, as users could write them.
namespace lathe::testing {

// w [K, ...] rounded to whole multiples of a step for each row, at most `most` and at least -most - 1 of them. The
// gradient goes straight through the rounding: to weights within the range as it is, to the step as what it does to the
// rounded value, scaled by 1 / sqrt(row * most) (Esser et al. 2020, "Learned step size quantization", arXiv 1902.08153,
// equations 1 to 5).
inline Variable learned_step(const Variable& w, const Variable& step, int64_t most) {
    return with_float(w.value(), [&](auto zero) {
        using T = decltype(zero);
        const int64_t rows = w.dim(0), row = w.value().numel() / rows;
        const T high = static_cast<T>(most), low = -high - 1;
        Tensor y(w.shape(), w.dtype());
        for (int64_t i = 0; i < rows * row; ++i) {
            const T s = step.value().template data<T>()[i / row];
            y.template mutable_data<T>()[i] =
                s * std::nearbyint(std::clamp(w.value().template data<T>()[i] / s, low, high));
        }
        auto backward = [=, w = Saved(w), step = Saved(step)](Tensor dy) -> Gradients {
            Tensor dw = Tensor::zeros(w->shape(), w->dtype()), ds = Tensor::zeros(step->shape(), step->dtype());
            T *to = dw.template mutable_data<T>(), *to_step = ds.template mutable_data<T>();
            const T *x = w->template data<T>(), *s = step->template data<T>(), *g = dy.template data<T>();
            const T scale = 1 / std::sqrt(static_cast<T>(row) * high);
            for (int64_t i = 0; i < rows * row; ++i) {
                const T at = x[i] / s[i / row], level = std::nearbyint(std::clamp(at, low, high));
                const bool inside = at > low && at < high;
                if (inside) to[i] = g[i];
                to_step[i / row] += scale * g[i] * (inside ? level - at : level);
            }
            return {dw, ds};
        };
        return record("learned_step", {&w, &step}, std::move(y), std::move(backward));
    });
}

class LearnedStep : public nn::WeightTransform {
public:
    LearnedStep(int64_t bits, const Tensor& weight) : bits_(bits), step_(start(weight)) {
        check(bits >= 2 && bits <= 8, "learned_step: expected 2 to 8 bits, got ", bits);
    }
    static std::unique_ptr<nn::WeightTransform> make(const Attributes& config, const Tensor& weight) {
        return std::make_unique<LearnedStep>(config.integer("bits"), weight);
    }

    std::string kind() const override { return "learned_step"; }
    Stage stage() const override { return Stage::quantize; }
    Attributes config() const override { return {{"bits", bits_}}; }
    std::string describe() const override { return concatenated("learned step, ", bits_, " bits"); }
    std::vector<nn::OwnParameter> parameters() override { return {{"step", &step_, nn::Along::axis(0)}}; }
    Variable apply(const Variable& weight, nn::Box&) override {
        return learned_step(weight, step_.effective(), most());
    }

    // Zeros stay zeros.
    Lowered lower(Lowered before, const Tensor& weight, const nn::Box&) const override {
        before.integers = integers(weight);
        before.scale = step_.value();
        before.axis = 0;
        return before;
    }
    void encode(nn::Encoded& weight) const override { weight.tensors.at("") = integers(weight.tensors.at("")); }
    static void decode(nn::Encoded& weight, const Attributes&) {
        const Tensor levels = weight.tensors.at(""), step = weight.tensors.at("step");
        Tensor values(levels.shape());
        const int64_t row = values.numel() / values.dim(0);
        for (int64_t i = 0; i < values.numel(); ++i)
            values.mutable_data<float>()[i] = static_cast<float>(levels.at(i)) * static_cast<float>(step.at(i / row));
        weight.tensors[""] = values;
    }

    nn::Parameter& step() { return step_; }

private:
    int64_t most() const { return (int64_t{1} << (bits_ - 1)) - 1; }
    // Twice the mean magnitude of the row over the square root of the highest level.
    Tensor start(const Tensor& weight) const {
        const int64_t rows = weight.dim(0), row = weight.numel() / rows;
        Tensor step({rows});
        for (int64_t k = 0; k < rows; ++k) {
            double sum = 0;
            for (int64_t i = 0; i < row; ++i) sum += std::abs(weight.at(k * row + i));
            step.mutable_data<float>()[k] =
                static_cast<float>(std::max(1e-6, 2 * sum / static_cast<double>(row) / std::sqrt(most())));
        }
        return step.to(weight.dtype());
    }
    Tensor integers(const Tensor& weight) const {
        Tensor levels(weight.shape(), DType::i8);
        const int64_t row = weight.numel() / weight.dim(0);
        for (int64_t i = 0; i < weight.numel(); ++i) {
            const auto at = static_cast<float>(weight.at(i)) / static_cast<float>(step_.value().at(i / row));
            const auto high = static_cast<float>(most());
            levels.mutable_data<int8_t>()[i] = static_cast<int8_t>(std::nearbyint(std::clamp(at, -high - 1, high)));
        }
        return levels;
    }

    int64_t bits_;
    nn::Parameter step_;
};

// The centre of a kernel [K, n, n, C], two smaller, times a matrix [(n - 2)^2, (n - 2)^2] for each output and input
// channel.
inline Variable smaller_kernel(const Variable& w, const Variable& matrix) {
    const int64_t n = w.dim(1) - 2, k = w.dim(0), c = w.dim(3);
    const Variable centre = ops::slice(ops::slice(w, 1, 1, n), 2, 1, n);
    const Variable taps = ops::reshape(ops::permute(centre, {0, 3, 1, 2}), {k * c, n * n});
    return ops::permute(ops::reshape(ops::matmul(taps, matrix), {k, c, n, n}), {0, 2, 3, 1});
}

// A kernel of 7 or 5 used at a smaller size: its centre, transformed from size to size by matrices that are learned
// beside it (Cai et al. 2020, "Once-for-all", arXiv 1908.09791, section 3.3).
class KernelSlice : public nn::WeightTransform {
public:
    KernelSlice(int64_t kernel, const Tensor& weight) : kernel_(kernel) {
        check(weight.rank() == 4 && kernel % 2 == 1 && kernel >= 1 && kernel <= weight.dim(1),
              "kernel_slice: expected a kernel within ", weight.shape(), ", got ", kernel);
        for (int64_t n = weight.dim(1) - 2; n >= 3; n -= 2) {
            Tensor identity = Tensor::zeros({n * n, n * n});
            for (int64_t i = 0; i < n * n; ++i) identity.mutable_data<float>()[i * (n * n + 1)] = 1;
            matrices_.emplace_back(identity);
        }
    }
    static std::unique_ptr<nn::WeightTransform> make(const Attributes& config, const Tensor& weight) {
        return std::make_unique<KernelSlice>(config.integer("kernel"), weight);
    }

    std::string kind() const override { return "kernel_slice"; }
    Stage stage() const override { return Stage::slice; }
    Attributes config() const override { return {{"kernel", kernel_}}; }
    std::string describe() const override { return concatenated("kernel of ", kernel_); }
    std::vector<nn::OwnParameter> parameters() override {
        std::vector<nn::OwnParameter> own;
        for (auto& matrix : matrices_)
            own.push_back({concatenated("matrix", std::sqrt(matrix.shape()[0])), &matrix, nn::Along::none()});
        return own;
    }
    Variable apply(const Variable& weight, nn::Box& box) override {
        Variable w = weight;
        for (size_t i = 0; w.dim(1) > kernel_; ++i) {
            w = smaller_kernel(w, matrices_[i].effective());
            for (int axis : {1, 2}) ++box.begin[axis], box.shape[axis] -= 2;
        }
        return w;
    }
    uint64_t version() const override { return static_cast<uint64_t>(kernel_); }

    void use(int64_t kernel) { kernel_ = kernel; }
    nn::Parameter& matrix(size_t i) { return matrices_[i]; }

private:
    int64_t kernel_;
    std::vector<nn::Parameter> matrices_;  // from large to small
};

inline void register_test_transforms() {
    nn::register_transform("learned_step", {.make = LearnedStep::make, .decode = LearnedStep::decode});
    nn::register_transform("kernel_slice", {.make = KernelSlice::make});
}

}  // namespace lathe::testing
