// Ten steps of training beside PyTorch's from the same weights (tests/fixtures/training.py).
#include <doctest/doctest.h>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/support/recorded.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

constexpr int64_t kSteps = 10, kBatch = 8;

// As in the script: multiples of 1/64 in [-2, 2).
Tensor images(uint32_t step, const Shape& shape) {
    Tensor x({kBatch, shape[0], shape[1], shape[2]});
    float* to = x.mutable_data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) {
        uint32_t h = (static_cast<uint32_t>(i) + 1000003 * step) * 2654435761u;
        h = (h ^ (h >> 15)) * 2246822519u;
        to[i] = static_cast<float>(h >> 24) / 64 - 2;
    }
    return x;
}

Tensor labels(int64_t step, int64_t classes) {
    Tensor y({kBatch}, DType::i32);
    for (int64_t i = 0; i < kBatch; ++i)
        y.mutable_data<int32_t>()[i] = static_cast<int32_t>((7 * i + 3 * step) % classes);
    return y;
}

// How far a run may be from the recorded one, relative to the largest element of a tensor.
struct Tolerance {
    double loss, gradient, weight;
};

// first: the number of the first step's images.
void compare(const std::string& name, const nn::ModelOptions& options, uint32_t first, DType dtype,
             const Tolerance& tolerance) {
    CAPTURE(name);
    const std::string type = name_of(dtype);
    CAPTURE(type);
    const auto recorded = read_safetensors("tests/fixtures/training.safetensors").tensors;
    const auto expected = [&](const std::string& key) { return recorded.at(name + "/" + key).to(dtype); };
    const auto model = nn::make_model(name, options);
    TensorFile start = read_safetensors("tests/fixtures/networks/" + name + ".safetensors"), weights;
    for (const auto& [key, tensor] : start.tensors)
        if (key.starts_with("state.")) weights.tensors[key.substr(6)] = tensor;
    nn::load_weights(*model, weights, name);
    model->convert(dtype);

    const auto optimizer = optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 5e-3});
    for (int64_t step = 0; step < kSteps; ++step) {
        CAPTURE(step);
        const Variable output = (*model)(images(first + static_cast<uint32_t>(step), model->input_shape()).to(dtype));
        const Variable loss = ops::cross_entropy(output, labels(step, model->classes()));
        CHECK(relative_difference(loss.value().reshape({1}), expected("loss").rows(step, 1)) < tolerance.loss);
        model->zero_grad();
        backward(loss);
        if (step == 0)
            for (const auto& [key, parameter] : model->named_parameters()) {
                CAPTURE(key);
                const Tensor gradient = expected("grad." + key);
                if (largest_magnitude(gradient) < 1e-12) continue;  // a bias in front of a batch norm: rounding errors
                CHECK(relative_difference(parameter->layout().to_file(parameter->grad()), gradient) <
                      tolerance.gradient);
            }
        optimizer->step(*model);
    }
    for (const auto& [key, tensor] : model->state()) {
        CAPTURE(key);
        CHECK(relative_difference(tensor, expected("after." + key)) < tolerance.weight);
    }
}

}  // namespace

TEST_CASE("ten steps of training give PyTorch's losses, gradients and weights") {
    const struct {
        const char* name;
        nn::ModelOptions options;
        uint32_t first = 0;
    } networks[] = {
        {"lenet5", {.classes = 4, .widths = {3, 5, 12, 7}, .input = {16, 16, 2}}},
        {"resnet20", {.classes = 4, .widths = {4, 6, 11}, .input = {16, 16, 3}}},
        {"ds-cnn", {.classes = 5, .widths = {6, 7, 8, 6, 7}, .dropout = 0}, 4090},
    };
    for (const auto& [name, options, first] : networks) {
        compare(name, options, first, DType::f64, {.loss = 1e-6, .gradient = 1e-6, .weight = 1e-6});  // the formulas
        compare(name, options, first, DType::f32,
                {.loss = 1e-5, .gradient = 5e-5, .weight = 1e-4});  // the fast kernels
    }
}
