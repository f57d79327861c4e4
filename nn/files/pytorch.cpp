#include "lathe/nn/files/pytorch.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "lathe/nn/files/json.inc"

namespace lathe::nn {

namespace {

using json_reader::json;
using Tensors = std::map<std::string, Tensor>;

constexpr const char* kWrappers[] = {"module.", "_orig_mod.", "model."};
constexpr std::string_view kOriginal = "_orig", kMask = "_mask";

// "module." where all names begin so, else "".
std::string common_prefix(const Tensors& tensors) {
    if (tensors.empty()) return "";
    const std::string& first = tensors.begin()->first;
    const std::string prefix = first.substr(0, first.find('.') + 1);
    const bool common = std::all_of(tensors.begin(), tensors.end(),
                                    [&](const auto& item) { return item.first.starts_with(prefix); });
    return common ? prefix : "";
}

void unwrap(Tensors& tensors, const std::set<std::string>& known) {
    const auto is_known = [&](const auto& item) { return known.contains(item.first); };
    std::string taken;
    for (;;) {
        if (!known.contains("n_averaged")) tensors.erase("n_averaged");
        const std::string prefix = common_prefix(tensors);
        if (prefix.empty() || std::any_of(tensors.begin(), tensors.end(), is_known)) return;
        const bool wraps = std::find(std::begin(kWrappers), std::end(kWrappers), prefix) != std::end(kWrappers);
        const bool own = std::any_of(known.begin(), known.end(),
                                     [&](const std::string& name) { return name.starts_with(prefix); });
        if (own) return;  // the module has a part of that name, which something else does not fit
        check(wraps, "load: all names begin with '", taken, prefix, "', which no name of this model does");
        Tensors without;
        for (auto& [name, tensor] : tensors) without[name.substr(prefix.size())] = std::move(tensor);
        tensors = std::move(without);
        taken += prefix;
    }
}

Tensor as_mask(const std::string& name, const Tensor& stored) {
    Tensor keep(stored.shape(), DType::u8);
    for (int64_t i = 0; i < stored.numel(); ++i) {
        const double value = stored.at(i);
        check(value == 0 || value == 1, "load: '", name, "': expected a mask of 0 and 1, got ", value);
        keep.mutable_data<uint8_t>()[i] = value != 0;
    }
    return keep;
}

// Gives weights that were pruned their own names; returns which.
std::vector<std::string> join_masks(Tensors& tensors) {
    std::vector<std::string> masked;
    for (const auto& [name, tensor] : tensors) {
        const std::string stem = name.substr(0, name.size() - std::min(name.size(), kOriginal.size()));
        if (name.ends_with(kOriginal) && tensors.contains(concatenated(stem, kMask))) masked.push_back(stem);
    }
    for (const std::string& name : masked) {
        const std::string original = concatenated(name, kOriginal), mask = concatenated(name, kMask);
        tensors[name + ".mask"] = as_mask(mask, tensors.at(mask));
        tensors[name] = tensors.at(original);
        tensors.erase(original);
        tensors.erase(mask);
    }
    return masked;
}

}  // namespace

TensorFile from_pytorch(TensorFile file, Module& module) {
    if (file.metadata.contains("lathe.version")) return file;
    std::set<std::string> known;
    for (const auto& [name, parameter] : module.named_parameters()) known.insert(name);
    for (const auto& [name, buffer] : module.named_buffers()) known.insert(name);
    unwrap(file.tensors, known);
    json transforms = json::object();
    for (const std::string& name : join_masks(file.tensors)) transforms[name] = json::array({json{{"kind", "mask"}}});
    if (!transforms.empty()) file.metadata["lathe.transforms"] = text_of(transforms);
    return file;
}

}  // namespace lathe::nn
