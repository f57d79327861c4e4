#pragma once
#include <cstdint>

#include "lathe/core/files/safetensors.h"

namespace lathe::nn {

// Sparse tensors as files hold them: the values that are kept, in order, and where they stand. In a safetensors file the
// tensor NAME then becomes
//   NAME.values   its kept values, of its type
//   NAME.index    u8, by the encoding
// and the metadata lathe.packed says {"NAME": {"encoding": …, "shape": […]}} as JSON. Encodings:
//   bitmap    a bit for each element, 1 where it is kept; element i is bit i % 8 of byte i / 8
//   relative  for each kept element the number of elements skipped since the one before (or the start), as bytes: each 255
//             skips 255 elements and goes on, any other byte skips so many and a kept element follows. Elements skipped
//             at the end are there in bytes of 255, too, as far as they fill one
// The smaller of the two is taken for each tensor. Elements are counted in the order of files.
enum class Encoding { dense, bitmap, relative };
const char* name_of(Encoding encoding);

struct PackedSize {
    Encoding encoding = Encoding::dense;
    int64_t bytes = 0;  // values and index
};
// What `keep` (u8, 1: kept) makes of a tensor whose elements have so many bytes.
PackedSize packed_size(const Tensor& keep, size_t element_bytes);

// Packs every tensor NAME that has a mask NAME.mask, which the index then stands for: masked values are lost, so masks
// cannot open again. unpack brings both back. Error: a damaged index, values or description.
TensorFile pack(TensorFile file);
TensorFile unpack(TensorFile file);

}  // namespace lathe::nn
