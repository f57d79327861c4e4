#include "lathe/tools/saved.h"

#include "lathe/compress/integer/program_file.h"
#include "lathe/nn/files/model_file.h"

namespace lathe::tools {

Saved open_saved(const std::string& path) {
    const TensorFile file = read_safetensors(path);
    if (!compress::is_program(file)) return {nn::from_file(file, path), nullptr};
    auto program = compress::program_from_file(file, path);
    return {compress::as_model(program), program};
}

std::unique_ptr<nn::Model> open_network(const std::string& path) {
    const TensorFile file = read_safetensors(path);
    check(!compress::is_program(file), path,
          ": expected a network, got an integer program, which runs (eval, profile, predict, compare) and no more");
    return nn::from_file(file, path);
}

}  // namespace lathe::tools
