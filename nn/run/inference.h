#pragma once
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lathe/core/graph/memory_plan.h"
#include "lathe/nn/module.h"
#include "lathe/nn/run/steps.h"

namespace lathe::nn {

// A network made ready to run: its graph is folded (fold.h), its ops get the layouts of activations that suit them
// (layout.h), weights are arranged for the kernels once, and activations lie where a memory plan puts them, in one
// block that each run takes at its beginning. It keeps the weights that the module had when it was made, those with a
// codebook (codebook.h) as their values or as packed indices.
//
//     const nn::Inference run(model, batch.x);
//     Tensor logits = run(batch.x);
//
// Threads may call one Inference at the same time; each run has a block of its own.
class Inference {
public:
    // Traces the module in evaluation mode. `example` [N, ...] says how large inputs are and which batch size the
    // kernels are chosen for. Error: an op that cannot run again, weights that are not float32.
    Inference(Module& module, const Tensor& example, InferenceWeights weights = InferenceWeights::fastest)
        : Inference(module, std::vector{example}, weights) {}
    Inference(Module& module, const std::vector<Tensor>& examples,  // of a network with several inputs
              InferenceWeights weights = InferenceWeights::fastest);
    Inference(Inference&&) noexcept;
    ~Inference();

    // x [any N, ...] of the example's type and other extents; where no convolution sees it and the ops allow it,
    // another length. Where a pruned network runs in CHWN, time grows with N in steps of a vector's lanes. Error:
    // another shape or type.
    Tensor operator()(const Tensor& x) const { return run({&x, 1}, nullptr); }
    Tensor operator()(const std::vector<Tensor>& inputs) const { return run(inputs, nullptr); }

    // What runs, in order, with the shapes of the example; and of each node, how.
    const Graph& graph() const { return graph_; }
    struct Op {
        bool runs = false;                  // neither a value that is there already nor a view of one
        std::string kernel{};               // of layers: the algorithm chosen; one may run the layers before it, too
        // Elements of the constants that it reads and no op before it did, and those of them other than zero.
        int64_t weights = 0, nonzeros = 0;
        int64_t weight_bytes = 0;           // that it holds for them, as its kernel has them arranged
        // For the example: multiply-accumulates by the op's definition, those that meet a weight other than zero, and
        // those that the kernel does.
        int64_t macs = 0, effective_macs = 0, done_macs = 0;
        int64_t bytes = 0;  // likewise: the fewest that pass between memory and CPU
    };
    const std::vector<Op>& ops() const { return ops_; }
    int64_t weight_bytes() const;  // of all ops

    // Where a run on inputs of this shape has its activations: all but the inputs and the output, which the caller has,
    // and but the kernels' workspaces. Where it runs in CHWN, that is of one pass of as many images as a vector has
    // lanes.
    MemoryPlan memory_plan(const Tensor& x) const;

    // What each op took in one run, op by op, on the whole of x. Moves memory's peak (memory::reset_peak).
    struct Cost {
        double seconds = 0;
        int64_t workspace = 0;  // bytes that the kernel had beside the plan's
    };
    std::vector<Cost> measure(const Tensor& x) const;

private:
    // Of large batches the leading convolutions run for a few images at a time (find_stretch): `stretch` is those,
    // `rest` what follows them.
    enum class Part { whole, stretch, rest };
    struct Sized;  // all that follows from the shapes of inputs
    struct Cache;
    using Inputs = std::span<const Tensor>;

    bool is_arranged(int node, size_t input) const;
    void describe_ops();
    int first_input(int node) const;
    void find_stretch();
    void keep_weights();
    int64_t pass_images() const;  // that go through the network at a time; 0: all
    std::string expected(size_t input, const Tensor& x) const;
    // images: as if the inputs were so many; 0: as they are.
    std::shared_ptr<const Sized> sized(Inputs inputs, Part part, int64_t images) const;
    std::shared_ptr<const Sized> make_sized(const std::vector<Shape>& inputs, Part part) const;
    Tensor run(Inputs inputs, std::vector<Cost>* costs) const;
    void run_passes(const Sized& pass, const Tensor& x, Tensor& y, std::vector<Cost>* costs) const;
    void run_nodes(const Sized& now, Inputs inputs, std::byte* y, std::vector<Cost>* costs) const;
    void run_stretch(const Tensor& x, std::byte* y) const;
    static void measure_step(const Step& step, const Frame& frame, Cost& cost);

    static constexpr int64_t kStretchTasks = 16;  // fewer would leave threads idle

    Graph graph_;
    bool passes_ = false;      // some of it in CHWN: as many images as that holds go through it at a time
    std::vector<Step> steps_;  // of each node
    std::vector<Op> ops_;
    std::vector<std::byte*> constants_;  // elements of each node's value; null: an activation, or arranged in a step
    int root_ = 0;             // the node whose elements the output has
    int stretch_ = 0;          // nodes before it are run for a few images at a time
    int64_t stretch_images_ = 1;
    std::unique_ptr<Cache> cache_;
};

}  // namespace lathe::nn
