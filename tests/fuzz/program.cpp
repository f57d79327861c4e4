#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/compress/integer/prepared.h"
#include "lathe/tests/fuzz/edit.h"
#include "lathe/tests/fuzz/fuzz.h"

// Integer programs from files whose tensors are in order: what is damaged is what they say. The input is an edit script
// (edit.h) on a program that was saved. What loads runs, is measured, and saved again.
namespace lathe::fuzz {

namespace {

// One weight in `every` is kept.
TensorFile saved(const char* name, int bits, int64_t every) {
    const auto model = nn::make_model(name, {.width = 0.5});
    model->eval();
    for (const auto& [path, parameter] : model->named_parameters()) {
        Tensor keep = Tensor::zeros(parameter->shape(), DType::u8);
        for (int64_t i = 0; i < keep.numel(); i += every) keep.mutable_data<uint8_t>()[i] = 1;
        if (every > 1) nn::set_mask(*parameter, keep);
    }
    const Graph prepared = testing::Preparation(*model, model->example(2), bits).run();
    return compress::to_file({compress::lower_to_integer(prepared), nn::description_of(*model)});
}

}  // namespace

std::vector<std::string> seeds() { return edit_seeds(); }

void read(Bytes bytes) {
    static const TensorFile files[] = {saved("lenet5", 8, 10), saved("ds-cnn", 4, 1)};
    if (bytes.empty()) return;
    const auto program = compress::program_from_file(edited(files, bytes), "fuzz");
    int64_t elements = 0;
    for (const GraphNode& node : program->net().graph.nodes) elements += node.shape.numel();
    if (elements > 1 << 20) return;  // right, but slow
    const auto model = compress::as_model(program);
    (*model)(model->example(2));
    compress::measure_size(*program).str();
    compress::program_from_file(compress::to_file(*program), "again");
}

}  // namespace lathe::fuzz
