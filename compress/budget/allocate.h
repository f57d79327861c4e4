#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lathe/compress/budget/sensitivity.h"

namespace lathe::compress {

// What a network costs as a function of its layers' settings: a fixed part and one of each layer, in any unit.
struct CostModel {
    struct Layer {
        std::string name;                                       // of its weight, as in Sensitivity
        std::function<double(double sparsity, int bits)> cost;  // never grows with the sparsity
    };
    double fixed = 0;
    std::vector<Layer> layers;
    double dense = 0;  // of the network without any zero, in floating point: what shares are of

    double at(double sparsity, int bits = kFloatBits) const;  // of the network with every layer at this setting
};

// Bytes of all parameters packed as files hold them (nn/files/encode.h): values of so many bits with their codebook or
// scales, and the smaller of both indices as expected for zeros that lie at random. A layer costs what its weights do;
// the others are fixed.
CostModel size_cost(nn::Module& module, const Sensitivity& sensitivity);
// Multiply-accumulates of one image that meet a weight which is not zero. x: an input of batch 1.
CostModel macs_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity);
// Bit operations: these, times the bits of the weight, times those of the activation that it meets (van Baalen et al.
// 2020, "Bayesian Bits", arXiv 2005.07093, appendix B.2.1), which are those of the fake_quantize before the layer.
CostModel bit_operations_cost(nn::Module& module, const Tensor& x, const Sensitivity& sensitivity);

struct Allocation {
    struct Layer {
        std::string name;
        double sparsity = 0, cost = 0;
        int bits = kFloatBits;
        double loss = 0;
    };
    std::vector<Layer> layers;
    double cost = 0, dense = 0;  // of the whole network
    double loss = 0;  // by how much it should grow, were the layers independent

    std::vector<std::pair<std::string, double>> sparsities() const;  // for WeightPruneOptions::layers
    std::vector<std::pair<std::string, int>> bits() const;           // for QuantizeOptions::layers
    std::string str() const;
};

// Sparsities and widths for which the network costs at most `budget` and the losses of the scan, added up over the
// layers, grow least. A layer's loss against its cost is made convex (lower hull) and the budget is spent by marginal
// greed: of all layers, the next piece of cost is taken where it costs the least loss. For convex curves that is the
// optimum (Fox 1966, "Discrete optimization via marginal analysis"): the Lagrangian's, with one price of loss for a
// unit of cost in every layer. Between sparsities scanned at one width losses are interpolated; no layer goes beyond
// its greatest. Widths are not: a step between them is taken whole, which leaves a part of the budget over, and that is
// spent on steps back that fit, the one that gains the most loss for its cost first. So no other choice at a cost that
// is a step below the budget loses less.
// Error: not reachable (says the smallest that is).
Allocation allocate(const Sensitivity& sensitivity, const CostModel& costs, double budget);

}  // namespace lathe::compress
