#pragma once
#include "lathe/data/dataset.h"
#include "lathe/nn/model.h"
#include "lathe/tests/compress/random_network.h"

namespace lathe::testing {

// Examples of normal numbers with labels in turn.
inline data::Dataset random_examples(int64_t count, const Shape& input, int64_t classes, uint64_t seed = 1) {
    Shape shape{count};
    for (int64_t extent : input) shape.push_back(extent);
    Tensor labels({count}, DType::i32);
    for (int64_t i = 0; i < count; ++i) labels.mutable_data<int32_t>()[i] = static_cast<int32_t>(i % classes);
    return data::Dataset({.name = "random examples"}, {.inputs = {random_tensor(shape, seed)}, .targets = {labels}});
}

inline std::unique_ptr<nn::Model> random_model(uint64_t seed) {
    auto model = std::make_unique<nn::Model>("random", nn::ModelOptions{.classes = 5, .input = {8, 8, 3}},
                                             random_network(seed));
    model->eval();
    return model;
}

// What a network gives in evaluation mode.
inline Tensor output(nn::Module& net, const Tensor& x) {
    const NoGrad no_grad;
    const nn::ModeScope evaluating(net, false);
    return net(x).value();
}

}  // namespace lathe::testing
