#pragma once
#include <string>
#include <vector>

#include "lathe/core/graph/trace.h"
#include "lathe/nn/module.h"
#include "lathe/nn/files/encode.h"

namespace lathe::compress {

// What a module's parameters and buffers take: dense, as what is left of them, and packed as files hold them
// (nn/files/encode.h).
struct SizeReport {
    struct Entry {
        std::string name;
        int64_t elements = 0, nonzeros = 0;  // of the effective weight
        int64_t dense_bytes = 0, packed_bytes = 0;
        std::string encoding = "dense";  // "bitmap", … (nn/files/encode.h)
        int bits = 32;                   // that a value is stored in

        // The course lab's count: the values that are not zero, without any index.
        int64_t nonzero_bytes() const { return elements ? dense_bytes / elements * nonzeros : 0; }
    };
    std::vector<Entry> parameters, buffers;

    Entry total() const;  // of the parameters
    // What the values of quantized weights are stored in: the least, the most and the mean; 32 without any.
    struct Bits {
        int least = 32, most = 32;
        double mean = 32;
        std::string str() const;  // "float", "8", "2-8, mean 3.1"
    };
    Bits weight_bits() const;
    std::string str() const;
};

SizeReport measure_size(nn::Module& module, nn::Coding coding = nn::Coding::packed);

// Bytes that say which of `count` weights are not zero where zeros lie at random: the smaller of a bitmap and a byte
// for each gap.
double index_bytes(double count, double sparsity);

// Multiply-accumulates that meet a weight which is not zero: of the op that a node of the module's traced graph ran, or
// of the whole graph.
int64_t effective_macs(const Graph& graph, const GraphNode& node, const SizeReport& size);
int64_t effective_macs(const Graph& graph, const SizeReport& size);

}  // namespace lathe::compress
