#include "lathe/nn/run/steps.h"

#include <bit>
#include <cstring>
#include <memory>

#include "lathe/core/graph/cost.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/conv2d/inverted_residual.h"
#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/nn/run/detail/at.h"
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

// Whether every value is its entry of the codebook times its row's factor, to the bit: then indices may stand for it.
// Where a mask makes zeros, sparse kernels take the values.
bool is_indexed(const GraphNode& weight) {
    if (!weight.lowered || !weight.lowered->codebook || weight.lowered->mask) return false;
    const Lowered& known = *weight.lowered;
    const int64_t rows = weight.value.dim(0), row = rows ? weight.value.numel() / rows : 0;
    if (known.scale && (known.axis != 0 || known.scale.numel() != rows)) return false;
    const float *value = weight.value.data<float>(), *codebook = known.codebook.data<float>();
    const uint8_t* index = known.indices.data<uint8_t>();
    for (int64_t k = 0; k < rows; ++k) {
        const float scale = known.scale ? known.scale.data<float>()[k] : 1.0f;
        for (int64_t i = 0; i < row; ++i)
            if (*value++ != codebook[*index++] * scale) return false;
    }
    return true;
}

// The layer from indices; null where there are none, or the fastest is wanted and it is not.
std::unique_ptr<kernels::PreparedConv2d> prepare_indexed(const GraphNode& weight, const kernels::Conv2dShape& shape,
                                                         InferenceWeights weights) {
    if (!is_indexed(weight)) return nullptr;
    const Lowered& known = *weight.lowered;
    const int bits = std::bit_width(static_cast<uint64_t>(known.codebook.numel())) - 1;
    if (weights == InferenceWeights::fastest && !kernels::indexed_is_faster(shape, bits)) return nullptr;
    return kernels::conv2d_prepare(shape, {bits, known.indices.data<uint8_t>(), known.codebook.data<float>(),
                                           known.scale ? known.scale.data<float>() : nullptr});
}

// From indices where they take fewer bytes than values, else by sparse kernels where enough of those are zero.
std::unique_ptr<kernels::PreparedConv2d> prepare_layer(const GraphNode& weight, const kernels::Conv2dShape& shape,
                                                       kernels::SparsePattern pattern, InferenceWeights weights) {
    auto indexed = prepare_indexed(weight, shape, weights);
    // Values take no less when arranged; often that need not be tried.
    if (indexed && indexed->bytes() < static_cast<int64_t>(weight.value.bytes())) return indexed;
    auto values = kernels::sparse::prepare_fastest(shape, weight.value.data<float>(), pattern);
    return indexed && indexed->bytes() < values->bytes() ? std::move(indexed) : std::move(values);
}

// A convolution or linear layer.
Step layer_step(const Graph& graph, int index, InferenceWeights weights) {
    const GraphNode &node = graph[index], &weight_node = graph[node.inputs[1]];
    const Tensor& weight = weight_node.value;
    const kernels::Conv2dShape shape = conv2d_shape(graph, node);
    const bool chwn = is_chwn(node);
    const bool pool = node.attributes.has("max_pool") && node.attributes.integer("max_pool") == 2;
    const kernels::SparsePattern pattern = weight_pattern(graph, node, shape);
    const std::shared_ptr<const kernels::PreparedConv2d> layer =
        chwn ? kernels::chwn::prepare(shape, weight.data<float>(), pattern, pool)
             : prepare_layer(weight_node, shape, pattern, weights);
    const int64_t image = chwn ? 0 : shape.in_h * shape.in_w * shape.in_c;
    Step step{.kernel = layer->name(), .weight_bytes = layer->bytes(), .prepared = true};
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

Step make_step(const Graph& graph, int index, InferenceWeights weights) {
    const GraphNode& node = graph[index];
    if (!node.activation || !node.is_op() || node.op->traits.view) return {};
    if (node.op->layer && graph[node.inputs[1]].value) return layer_step(graph, index, weights);
    if (graph[node.inputs[0]].layout != node.layout) return conversion_step(graph, index);
    return op_step(graph, index);
}

// Nodes as the inputs of nodes, and the output.
std::vector<int> count_readers(const Graph& graph) {
    std::vector<int> readers(graph.nodes.size(), 0);
    for (const GraphNode& node : graph.nodes)
        for (int from : node.inputs)
            if (from >= 0) ++at(readers, from);
    ++at(readers, graph.output);
    return readers;
}

// The step of an inverted residual block whose layers are these, one after the other.
Step block_step(const Graph& graph, int expand, int depthwise, int project) {
    const auto weight = [&](int layer) { return graph[graph[layer].inputs[1]].value.data<float>(); };
    const kernels::Conv2dShape shape = conv2d_shape(graph, graph[expand]);
    const auto block = std::make_shared<kernels::InvertedResidual>(
        shape, weight(expand), conv2d_shape(graph, graph[depthwise]), weight(depthwise),
        conv2d_shape(graph, graph[project]), weight(project));
    struct Layer {
        int bias;
        Epilogue end;
        Epilogue of(const Frame& f) const { return {f.at<float>(bias), end.low, end.high, end.accumulate}; }
    };
    const auto layer = [&](int index) { return Layer{graph[index].inputs[2], epilogue(graph[index])}; };
    return {.run = [block, image = shape.in_h * shape.in_w * shape.in_c, x = graph[expand].inputs[0],
                    a = layer(expand), b = layer(depthwise), c = layer(project), addend = graph[project].inputs[3],
                    project](const Frame& f) {
                block->forward(f.shape(x).numel() / image, f.at<float>(x), a.of(f), b.of(f), c.of(f),
                               f.at<float>(addend), f.at<float>(project));
            },
            .kernel = "inverted residual",
            .weight_bytes = block->bytes(),
            .prepared = true};
}

void join_inverted_residuals(const Graph& graph, std::vector<Step>& steps) {
    const std::vector<int> readers = count_readers(graph);
    // The layer behind `index` that nothing else reads and that the kernel runs densely; -1: none.
    const auto before = [&](int index, const char* kernel) {
        const int from = graph[index].inputs[0];
        const bool joins = from >= 0 && at(steps, from).kernel == kernel && at(readers, from) == 1 &&
                           graph[from].inputs[3] < 0;
        return joins ? from : -1;
    };
    for (int project = 0; project < graph.size(); ++project) {
        if (at(steps, project).kernel != "gemm1x1") continue;
        const int depthwise = before(project, "depthwise"), expand = depthwise < 0 ? -1 : before(depthwise, "gemm1x1");
        if (expand < 0 || !kernels::InvertedResidual::suits(conv2d_shape(graph, graph[expand]),
                                                            conv2d_shape(graph, graph[depthwise]),
                                                            conv2d_shape(graph, graph[project])))
            continue;
        Step joined = block_step(graph, expand, depthwise, project);
        joined.density = at(steps, project).density;
        at(steps, project) = std::move(joined);
        for (int part : {expand, depthwise}) {
            at(steps, part).run = nullptr;
            at(steps, part).part_of = project;
        }
    }
}

}  // namespace

std::vector<Step> make_steps(const Graph& graph, InferenceWeights weights) {
    std::vector<Step> steps;
    for (int i = 0; i < graph.size(); ++i) steps.push_back(make_step(graph, i, weights));
    join_inverted_residuals(graph, steps);
    return steps;
}

}  // namespace lathe::nn
