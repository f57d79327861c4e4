#include <cstring>

#include "lathe/core/files/safetensors.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/fuzz/fuzz.h"

// Whole models from files whose tensors are in order: what is damaged is what they say. The input is an edit script on a
// model that was saved: (entry, offset in two bytes, byte) in fours, over its metadata and its tensors' bytes.
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

void edit(TensorFile& file, Bytes script) {
    for (size_t i = 0; i + 4 <= script.size(); i += 4) {
        const auto number = [&](size_t k) { return static_cast<size_t>(script[i + k]); };
        const size_t entries = file.metadata.size() + file.tensors.size(), entry = number(0) % entries;
        const size_t offset = number(1) << 8 | number(2);
        if (entry < file.metadata.size()) {
            std::string& text = std::next(file.metadata.begin(), static_cast<int64_t>(entry))->second;
            if (offset < text.size()) text[offset] = static_cast<char>(number(3));
            else text.resize(offset % (text.size() + 2), static_cast<char>(number(3)));
        } else {
            Tensor& tensor = std::next(file.tensors.begin(), static_cast<int64_t>(entry - file.metadata.size()))->second;
            if (tensor.bytes() > 0) tensor.mutable_raw()[offset % tensor.bytes()] = static_cast<std::byte>(number(3));
            if (number(3) == 255 && tensor.rank() > 0 && tensor.dim(0) > 1) tensor = tensor.rows(0, tensor.dim(0) - 1).clone();
        }
    }
}

}  // namespace

std::vector<std::string> seeds() { return {"", std::string("\x00\x00\x00\x00", 4), std::string("\x0c\x00\x05\x07\x10\x00\x00\xff", 8)}; }

void read(Bytes bytes) {
    static const TensorFile dense = saved(nn::Weights::dense), encoded = saved(nn::Weights::encoded);
    if (bytes.empty()) return;
    const TensorFile& from = static_cast<size_t>(bytes[0]) % 2 ? encoded : dense;
    TensorFile file{.tensors = {}, .metadata = from.metadata};
    for (const auto& [name, tensor] : from.tensors) file.tensors[name] = tensor.clone();
    edit(file, bytes.subspan(1));
    nn::from_file(file, "fuzz");
}

}  // namespace lathe::fuzz
