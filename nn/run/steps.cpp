#include "lathe/nn/run/steps.h"

#include <cstring>
#include <memory>

#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/nn/run/layout.h"

namespace lathe::nn {

namespace {

using kernels::Epilogue;

// What the node does with a result before it is written; the bias comes with every run.
Epilogue epilogue(const GraphNode& node) {
    const std::string& activation = node.attributes.text("activation");
    Epilogue end{.accumulate = node.inputs[3] >= 0};
    if (activation != "none") end.low = 0;
    if (activation == "relu6") end.high = 6;
    return end;
}

// A convolution or linear layer, by sparse kernels where enough of its weights are zero.
Step layer_step(const Graph& graph, int index, const Tensor& weight) {
    const GraphNode& node = graph[index];
    const kernels::Conv2dShape shape = conv2d_shape(graph, node);
    const bool chwn = is_chwn(node);
    const bool pool = node.attributes.has("max_pool") && node.attributes.integer("max_pool") == 2;
    const float* values = weight.data<float>();
    const std::shared_ptr<const kernels::PreparedConv2d> layer =
        chwn ? kernels::chwn::prepare(shape, values, pool) : kernels::sparse::prepare_fastest(shape, values);
    const int64_t image = chwn ? 0 : shape.in_h * shape.in_w * shape.in_c;
    Step step{.kernel = layer->name(), .prepared = true};
    step.density = weight.numel() ? static_cast<double>(weight.nonzeros()) / static_cast<double>(weight.numel()) : 1;
    if (layer->skips_zeros()) step.done = step.density;

    step.run = [layer, chwn, image, index, x = node.inputs[0], bias = node.inputs[2], addend = node.inputs[3],
                end = epilogue(node)](const Frame& f) {
        Epilogue with_bias = end;
        with_bias.bias = f.at<float>(bias);
        float* y = f.at<float>(index);
        if (addend >= 0 && f.at<float>(addend) != y)  // others read the addend, too
            std::memcpy(y, f.at<float>(addend), static_cast<size_t>(f.shape(index).numel()) * sizeof(float));
        layer->forward(chwn ? kernels::chwn::images() : f.shape(x).numel() / image, f.at<float>(x), with_bias, y);
    };
    return step;
}

// Between NHWC and CHWN, or [N, C] and [C, N].
Step conversion_step(const Graph& graph, int index) {
    const GraphNode& node = graph[index];
    const int64_t channels = node.shape[node.shape.rank() - 1], pixels = node.shape.numel() / node.shape[0] / channels;
    const auto convert = is_chwn(node) ? kernels::chwn::enter : kernels::chwn::leave;
    return {.run = [=, x = node.inputs[0]](const Frame& f) {
        convert(pixels, channels, f.at<float>(x), f.at<float>(index));
    }};
}

// Any other op, through its row of the op table. Its result is written in place.
Step op_step(const Graph& graph, int index) {
    const GraphNode node = is_chwn(graph[index]) ? in_chwn(graph[index]) : graph[index];
    std::vector<DType> types;
    for (int from : node.inputs) types.push_back(from < 0 ? DType::f32 : graph[from].dtype);
    return {.run = [index, types, op = node.op, attributes = node.attributes, inputs = node.inputs,
                    type = node.dtype](const Frame& f) {
        std::vector<Variable> x(inputs.size());
        for (size_t k = 0; k < inputs.size(); ++k)
            if (inputs[k] >= 0) x[k] = Tensor::borrow(f.at<std::byte>(inputs[k]), f.shape(inputs[k]), types[k]);
        std::byte* to = f.at<std::byte>(index);
        const size_t bytes = static_cast<size_t>(f.shape(index).numel()) * size_of(type);
        const PlaceNextTensor place(to, bytes);
        const Tensor y = run_op(op, attributes, x).value();
        if (y.raw() != to) std::memcpy(to, y.raw(), bytes);
    }};
}

}  // namespace

Step make_step(const Graph& graph, int index) {
    const GraphNode& node = graph[index];
    if (!node.activation || !node.is_op() || node.op->traits.view) return {};
    if (node.op->layer && graph[node.inputs[1]].value) return layer_step(graph, index, graph[node.inputs[1]].value);
    if (graph[node.inputs[0]].layout != node.layout) return conversion_step(graph, index);
    return op_step(graph, index);
}

}  // namespace lathe::nn
