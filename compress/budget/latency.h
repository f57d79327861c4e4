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
// The same of a layer of an integer program whose weights take 8, 4 or 2 bits.
using MeasureIntegerLayer = std::function<double(const kernels::Conv2dShape& shape, int bits)>;
double measure_integer_layer(const kernels::Conv2dShape& shape, int bits);

// Times of layers as nn::Inference or integer programs run them on this machine: each geometry is measured once, at a
// few sparsities, and kept in a file, from which another run reads the same, with however many threads. So what is
// chosen by them can be repeated.
class LatencyTable {
public:
    // file: empty to keep nothing. Error: it holds something else.
    explicit LatencyTable(std::string file = {}, MeasureLayer measure = measure_layer,
                          MeasureIntegerLayer measure_integer = measure_integer_layer);

    // Never grows with the sparsity, and is the dense kernel's time up to where kernels::sparse::faster() chooses the
    // sparse one. Between measured sparsities it is interpolated.
    double seconds(kernels::Conv2dShape shape,
                   kernels::SparsePattern pattern = kernels::SparsePattern::unstructured, double sparsity = 0);
    // Of all convolutions and linear layers of a traced graph, dense. Other ops, which are fused into them or cost
    // little, do not count.
    double seconds(const Graph& graph);
    // Of a layer of a program whose weights have so many bits: 3 take as long as 4, 5 to 7 as 8 do.
    double integer_seconds(const kernels::Conv2dShape& shape, int bits);

private:
    double kept(const std::string& key, const std::function<double()>& measure);
    double measured(const kernels::Conv2dShape& shape, std::optional<kernels::SparsePattern> pattern, double sparsity);
    std::string file_;
    MeasureLayer measure_;
    MeasureIntegerLayer measure_integer_;
    std::map<std::string, double> known_;
};

// Nanoseconds for inputs of x's batch, of the scanned layers by their sparsities. The table must outlive the model.
CostModel latency_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity, const Pattern& pattern,
                       LatencyTable& table);
// The same of the integer program that a network of prepare_quantization becomes, by the widths of its layers; zeros
// save no time. The other layers have 8 bits. `dense` is the time of the layers in floating point.
CostModel integer_latency_cost(nn::Module& prepared, const Tensor& x, const Sensitivity& sensitivity,
                               LatencyTable& table);

}  // namespace lathe::compress
