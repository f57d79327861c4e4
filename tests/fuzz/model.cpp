#include "lathe/compress/budget/size.h"
#include "lathe/compress/channels/prune.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/inference.h"
#include "lathe/tests/fuzz/edit.h"
#include "lathe/tests/fuzz/fuzz.h"

// Whole models from files whose tensors are in order: what is damaged is what they say. The input is an edit script
// (edit.h) on a model that was saved. What loads is run, prepared for inference, measured, pruned in weights and in
// channels, and saved again.
namespace lathe::fuzz {

namespace {

TensorFile saved(nn::Weights weights) {
    const auto model = nn::make_model("lenet5", {.width = 0.5});
    for (const auto& [name, parameter] : model->named_parameters())
        if (parameter->shape().rank() > 1) {
            Tensor mask = Tensor::full(parameter->shape(), 1, DType::u8);
            for (int64_t i = 0; i < mask.numel(); i += 2) mask.mutable_data<uint8_t>()[i] = 0;
            parameter->add_transform(std::make_unique<nn::Mask>(mask));
        }
    model->class_names = std::vector<std::string>(10, "digit");
    return nn::to_file(*model, weights);
}

}  // namespace

std::vector<std::string> seeds() { return edit_seeds(); }

void read(Bytes bytes) {
    static const TensorFile files[] = {saved(nn::Weights::dense), saved(nn::Weights::encoded)};
    if (bytes.empty()) return;
    const auto model = nn::from_file(edited(files, bytes), "fuzz");
    const Graph graph = nn::trace(*model, model->example(1));
    int64_t elements = 0;
    for (const GraphNode& node : graph.nodes) elements += node.shape.numel();
    if (elements > 1 << 20) return;  // right, but slow
    const Tensor x = model->example(2);
    model->eval();
    (*model)(x);
    nn::Inference{*model, x}(x);
    nn::from_file(nn::to_file(*model), "again");
    compress::measure_size(*model).str();
    compress::prune_magnitude(*model, {.sparsity = 0.5});
    nn::Inference{*model, x}(x);
    nn::from_file(nn::to_file(*model, nn::Weights::encoded), "packed");
    compress::prune_channels(*model, model->example(), {.ratio = 0.5});
    (*model)(x);
    nn::Inference{*model, x}(x);
}

}  // namespace lathe::fuzz
