#include "lathe/nn/run/inference.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>

#include "lathe/core/graph/cost.h"
#include "lathe/core/graph/fold.h"
#include "lathe/core/kernels/sparse/chwn.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"
#include "lathe/nn/run/detail/at.h"
#include "lathe/nn/run/layout.h"

namespace lathe::nn {

namespace {

using Clock = std::chrono::steady_clock;

// The shape with images and channels exchanged.
Shape chwn_shape(Shape shape) {
    shape[0] = shape[shape.rank() - 1];
    shape[shape.rank() - 1] = kernels::chwn::images();
    return shape;
}

bool is_view(const GraphNode& node) { return node.activation && node.op->traits.view; }

// The graph on these examples. Of a batch of images one is enough to find it: the tape would hold what all layers make
// of each.
Graph trace_for(Module& module, const std::vector<Tensor>& examples) {
    if (examples.size() != 1 || examples[0].rank() != 4 || examples[0].dim(0) < 2) return trace(module, examples);
    Graph graph = trace(module, {examples[0].rows(0, 1)});
    std::vector<Shape> shapes = graph.shapes({examples[0].shape()});
    for (size_t i = 0; i < shapes.size(); ++i) graph.nodes[i].shape = std::move(shapes[i]);
    return graph;
}

int64_t scaled(int64_t count, double share) { return static_cast<int64_t>(static_cast<double>(count) * share + 0.5); }

}  // namespace

struct Inference::Sized {
    std::vector<Shape> shapes;  // of all nodes, as their elements lie
    MemoryPlan plan;
    int begin = 0, end = 0;  // the nodes to run
    int root = 0;            // the node whose elements are the result
};

struct Inference::Cache {
    static constexpr size_t kMost = 32;
    struct Entry {
        std::vector<Shape> inputs;
        Part part;
        std::shared_ptr<const Sized> sized;
    };
    std::mutex mutex;
    std::vector<Entry> entries;  // the oldest first
};

Inference::Inference(Inference&&) noexcept = default;
Inference::~Inference() = default;

Inference::Inference(Module& module, const std::vector<Tensor>& examples, InferenceWeights weights)
    : graph_(arrange(fold(trace_for(module, examples)))), cache_(std::make_unique<Cache>()) {
    check(graph_[graph_.output].activation, "inference: expected an output that depends on the input");
    root_ = graph_.output;
    while (is_view(graph_[root_])) root_ = graph_[root_].inputs[0];
    steps_ = make_steps(graph_, weights);
    for (const GraphNode& node : graph_.nodes) passes_ |= is_chwn(node);
    describe_ops();
    find_stretch();
    keep_weights();
    for (GraphNode& node : graph_.nodes) constants_.push_back(node.value ? node.value.mutable_raw() : nullptr);
}

// Whether the node's input is a weight that a step has arranged.
bool Inference::is_arranged(int node, size_t input) const { return input == 1 && at(steps_, node).prepared; }

void Inference::describe_ops() {
    std::vector<bool> counted(graph_.nodes.size(), false);
    ops_.resize(graph_.nodes.size());
    for (int i = 0; i < graph_.size(); ++i) {
        const GraphNode& node = graph_[i];
        const Step& step = at(steps_, i);
        const bool own = step.part_of < 0;
        Op& op = at(ops_, own ? i : step.part_of);
        if (own) op.runs = bool(step.run), op.kernel = step.kernel, op.weight_bytes += step.weight_bytes;
        if (own && !op.runs) continue;
        const int64_t count = macs(graph_, node);
        op.macs += count;
        op.effective_macs += scaled(count, step.density);
        op.done_macs += scaled(count, step.done);
        op.bytes += bytes(graph_, node);
        if (!own) op.bytes -= 2 * node.shape.numel() * static_cast<int64_t>(size_of(node.dtype));  // nowhere
        for (size_t k = 0; k < node.inputs.size(); ++k) {
            const int from = node.inputs[k];
            if (from < 0 || !graph_[from].value || at(counted, from)) continue;
            const Tensor& value = graph_[from].value;
            op.weights += value.numel();
            op.nonzeros += value.nonzeros();
            if (!is_arranged(i, k)) op.weight_bytes += static_cast<int64_t>(value.bytes());
            at(counted, from) = true;
        }
    }
}

std::string Inference::expected(size_t input, const Tensor& x) const {
    const GraphNode& traced = graph_[graph_.inputs[input]];
    return concatenated("inference: expected an input like ", traced.shape, " of type ", name_of(traced.dtype),
                          ", got ", name_of(x.dtype()), " ", x.shape());
}

// What the node's step reads first: where it does the work of nodes before it, the input of the first of those.
int Inference::first_input(int node) const {
    int from = graph_[node].inputs[0];
    while (from >= 0 && at(steps_, from).part_of == node) from = graph_[from].inputs[0];
    return from;
}

// The leading convolutions with few weights and large maps. Run for a batch, each would write more than the caches hold
// and the next read it back from memory; run for a few images at a time, from the first to the last, they find it in
// the second-level cache, and the weights that they read once more for each of those are small beside it.
void Inference::find_stretch() {
    constexpr int64_t kCacheBytes = 1 << 20, kBytesPerWeightByte = 4;
    const auto image_bytes = [&](int i) {
        return graph_[i].shape.numel() / graph_[i].shape[0] * static_cast<int64_t>(sizeof(float));
    };
    if (graph_.inputs.size() != 1) return;
    std::vector<int> last_readers(graph_.nodes.size(), -1);
    for (int i = 0; i < graph_.size(); ++i)
        for (int from : graph_[i].inputs)
            if (from >= 0) at(last_readers, from) = i;
    at(last_readers, graph_.output) = graph_.size();
    int64_t largest = 0;
    int last_reader = -1;  // of all values before node i
    for (int i = 0; i < graph_.size(); ++i) {
        const GraphNode& node = graph_[i];
        if (!node.activation || at(steps_, i).part_of >= 0) continue;
        if (node.is_op()) {
            if (!at(steps_, i).prepared || node.shape.rank() != 4 || node.shape[0] == 0) return;
            const int64_t bytes = image_bytes(first_input(i)) + image_bytes(i);
            if (static_cast<int64_t>(graph_[node.inputs[1]].value.bytes()) * kBytesPerWeightByte > bytes) return;
            largest = std::max(largest, bytes);
            if (last_reader <= i) {
                stretch_ = i + 1;
                stretch_images_ = std::max<int64_t>(1, kCacheBytes / largest);
            }
        }
        last_reader = std::max(last_reader, at(last_readers, i));
    }
}

// What steps read beside arranged weights is copied, for the module may train on; the rest is let go.
void Inference::keep_weights() {
    std::vector<bool> read(graph_.nodes.size(), false);
    for (int i = 0; i < graph_.size(); ++i)
        for (size_t k = 0; k < graph_[i].inputs.size(); ++k)
            if (const int from = graph_[i].inputs[k]; from >= 0 && !is_arranged(i, k))
                at(read, from) = at(read, from) || graph_[i].activation;
    for (int i = 0; i < graph_.size(); ++i) {
        GraphNode& node = graph_[i];
        if (node.value) node.value = at(read, i) ? node.value.clone() : Tensor{};
        node.lowered = nullptr;
    }
}

int64_t Inference::weight_bytes() const {
    int64_t total = 0;
    for (const Op& op : ops_) total += op.weight_bytes;
    return total;
}

std::shared_ptr<const Inference::Sized> Inference::sized(Inputs inputs, Part part, int64_t images) const {
    std::vector<Shape> shapes;
    for (size_t i = 0; i < inputs.size(); ++i) {
        Shape& shape = shapes.emplace_back(inputs[i].shape());
        const GraphNode& traced = graph_[graph_.inputs[i]];
        check(shape.rank() == traced.shape.rank() && inputs[i].dtype() == traced.dtype, expected(i, inputs[i]));
        if (images > 0 && shape.rank() > 0) shape[0] = images;
    }
    std::lock_guard lock(cache_->mutex);
    for (const Cache::Entry& entry : cache_->entries)
        if (entry.part == part && entry.inputs == shapes) return entry.sized;
    std::shared_ptr<const Sized> made;
    try {
        made = make_sized(shapes, part);
    } catch (const Error&) {
        size_t other = 0;  // the input with other extents than the example's
        while (other + 1 < inputs.size() && inputs[other].shape() == graph_[graph_.inputs[other]].shape) ++other;
        fail(expected(other, inputs[other]));
    }
    if (cache_->entries.size() == Cache::kMost) cache_->entries.erase(cache_->entries.begin());
    return cache_->entries.emplace_back(Cache::Entry{std::move(shapes), part, std::move(made)}).sized;
}

std::shared_ptr<const Inference::Sized> Inference::make_sized(const std::vector<Shape>& inputs, Part part) const {
    auto sized = std::make_shared<Sized>();
    sized->shapes = graph_.shapes(inputs);
    sized->root = part == Part::stretch ? stretch_ - 1 : root_;
    sized->begin = part == Part::rest ? stretch_ : 0;
    sized->end = part == Part::stretch ? stretch_ : graph_.size();
    Graph graph{.nodes = {}, .inputs = graph_.inputs, .output = part == Part::stretch ? stretch_ - 1 : graph_.output};
    for (int i = 0; i < sized->end; ++i) {
        const GraphNode& node = graph_[i];
        graph.nodes.push_back({.op = node.op, .attributes = node.attributes, .inputs = node.inputs,
                               .shape = at(sized->shapes, i), .dtype = node.dtype, .activation = node.activation,
                               .layout = node.layout});
        if (!at(steps_, i).prepared) continue;
        const kernels::Conv2dShape traced = conv2d_shape(graph_, node), now = conv2d_shape(graph, graph[i]);
        check(now.in_h == traced.in_h && now.in_w == traced.in_w && now.in_c == traced.in_c, node.path,
              ": expected the example's height, width and channels");
    }
    for (int i = 0; i < graph.size(); ++i) {
        GraphNode& node = graph.nodes[static_cast<size_t>(i)];
        if (at(steps_, i).part_of >= 0) node.activation = false;  // never whole anywhere
        else if (node.is_op()) node.inputs[0] = first_input(i);
    }
    PlanOptions options{.elsewhere = std::vector<bool>(graph.nodes.size(), false)};
    for (int input : graph.inputs) at(options.elsewhere, input) = true;
    if (part == Part::rest) std::fill_n(options.elsewhere.begin(), stretch_ - 1, true);
    at(options.elsewhere, sized->root) = true;
    sized->plan = plan_memory(graph, options);
    for (int i = 0; i < graph.size(); ++i)
        if (is_chwn(graph[i])) at(sized->shapes, i) = chwn_shape(at(sized->shapes, i));
    return sized;
}

int64_t Inference::pass_images() const { return passes_ ? kernels::chwn::images() : 0; }

Tensor Inference::run(Inputs inputs, std::vector<Cost>* costs) const {
    const NoGrad no_grad;
    check(inputs.size() == graph_.inputs.size(), "inference: expected ", graph_.inputs.size(), " inputs, got ",
          inputs.size());
    const bool stretches = !costs && stretch_ > 0 && inputs[0].rank() > 0 &&
                           (passes_ ? pass_images() : inputs[0].dim(0)) >= kStretchTasks * stretch_images_;
    const auto now = sized(inputs, stretches ? Part::rest : Part::whole, pass_images());
    for (size_t i = 0; i < inputs.size(); ++i)
        if (graph_.inputs[i] == root_) return inputs[i].reshape(at(now->shapes, graph_.output));
    Shape shape = at(now->shapes, graph_.output);
    if (passes_) shape[0] = inputs[0].dim(0);
    Tensor y(shape, graph_[graph_.output].dtype);
    if (y.numel() == 0) return y;
    if (passes_) run_passes(*now, inputs[0], y, costs);
    else run_nodes(*now, inputs, y.mutable_raw(), costs);
    return y;
}

void Inference::run_passes(const Sized& pass, const Tensor& x, Tensor& y, std::vector<Cost>* costs) const {
    const int64_t images = pass_images();
    const size_t row = y.dim(0) == 0 ? 0 : y.bytes() / static_cast<size_t>(y.dim(0));
    std::byte* to = y.mutable_raw();
    for (int64_t first = 0; first < x.dim(0); first += images, to += static_cast<size_t>(images) * row) {
        const int64_t count = std::min(images, x.dim(0) - first);
        Tensor rows = x.rows(first, count);
        if (count == images) {
            run_nodes(pass, {&rows, 1}, to, costs);
            continue;
        }
        Shape shape = x.shape();  // the last pass is filled up with zeros
        shape[0] = images;
        Tensor filled = Tensor::zeros(shape, x.dtype());
        std::copy_n(rows.raw(), rows.bytes(), filled.mutable_raw());
        Workspace<std::byte> result(static_cast<size_t>(images) * row);
        run_nodes(pass, {&filled, 1}, result.data(), costs);
        std::copy_n(result.data(), static_cast<size_t>(count) * row, to);
    }
}

// Runs a part of the nodes; the elements of its root's value go to y.
void Inference::run_nodes(const Sized& now, Inputs inputs, std::byte* y, std::vector<Cost>* costs) const {
    Workspace<std::byte> block(static_cast<size_t>(now.plan.total));
    std::vector<std::byte*> elements = constants_;
    for (size_t i = 0; i < inputs.size(); ++i) at(elements, graph_.inputs[i]) = const_cast<std::byte*>(inputs[i].raw());
    for (int i = 0; i < now.end; ++i) {
        const int buffer = at(now.plan.buffer_of, i);
        if (i == now.root) at(elements, i) = y;
        else if (buffer >= 0) at(elements, i) = block.data() + at(now.plan.buffers, buffer).offset;
        else if (is_view(graph_[i])) at(elements, i) = at(elements, graph_[i].inputs[0]);
    }
    if (now.begin > 0) run_stretch(inputs[0], at(elements, stretch_ - 1));
    const Frame frame{now.shapes, elements};
    for (int i = now.begin; i < now.end; ++i) {
        const Step& step = at(steps_, i);
        if (!step.run) continue;
        if (costs) measure_step(step, frame, at(*costs, i));
        else step.run(frame);
    }
}

// The value of the stretch's last node.
void Inference::run_stretch(const Tensor& x, std::byte* y) const {
    const int64_t count = x.dim(0), tasks = (count + stretch_images_ - 1) / stretch_images_;
    const auto few = sized({&x, 1}, Part::stretch, stretch_images_);
    const auto last = sized({&x, 1}, Part::stretch, count - (tasks - 1) * stretch_images_);
    const Shape& image = at(few->shapes, stretch_ - 1);
    const int64_t bytes = image.numel() / image[0] * static_cast<int64_t>(sizeof(float));
    parallel_tasks(tasks, [&](int64_t task) {
        const Sized& now = task + 1 == tasks ? *last : *few;
        const Tensor rows = x.rows(task * stretch_images_, at(now.shapes, graph_.inputs[0])[0]);
        run_nodes(now, {&rows, 1}, y + task * stretch_images_ * bytes, nullptr);
    });
}

void Inference::measure_step(const Step& step, const Frame& frame, Cost& cost) {
    memory::reset_peak();
    const size_t before = memory::stats().in_use;
    const auto start = Clock::now();
    step.run(frame);
    cost.seconds += std::chrono::duration<double>(Clock::now() - start).count();
    cost.workspace = std::max(cost.workspace, static_cast<int64_t>(memory::stats().peak - before));
}

std::vector<Inference::Cost> Inference::measure(const Tensor& x) const {
    std::vector<Cost> costs(graph_.nodes.size());
    run({&x, 1}, &costs);
    return costs;
}

MemoryPlan Inference::memory_plan(const Tensor& x) const { return sized({&x, 1}, Part::whole, pass_images())->plan; }

}  // namespace lathe::nn
