#pragma once
#include "lathe/nn/module.h"

namespace lathe::nn {

struct EmbeddingOptions {
    int64_t rows = 0;      // size of the vocabulary
    int64_t features = 0;  // length of a row
};

// ops::embedding with its weight [rows, features], normal at first.   x i32 [...]  ->  y [..., features]
// Error: sizes below 1.
class Embedding : public Module {
public:
    using Options = EmbeddingOptions;
    explicit Embedding(const Options& options);

    Parameter weight;

private:
    Variable forward(const Variable& x) override;
};

}  // namespace lathe::nn
