#pragma once
#include <memory>
#include <optional>
#include <string>

#include "lathe/compress/integer/program.h"
#include "lathe/nn/model.h"
#include "lathe/nn/run/inference.h"

namespace lathe::tools {

// What a saved file holds: a network, or an integer program seen as one, which runs and does not train.
struct Saved {
    std::unique_ptr<nn::Model> model;
    std::shared_ptr<const compress::IntegerProgram> program;  // null: a network
};
Saved open_saved(const std::string& path);  // Error: neither
// Error: an integer program, too, which the message says.
std::unique_ptr<nn::Model> open_network(const std::string& path);

// Either of them made ready for inputs like the example.
class Runner {
public:
    Runner(const Saved& saved, const Tensor& example) : program_(saved.program) {
        if (!program_) inference_.emplace(*saved.model, example);
    }

    Tensor operator()(const Tensor& x) const { return program_ ? (*program_)(x) : (*inference_)(x); }
    // Bytes of activations, with the input and the output.
    int64_t peak_bytes(const Tensor& x) const {
        if (program_) return program_->memory_plan().total * x.dim(0);
        return inference_->memory_plan(x).total + static_cast<int64_t>(x.bytes() + (*inference_)(x).bytes());
    }

private:
    std::shared_ptr<const compress::IntegerProgram> program_;
    std::optional<nn::Inference> inference_;
};

}  // namespace lathe::tools
