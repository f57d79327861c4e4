#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lathe/core/graph/graph.h"

namespace lathe::kernels::integer { struct Table; }

namespace lathe::compress {

constexpr int64_t kElementGrain = 1 << 15;  // elements of a task, where ops go element by element

// Where the values of a run are.
struct IntegerFrame {
    int64_t images;
    const std::vector<uint8_t*>& elements;  // of each node; null for constants
    uint8_t* scratch;
    const kernels::integer::Table& kernels;

    uint8_t* at(int node) const { return elements[static_cast<size_t>(node)]; }
};

// An op of an integer program made ready to run. `run` is empty for views and what is there already.
struct IntegerStep {
    std::function<void(const IntegerFrame&)> run{};
    std::function<int64_t(int64_t images)> workspace{};  // bytes of scratch; empty: none
    // Of a layer: what it runs on, and the share of its multiply-adds that this does.
    std::function<std::string(const kernels::integer::Table&, int64_t images)> kernel{};
    std::function<double(int64_t images)> done{};
};

// It copies what it needs of the graph. Error: an op that integer programs do not have, constants of another type,
// numbers out of their ranges.
IntegerStep make_integer_step(const Graph& graph, int node);

}  // namespace lathe::compress
