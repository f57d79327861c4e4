#pragma once
#include <memory>
#include <string>

#include "lathe/compress/integer/program.h"
#include "lathe/core/files/safetensors.h"

namespace lathe::compress {

// A safetensors file ("NAME-int8.safetensors") that is a whole integer program: its tensors are the constants of its
// graph, its metadata
//   lathe.program  "4", the version
//   lathe.graph    the graph of integer ops (nn/files/graph_json.h)
//   lathe.grids    {"input": {"scale": S, "zero": Z, "high": H}, "output": {…}, "ending": "" or the floating-point op
//                  behind}
// and nn::Description. Zeros of pruned weights are left out (nn::encode_zeros).
TensorFile to_file(const IntegerProgram& program);
// Error: anything that is no such file, or no program that holds (IntegerProgram); one line that names the file.
std::shared_ptr<const IntegerProgram> program_from_file(const TensorFile& file, const std::string& name);
inline bool is_program(const TensorFile& file) { return file.metadata.contains("lathe.program"); }

void save(const IntegerProgram& program, const std::string& path);
std::shared_ptr<const IntegerProgram> load_program(const std::string& path);

}  // namespace lathe::compress
