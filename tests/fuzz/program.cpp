#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/compress/integer/prepared.h"
#include "lathe/tests/fuzz/edit.h"
#include "lathe/tests/fuzz/fuzz.h"

// Integer programs from files whose tensors are in order: what is damaged is what they say. The input is an edit script
// (edit.h) on a program that was saved. What loads runs, is measured, and saved again.
namespace lathe::fuzz {

namespace {

TensorFile saved(const char* name, int bits) {
    const auto model = nn::make_model(name, {.width = 0.5});
    model->eval();
    const Graph prepared = testing::Preparation(*model, model->example(2), bits).run();
    return compress::to_file({compress::lower_to_integer(prepared), nn::description_of(*model)});
}

}  // namespace

std::vector<std::string> seeds() {
    return {"", std::string("\x00\x00\x00\x00", 4), std::string("\x0c\x00\x05\x07\x10\x00\x00\xff", 8),
            std::string("\x00\xf0\x02\x00\x04", 5), std::string("\x01\xe8\x00\x01\x00", 5)};
}

void read(Bytes bytes) {
    static const TensorFile files[] = {saved("lenet5", 8), saved("ds-cnn", 4)};
    if (bytes.empty()) return;
    const TensorFile& from = files[static_cast<size_t>(bytes[0]) % 2];
    TensorFile file{.tensors = {}, .metadata = from.metadata};
    for (const auto& [name, tensor] : from.tensors) file.tensors[name] = tensor.clone();
    edit(file, bytes.subspan(1));
    const auto program = compress::program_from_file(file, "fuzz");
    int64_t elements = 0;
    for (const GraphNode& node : program->net().graph.nodes) elements += node.shape.numel();
    if (elements > 1 << 20) return;  // right, but slow
    const auto model = compress::as_model(program);
    (*model)(model->example(2));
    compress::measure_size(*program).str();
    compress::program_from_file(compress::to_file(*program), "again");
}

}  // namespace lathe::fuzz
