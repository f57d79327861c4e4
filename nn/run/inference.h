#pragma once
#include <functional>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::nn {

// A network made ready to run: its graph is folded (fold.h), its ops get the layouts of activations that suit them (layout.h),
// weights are arranged for the kernels once, activations are freed after their last reader. It keeps the weights that the
// module had when it was made.
//
//     const nn::Inference run(model, batch.x);
//     Tensor logits = run(batch.x);
//
// Threads may call one Inference at the same time.
class Inference {
public:
    // Traces the module in evaluation mode. `example` [N, ...] says how large inputs are and which batch size the kernels are
    // chosen for. Error: an op that cannot run again, weights that are not float32.
    Inference(Module& module, const Tensor& example);

    // x [any N, ...] of the example's other extents. Where a pruned network runs in CHWN, time grows with N in steps of a
    // vector's lanes. Error: another shape or type.
    Tensor operator()(const Tensor& x) const;

    // What runs, in order; timed: with the seconds that each op took in one run on the whole of x, op by op.
    const Graph& graph() const { return graph_; }
    Graph timed(const Tensor& x) const;

private:
    // Makes a node's value from those of its inputs, which it may take.
    using Step = std::function<Tensor(std::vector<Tensor>& inputs)>;
    Step step_for(const GraphNode& node) const;
    void keep_weights();
    void find_stretch();
    Tensor run(const Tensor& x, std::vector<double>* seconds) const;
    Tensor run_pass(const Tensor& x, std::vector<double>* seconds) const;
    void run_nodes(size_t begin, size_t end, std::vector<Tensor>& values, std::vector<double>* seconds) const;
    Tensor run_stretch(const Tensor& x) const;

    Graph graph_;
    bool passes_ = false;           // some of it in CHWN: as many images as that holds go through the whole network at a time
    std::vector<Step> steps_;       // of each node; none for the input and for weights
    std::vector<int> last_reader_;  // the node after which a value is freed
    size_t stretch_ = 0;            // nodes before it are run for a few images at a time, see find_stretch
    int64_t stretch_images_ = 1;
};

}  // namespace lathe::nn
