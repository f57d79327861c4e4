#include "lathe/nn/inference.h"

#include <chrono>

#include "lathe/core/kernels/conv2d_sparse.h"
#include "lathe/core/replay.h"
#include "lathe/nn/cost.h"
#include "lathe/nn/fold.h"

namespace lathe::nn {

using kernels::Epilogue;

namespace {

using Step = std::function<Tensor(std::vector<Tensor>& inputs)>;
using Clock = std::chrono::steady_clock;

// What the node does with a result before it is written; the bias comes with every run.
Epilogue epilogue(const GraphNode& node) {
    const std::string& activation = node.attributes.text("activation");
    Epilogue end{.accumulate = node.inputs[3] >= 0};
    if (activation != "none") end.low = 0;
    if (activation == "relu6") end.high = 6;
    return end;
}

Epilogue with_bias(Epilogue end, const Tensor& bias) {
    end.bias = bias ? bias.data<float>() : nullptr;
    return end;
}

// Where a result goes: onto the addend, when there is one; onto a copy where others read that, too.
Tensor result(const Shape& shape, Tensor& addend) {
    if (!addend) return Tensor(shape);
    return addend.unique() ? std::move(addend) : addend.clone();
}

// The constant weight of a convolution or linear layer; empty for other ops.
Tensor arranged_weight(const Graph& graph, const GraphNode& node) {
    if (node.op != "conv2d" && node.op != "linear") return {};
    return graph.nodes[static_cast<size_t>(node.inputs[1])].value;
}

// A convolution or linear layer, by sparse kernels where enough of its weights are zero.
Step layer_step(const Graph& graph, const GraphNode& node, const Tensor& weight) {
    const kernels::Conv2dShape shape = conv2d_shape(graph, node);
    const std::shared_ptr<const kernels::Conv2dFilter> filter = kernels::sparse::pack_fastest(shape, weight.data<float>());
    const int64_t image = shape.in_h * shape.in_w * shape.in_c;
    return [filter, image, shape = node.shape, end = epilogue(node)](std::vector<Tensor>& x) {
        Shape out = shape;
        out[0] = x[0].dim(0);
        Tensor y = result(out, x[3]);
        filter->forward(x[0].numel() / image, x[0].data<float>(), with_bias(end, x[2]), y.mutable_data<float>());
        return y;
    };
}

}  // namespace

Inference::Inference(Module& module, const Tensor& example) : graph_(fold(trace(module, example))) {
    steps_.resize(graph_.nodes.size());
    last_reader_.assign(graph_.nodes.size(), -1);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        const GraphNode& node = graph_.nodes[i];
        if (!node.activation || !node.is_op()) continue;
        steps_[i] = step_for(node);
        for (int input : node.inputs)
            if (input >= 0) last_reader_[static_cast<size_t>(input)] = static_cast<int>(i);
    }
    last_reader_[static_cast<size_t>(graph_.output)] = static_cast<int>(graph_.nodes.size());
    keep_weights();
}

// What steps read beside arranged weights is copied, for the module may train on; the rest is let go.
void Inference::keep_weights() {
    std::vector<bool> read(graph_.nodes.size(), false);
    for (const GraphNode& node : graph_.nodes)
        for (size_t k = 0; k < node.inputs.size(); ++k)
            if (node.inputs[k] >= 0 && !(k == 1 && arranged_weight(graph_, node))) read[static_cast<size_t>(node.inputs[k])] = true;
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
        if (Tensor& value = graph_.nodes[i].value; value) value = read[i] ? value.clone() : Tensor{};
}

Inference::Step Inference::step_for(const GraphNode& node) const {
    if (const Tensor weight = arranged_weight(graph_, node)) return layer_step(graph_, node, weight);
    GraphNode copy = node;
    if (node.op == "reshape" || node.op == "flatten") {  // the batch may have another size than the traced one
        std::vector<int64_t> shape = node.attributes.integers("shape");
        if (!shape.empty() && shape[0] == graph_.nodes[static_cast<size_t>(graph_.input)].shape[0]) shape[0] = -1;
        copy.attributes.set("shape", shape);
    }
    return [copy = std::move(copy)](std::vector<Tensor>& x) { return replay(copy, {x.begin(), x.end()}).value(); };
}

Tensor Inference::run(const Tensor& x, std::vector<double>* seconds) const {
    const Shape& traced = graph_.nodes[static_cast<size_t>(graph_.input)].shape;
    Shape expected = traced;
    if (x.rank() == traced.rank() && traced.rank() > 0) expected[0] = x.dim(0);
    check(x.shape() == expected && x.dtype() == DType::f32, "inference: expected an input like ", traced, " of type f32, got ",
          name_of(x.dtype()), " ", x.shape());
    const NoGrad no_grad;
    std::vector<Tensor> values(graph_.nodes.size()), inputs;
    values[static_cast<size_t>(graph_.input)] = x;
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        if (!steps_[i]) continue;
        const auto start = Clock::now();
        inputs.clear();
        for (int from : graph_.nodes[i].inputs) {
            const auto at = static_cast<size_t>(from);
            if (from < 0) inputs.emplace_back();
            else inputs.push_back(graph_.nodes[at].activation ? values[at] : graph_.nodes[at].value);
        }
        for (int from : graph_.nodes[i].inputs)
            if (from >= 0 && last_reader_[static_cast<size_t>(from)] == static_cast<int>(i)) values[static_cast<size_t>(from)] = {};
        values[i] = steps_[i](inputs);
        if (seconds) (*seconds)[i] = std::chrono::duration<double>(Clock::now() - start).count();
    }
    return values[static_cast<size_t>(graph_.output)];
}

Tensor Inference::operator()(const Tensor& x) const { return run(x, nullptr); }

Graph Inference::timed(const Tensor& x) const {
    std::vector<double> seconds(graph_.nodes.size(), 0);
    run(x, &seconds);
    Graph graph = graph_;
    for (size_t i = 0; i < seconds.size(); ++i) graph.nodes[i].seconds = seconds[i];
    return graph;
}

}  // namespace lathe::nn
