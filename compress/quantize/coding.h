#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/nn/module.h"

namespace lathe::compress {

// What becomes of each weight's 32 bits on the way of Deep Compression (Han et al. 2015, arXiv 1510.00149): pruned,
// quantized to codebooks, Huffman coded. Bytes are those of a file's tensors (nn/files/encode.h), codebooks and the
// positions of what masks keep included.
struct CodingReport {
    struct Layer {
        std::string name;
        int64_t weights = 0, nonzeros = 0;
        int64_t dense_bytes = 0;    // 32 bits a weight
        int64_t packed_bytes = 0;   // nn::Weights::encoded
        int64_t huffman_bytes = 0;  // nn::Weights::huffman
        // With every index and run length at the entropy of those of its layer, codebooks and what is not coded as they
        // are: what no code of single symbols falls below.
        double bound_bytes = 0;
        double ratio() const;  // dense to Huffman coded
    };
    std::vector<Layer> layers;  // one for each weight with transforms, and one for all other parameters

    Layer total() const;
    std::string str() const;  // a table
};

CodingReport measure_coding(nn::Module& module);

}  // namespace lathe::compress
