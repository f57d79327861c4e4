#pragma once
#include <map>
#include <string>

#include "lathe/core/files/file.h"
#include "lathe/core/tensor.h"

namespace lathe {

// The content of a safetensors file (huggingface.co/docs/safetensors): named tensors and string metadata.
struct TensorFile {
    std::map<std::string, Tensor> tensors;
    std::map<std::string, std::string> metadata;
};

// Reads F32, F64, I8, U8, I32 and I64 as they are, F16 and BF16 as f32, BOOL as u8. The header is checked whole before
// anything is allocated for data. `name` stands in error messages. Error: anything that is not a well-formed file:
// a header over 100 MB or past the end, invalid JSON, duplicate names, unknown types, shapes of more than
// Shape::kMaxRank dimensions, byte ranges that differ from the shapes or do not tile the data exactly. A path that ends
// with ".gz" is that of a packed one, of which no more is unpacked than its header says, at most 4 GiB. Error: as
// read_unpacked.
TensorFile read_safetensors(const std::string& path);
TensorFile parse_safetensors(Bytes bytes, const std::string& name);

// Writes the file whole or not at all (write_file_atomically). Data start at a multiple of 64 bytes and lie in order of
// falling element size, then name, so that every tensor is aligned; equal content gives equal bytes. To a path that
// ends with ".gz" it is written packed, as gzip would: names and descriptions take a tenth of their room.
// Error: an empty tensor, a name or text that is not UTF-8, a name that the format reserves, or as
// write_file_atomically.
void write_safetensors(const std::string& path, const TensorFile& file);

}  // namespace lathe
