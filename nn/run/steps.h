#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe::nn {

// Where the values of one run are.
struct Frame {
    const std::vector<Shape>& shapes;        // of each node, as its elements lie: [C, H, W, N] in CHWN
    const std::vector<std::byte*>& elements; // of each node; null where it has none

    template <class T>
    T* at(int node) const { return node < 0 ? nullptr : reinterpret_cast<T*>(elements[static_cast<size_t>(node)]); }
    const Shape& shape(int node) const { return shapes[static_cast<size_t>(node)]; }
};

// An op made ready to run: it computes its node's elements from those of its inputs. `run` is empty for what needs
// none: weights, the input, views.
struct Step {
    std::function<void(const Frame&)> run{};
    std::string kernel{};            // of a layer: the algorithm that its shape and its weights have got
    double density = 1;              // the share of a layer's weights other than zero
    double done = 1;                 // the share of the op's MACs that the kernel does
    int64_t weight_bytes = 0;        // that its arranged weights take
    bool prepared = false;           // a layer whose weight is arranged in it and is not read again
    int part_of = -1;                // the later node whose step does this one's work; then `run` is empty
};

// How an Inference holds weights that share a codebook (nn/codebook.h): as values, or as packed indices, which a kernel
// looks up a block at a time, with the bits that it makes of values. Where a mask makes zeros as well, as values.
enum class InferenceWeights {
    fastest,   // indices only where they are faster (kernels::indexed_is_faster)
    // Indices wherever they take fewer bytes: at 4 bits a tenth of those of `fastest` at batch 1, at batch 32 a 25th
    // (resnet20) or 32nd (vgg-cifar). Winograd's convolution and joined inverted residuals need values, so it runs at
    // about 0.6 times the speed at batch 1 and at 0.3 to 0.5 times at batch 32.
    smallest,
};

// For each node. Layers with constant weights are arranged for the kernels (sparse ones where enough of their weights
// are zero), for inputs of the graph's shapes but of any batch; the three dense convolutions of an inverted residual
// block are one step, the last one's; other ops run as in the op table. They refer to nothing of the graph but its
// constants' values, which Frame gives. Error: an op that cannot run again, weights that are not float32.
std::vector<Step> make_steps(const Graph& graph, InferenceWeights weights);

}  // namespace lathe::nn
