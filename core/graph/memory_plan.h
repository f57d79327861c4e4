#pragma once
#include <cstdint>
#include <vector>

#include "lathe/core/graph/graph.h"
#include "lathe/core/memory.h"

namespace lathe {

// Where the activations of a graph lie in one block of memory when its ops run in order and each value is forgotten
// after its last reader. Weights and the kernels' own workspaces are not in it.
struct MemoryPlan {
    // Room for a value, for views of it, and for what is computed in its place.
    struct Buffer {
        int first = 0, last = 0;  // nodes: which makes the value, which reads it last (the graph's size: the output)
        int64_t bytes = 0, offset = 0;
    };
    std::vector<Buffer> buffers{};  // in order of `first`
    std::vector<int> buffer_of{};   // of every node; -1: a weight, or a value that is kept elsewhere
    int64_t total = 0;              // bytes of the block
    int64_t lower_bound = 0;        // the most bytes alive at once: no plan needs fewer
    int busiest = -1;               // the first node at which they are

    std::vector<int> alive_at(int node) const;  // buffers, in order
    // Error: two buffers share memory while both are alive, a buffer is smaller than a value in it, not aligned or
    // beyond the block, or is given up before its last reader.
    void check(const Graph& graph) const;
};

struct PlanOptions {
    bool in_place = true;                    // ops write over an input that nobody reads later, where they can
    int64_t alignment = memory::kAlignment;  // of offsets; sizes are rounded up to it
    Mode mode = Mode::evaluation;            // training, dropout makes a value of its own
    std::vector<bool> elsewhere{};           // nodes whose values, and so their views, are kept elsewhere; empty: none
};

// Its buffers are placed by place_buffers.
MemoryPlan plan_memory(const Graph& graph, const PlanOptions& options = {});

// Gives buffers of known lives and sizes their offsets and returns the bytes of the block. They are placed one by one,
// each into the smallest gap between those alive at the same time that holds it, else behind them: the largest first
// ("greedy by size", Pisarchyk and Lee 2020, arXiv 2001.03288) and, as a second try, in order of time. The better of
// both.
int64_t place_buffers(std::vector<MemoryPlan::Buffer>& buffers);

}  // namespace lathe
