#include "lathe/nn/model.h"

#include "lathe/core/random.h"
#include "lathe/nn/init.h"

namespace lathe::nn {

namespace {

Tensor zeros(int64_t batch, const Shape& input) {
    Shape shape{batch};
    for (int64_t extent : input) shape.push_back(extent);
    return Tensor::zeros(shape);
}

}  // namespace

Model::Model(std::string architecture, ModelOptions options, std::unique_ptr<Module> net)
    : architecture_(std::move(architecture)), options_(std::move(options)), net_(std::move(net)) {
    check(options_.input.rank() >= 1, architecture_, ": expected the shape of one input, like [32, 32, 3]");
    child("", *net_);
}

void Model::replace_classifier(int64_t classes) {
    check(classes >= 1, architecture_, ": expected at least 1 class, got ", classes);
    const Graph graph = trace(*net_, zeros(1, options_.input));
    const GraphNode* last = nullptr;
    for (const GraphNode& node : graph.nodes)
        if (node.op->layer) last = &node;
    const GraphNode* weight = last ? graph.parameter(*last, 1) : nullptr;
    check(weight && options_.classes > 0 && weight->shape.rank() == 2 && weight->shape[0] == options_.classes,
          architecture_, ": expected a last linear layer with an output for each class, to be replaced");
    const GraphNode* bias = graph.parameter(*last, 2);
    const int64_t in = weight->shape[1];
    const auto parameters = by_name(named_parameters());
    Parameter& w = *parameters.at(weight->path);
    w = Parameter(init::fan_in_uniform({classes, in}, in), w.layout());
    if (bias) *parameters.at(bias->path) = Parameter(init::fan_in_uniform({classes}, in));
    options_.classes = classes;
    class_names.clear();
}

Tensor Model::example(int64_t batch, const Shape& input) {
    Shape shape{batch};
    for (int64_t extent : input) shape.push_back(extent);
    Tensor x(shape);
    Random random(0);
    float* values = x.mutable_data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<float>(random.normal());
    return x;
}

void Model::set_input_shape(const Shape& input) {
    const Graph graph = trace(*net_, zeros(1, options_.input));
    const Shape example = zeros(1, input).shape();
    try {
        graph.shapes({example});
    } catch (const Error& error) {
        fail(architecture_, ": cannot take inputs of ", input, ": ", error.what());
    }
    options_.input = input;
}

Variable Model::forward(const Variable& x) {
    const Shape& input = options_.input;
    check(x.value().rank() == input.rank() + 1 && x.shape().back() == input.back(), architecture_,
          ": expected input [N, ", input.rank() == 3 ? "H, W, " : "", input.back(), "], got ", x.shape());
    return (*net_)(x);
}

}  // namespace lathe::nn
