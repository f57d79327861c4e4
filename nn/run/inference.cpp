#include "lathe/nn/run/inference.h"

#include <algorithm>
#include <chrono>

#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/parallel.h"
#include "lathe/core/graph/cost.h"
#include "lathe/core/graph/fold.h"
#include "lathe/nn/run/layout.h"

namespace lathe::nn {

using kernels::Epilogue;

namespace {

using Step = std::function<Tensor(std::vector<Tensor>& inputs)>;
using Clock = std::chrono::steady_clock;

constexpr int64_t kStretchTasks = 16;  // fewer would leave threads idle

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
    if (!node.op->layer) return {};
    return graph.nodes[static_cast<size_t>(node.inputs[1])].value;
}

// The shape with images and channels exchanged.
Shape chwn_shape(Shape shape) {
    shape[0] = shape[shape.rank() - 1];
    shape[shape.rank() - 1] = kernels::chwn::images();
    return shape;
}

// A convolution or linear layer, by sparse kernels where enough of its weights are zero.
Step layer_step(const Graph& graph, const GraphNode& node, const Tensor& weight) {
    const kernels::Conv2dShape shape = conv2d_shape(graph, node);
    const kernels::SparsePattern pattern = weight_pattern(graph, node, shape);
    if (is_chwn(node)) {
        const bool pool = node.attributes.has("max_pool") && node.attributes.integer("max_pool") == 2;
        const std::shared_ptr<const kernels::PreparedConv2d> layer =
            kernels::chwn::prepare(shape, weight.data<float>(), pattern, pool);
        return [layer, shape = chwn_shape(node.shape), end = epilogue(node)](std::vector<Tensor>& x) {
            Tensor y = result(shape, x[3]);
            layer->forward(kernels::chwn::images(), x[0].data<float>(), with_bias(end, x[2]), y.mutable_data<float>());
            return y;
        };
    }
    const std::shared_ptr<const kernels::PreparedConv2d> layer =
        kernels::sparse::prepare_fastest(shape, weight.data<float>(), pattern);
    const int64_t image = shape.in_h * shape.in_w * shape.in_c;
    return [layer, image, shape = node.shape, end = epilogue(node)](std::vector<Tensor>& x) {
        Shape out = shape;
        out[0] = x[0].dim(0);
        Tensor y = result(out, x[3]);
        layer->forward(x[0].numel() / image, x[0].data<float>(), with_bias(end, x[2]), y.mutable_data<float>());
        return y;
    };
}

// Between NHWC and CHWN, or [N, C] and [C, N].
Step conversion_step(const GraphNode& node) {
    const int64_t channels = node.shape[node.shape.rank() - 1], pixels = node.shape.numel() / node.shape[0] / channels;
    const auto convert = is_chwn(node) ? kernels::chwn::enter : kernels::chwn::leave;
    Shape shape = chwn_shape(node.shape);
    if (!is_chwn(node)) std::swap(shape[0], shape[shape.rank() - 1]);
    return [=](std::vector<Tensor>& x) {
        Tensor y(shape);
        convert(pixels, channels, x[0].data<float>(), y.mutable_data<float>());
        return y;
    };
}

}  // namespace

Inference::Inference(Module& module, const Tensor& example) : graph_(arrange(fold(trace(module, example)))) {
    steps_.resize(graph_.nodes.size());
    last_reader_.assign(graph_.nodes.size(), -1);
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        const GraphNode& node = graph_.nodes[i];
        if (!node.activation || !node.is_op()) continue;
        steps_[i] = step_for(node);
        passes_ |= is_chwn(node);
        for (int input : node.inputs)
            if (input >= 0) last_reader_[static_cast<size_t>(input)] = static_cast<int>(i);
    }
    last_reader_[static_cast<size_t>(graph_.output)] = static_cast<int>(graph_.nodes.size());
    find_stretch();
    keep_weights();
}

// The leading convolutions with few weights and large maps. Run for a batch, each would write more than the caches hold and
// the next read it back from memory; run for a few images at a time, from the first to the last, they find it in the
// second-level cache, and the weights that they read once more for each of those are small beside it.
void Inference::find_stretch() {
    constexpr int64_t kCacheBytes = 1 << 20, kBytesPerWeightByte = 4;
    const auto image_bytes = [&](int i) {
        const GraphNode& node = graph_.nodes[static_cast<size_t>(i)];
        return node.shape.numel() / node.shape[0] * static_cast<int64_t>(sizeof(float));
    };
    int64_t largest = 0;
    int last_reader = -1;  // of all values before node i
    for (size_t i = 0; i < graph_.nodes.size(); ++i) {
        const GraphNode& node = graph_.nodes[i];
        if (!node.activation) continue;
        if (node.is_op()) {
            if (!node.op->layer || node.shape.rank() != 4 || node.shape[0] == 0) return;
            const int64_t bytes = image_bytes(node.inputs[0]) + image_bytes(static_cast<int>(i));
            const Tensor weight = arranged_weight(graph_, node);
            if (!weight || static_cast<int64_t>(weight.bytes()) * kBytesPerWeightByte > bytes) return;
            largest = std::max(largest, bytes);
            if (last_reader <= static_cast<int>(i)) {
                stretch_ = i + 1;
                stretch_images_ = std::max<int64_t>(1, kCacheBytes / largest);
            }
        }
        last_reader = std::max(last_reader, last_reader_[i]);
    }
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
    if (graph_[node.inputs[0]].layout != node.layout) return conversion_step(node);
    GraphNode copy = is_chwn(node) ? in_chwn(node) : node;
    return [copy = std::move(copy)](std::vector<Tensor>& x) {
        return copy.op->run(copy.attributes, std::vector<Variable>(x.begin(), x.end()), Mode::evaluation).value();
    };
}

Tensor Inference::run(const Tensor& x, std::vector<double>* seconds) const {
    const Shape& traced = graph_.nodes[static_cast<size_t>(graph_.input())].shape;
    Shape expected = traced;
    if (x.rank() == traced.rank() && traced.rank() > 0) expected[0] = x.dim(0);
    check(x.shape() == expected && x.dtype() == DType::f32, "inference: expected an input like ", traced, " of type f32, got ",
          name_of(x.dtype()), " ", x.shape());
    if (!passes_) return run_pass(x, seconds);
    expected[0] = kernels::chwn::images();
    Tensor y;
    for (int64_t first = 0; first == 0 || first < x.dim(0); first += expected[0]) {
        const int64_t count = std::min(expected[0], x.dim(0) - first);
        Tensor pass = x.rows(first, count);
        if (count < expected[0]) {  // the last is filled up with zeros
            pass = Tensor::zeros(expected);
            std::copy_n(x.rows(first, count).raw(), x.rows(first, count).bytes(), pass.mutable_raw());
        }
        const Tensor part = run_pass(pass, seconds);
        if (!y) {
            Shape shape = part.shape();
            shape[0] = x.dim(0);
            y = Tensor(shape);
        }
        const size_t row = part.bytes() / static_cast<size_t>(expected[0]);
        std::copy_n(part.raw(), static_cast<size_t>(count) * row, y.mutable_raw() + static_cast<size_t>(first) * row);
    }
    return y;
}

Tensor Inference::run_pass(const Tensor& x, std::vector<double>* seconds) const {
    const NoGrad no_grad;
    std::vector<Tensor> values(graph_.nodes.size());
    values[static_cast<size_t>(graph_.input())] = x;
    size_t begin = 0;
    if (!seconds && stretch_ > 0 && x.dim(0) >= kStretchTasks * stretch_images_) {
        values[stretch_ - 1] = run_stretch(x);
        begin = stretch_;
    }
    run_nodes(begin, graph_.nodes.size(), values, seconds);
    return values[static_cast<size_t>(graph_.output)];
}

// The value of the stretch's last node.
Tensor Inference::run_stretch(const Tensor& x) const {
    Shape shape = graph_.nodes[stretch_ - 1].shape;
    shape[0] = x.dim(0);
    Tensor result(shape);
    float* to = result.mutable_data<float>();
    const int64_t image = result.numel() / shape[0];
    parallel_for(shape[0], stretch_images_, [&](int64_t begin, int64_t end) {
        const NoGrad no_grad;
        std::vector<Tensor> values(stretch_);
        values[static_cast<size_t>(graph_.input())] = x.rows(begin, end - begin);
        run_nodes(0, stretch_, values, nullptr);
        std::copy_n(values.back().data<float>(), values.back().numel(), to + begin * image);
    });
    return result;
}

// Values of the nodes [begin, end), each freed after its last reader.
void Inference::run_nodes(size_t begin, size_t end, std::vector<Tensor>& values, std::vector<double>* seconds) const {
    std::vector<Tensor> inputs;
    for (size_t i = begin; i < end; ++i) {
        if (!steps_[i]) continue;
        const auto start = seconds ? Clock::now() : Clock::time_point();
        inputs.clear();
        for (int from : graph_.nodes[i].inputs) {
            const auto at = static_cast<size_t>(from);
            if (from < 0) inputs.emplace_back();
            else inputs.push_back(graph_.nodes[at].activation ? values[at] : graph_.nodes[at].value);
        }
        for (int from : graph_.nodes[i].inputs)
            if (from >= 0 && last_reader_[static_cast<size_t>(from)] == static_cast<int>(i)) values[static_cast<size_t>(from)] = {};
        values[i] = steps_[i](inputs);
        if (seconds) (*seconds)[i] += std::chrono::duration<double>(Clock::now() - start).count();
    }
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
