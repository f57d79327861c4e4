#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lathe/core/files/safetensors.h"
#include "lathe/core/graph/attributes.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

enum class Coding { packed, huffman };

// A weight with what belongs to its transforms, as a file stores it: the tensors by suffix, "" being the weight itself,
// in the order of files. Each transform takes out tensors (the weight, its own state) and puts in what stands for them,
// and notes what it needs to know to get them back.
struct Encoded {
    std::map<std::string, Tensor> tensors{};
    Attributes how{};
    Tensor keep{};  // u8, of the weight's shape: 0 where it is zero for good; empty: nowhere
    // Tensors of u8 whose elements are below 2^bits, by suffix. When all transforms have encoded, a stream of bytes
    // takes the place of each (core/files/symbols.h): packed, or with Coding::huffman coded where that is smaller.
    // `how` says "SUFFIX_bits", "SUFFIX_shape" and "SUFFIX_coding" of it, "weight" standing for the suffix "". 8 bits
    // packed are the tensor itself, of which nothing is said.
    std::map<std::string, int> symbols{};
    Coding coding = Coding::packed;
    double excess = 0;  // bytes that the symbols take beyond their entropy, each coded alone

    int64_t bytes() const;
};
// Of a parameter, without the parameters of its transforms, which files store as such. A weight with a transform of
// the stage `scale` is stored as it is.
Encoded encode(Parameter& parameter, Coding coding = Coding::packed);

// The same for all parameters with transforms of a module, on a file of its state() and lathe.transforms. The metadata
// lathe.encoded says {"NAME": how} as JSON.
void encode(Module& module, TensorFile& file, Coding coding = Coding::packed);
// The file before it was encoded, less what that has lost. Error: a damaged tensor or description.
TensorFile decoded(TensorFile file);

// The transforms that lathe.transforms of a file lists for a weight, in order of application.
struct ListedTransform {
    std::string kind;
    Attributes config;
};
std::string json_of(Module& module);  // of all weights of a module: {"NAME": [{"kind": …, SETTINGS}]}
std::map<std::string, std::vector<ListedTransform>> listed_transforms(const TensorFile& file);  // Error: damaged

// For transforms: the tensor "" by a u8 tensor of its shape, 1 where it is kept, as the kept elements, in order, and
// where they stand. Masked values are lost.
//   values  the kept elements, of the tensor's type
//   index   u8, by the encoding
// symbols of as many bits as the tensor, and of 8; and `how` says "encoding" and "shape". Encodings, of which the
// smaller is taken, coded as it will be:
//   bitmap    a bit for each element, 1 where it is kept; element i is bit i % 8 of byte i / 8
//   relative  for each kept element the number of elements skipped since the one before (or the start), as bytes:
//             each 255 skips 255 elements and goes on, any other byte skips so many and a kept element follows.
//             Elements skipped at the end are there in bytes of 255, too, as far as they fill one. With
//             Coding::huffman they may be symbols of B < 8 bits, and 2^B - 1 in the place of 255: a code of fewer
//             symbols takes less room itself
void encode_sparse(Encoded& weight, const std::string& mask);
void decode_sparse(Encoded& weight, const std::string& mask);

// A tensor by itself, so encoded with its zeros left out where that takes fewer bytes: "values", "index" and `how`.
// Otherwise "" alone, and `how` is empty.
Encoded encode_zeros(const Tensor& tensor);
// The same for the integers of 8 bits in a file, NAME.values and NAME.index in the place of NAME; the metadata
// lathe.zeros says {"NAME": how} as JSON. And back. Error: a damaged tensor or description.
void encode_zeros(TensorFile& file);
TensorFile with_zeros(TensorFile file);

}  // namespace lathe::nn
