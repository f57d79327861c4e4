#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lathe/core/files/safetensors.h"
#include "lathe/core/graph/attributes.h"
#include "lathe/nn/module.h"

namespace lathe::nn {

// A weight with what belongs to its transforms, as a file stores it: the tensors by suffix, "" being the weight itself,
// in the order of files. Each transform takes out tensors (the weight, its own state) and puts in what stands for them,
// and notes what it needs to know to get them back. One that leaves integers of the weight (i8 or u8) and notes their
// "bits", fewer than 8, has them packed in the end (bits.h), whatever the others did with them; `how` then says their
// type as "integers" and their shape as "unpacked".
struct Encoded {
    std::map<std::string, Tensor> tensors{};
    Attributes how{};

    int64_t bytes() const;
};
// Of a parameter, without the parameters of its transforms, which files store as such.
Encoded encode(Parameter& parameter);

// The same for all parameters with transforms of a module, on a file of its state() and lathe.transforms. The metadata
// lathe.encoded says {"NAME": how} as JSON.
void encode(Module& module, TensorFile& file);
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
// and `how` says "encoding" and "shape". Encodings, of which the smaller is taken:
//   bitmap    a bit for each element, 1 where it is kept; element i is bit i % 8 of byte i / 8
//   relative  for each kept element the number of elements skipped since the one before (or the start), as bytes: each
//   255
//             skips 255 elements and goes on, any other byte skips so many and a kept element follows. Elements skipped
//             at the end are there in bytes of 255, too, as far as they fill one
void encode_sparse(Encoded& weight, const std::string& mask);
void decode_sparse(Encoded& weight, const std::string& mask);

}  // namespace lathe::nn
