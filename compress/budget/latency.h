#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "lathe/compress/budget/allocate.h"
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/sparse/filter.h"

namespace lathe::compress {

// One measured time in seconds: of a layer by the dense kernel (no pattern), or by the sparse one at a sparsity.
using MeasureLayer = std::function<double(const kernels::Conv2dShape& shape,
                                          std::optional<kernels::SparsePattern> pattern, double sparsity)>;
double measure_layer(const kernels::Conv2dShape& shape, std::optional<kernels::SparsePattern> pattern, double sparsity);

// Times of layers as nn::Inference runs them on this machine: each geometry is measured once, at a few sparsities, and
// kept in a file, from which another run reads the same, with however many threads. So what is chosen by them can be
// repeated.
class LatencyTable {
public:
    // file: empty to keep nothing. Error: it holds something else.
    explicit LatencyTable(std::string file = {}, MeasureLayer measure = measure_layer);

    // Never grows with the sparsity, and is the dense kernel's time up to where kernels::sparse::faster() chooses the
    // sparse one. Between measured sparsities it is interpolated.
    double seconds(const kernels::Conv2dShape& shape,
                   kernels::SparsePattern pattern = kernels::SparsePattern::unstructured, double sparsity = 0);
    // Of all convolutions and linear layers of a traced graph, dense. Other ops, which are fused into them or cost
    // little, do not count.
    double seconds(const Graph& graph);

private:
    double measured(const kernels::Conv2dShape& shape, std::optional<kernels::SparsePattern> pattern, double sparsity);
    std::string file_;
    MeasureLayer measure_;
    std::map<std::string, double> known_;
};

// Nanoseconds for inputs of x's batch, of the scanned layers by their sparsities. The table must outlive the model.
CostModel latency_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity, const Pattern& pattern,
                       LatencyTable& table);

}  // namespace lathe::compress
