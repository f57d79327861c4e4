#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/files/safetensors.h"
#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Another number in place of the n-th of a text.
inline void change_number(std::string& text, size_t n, uint8_t choice) {
    static const char* const numbers[] = {"0",     "1",          "2",          "3",  "7",   "255", "256",
                                          "65535", "2147483647", "2147483648", "-1", "1e9", "0.5"};
    std::vector<size_t> places;
    for (size_t i = 0; i < text.size(); ++i)
        if (is_digit(text[i]) && (i == 0 || !is_digit(text[i - 1]))) places.push_back(i);
    if (places.empty()) return;
    const size_t at = places[n % places.size()];
    size_t end = at;
    while (end < text.size() && is_digit(text[end])) ++end;
    text.replace(at, end - at, numbers[choice % std::size(numbers)]);
}

// Another word that stands in quotes, one of the text's own: ops, names, attributes and inputs change places.
inline void change_word(std::string& text, size_t n, size_t other) {
    std::vector<std::pair<size_t, size_t>> words;
    for (size_t begin = text.find('"'); begin != std::string::npos;) {
        const size_t end = text.find('"', begin + 1);
        if (end == std::string::npos) break;
        words.emplace_back(begin + 1, end - begin - 1);
        begin = text.find('"', end + 1);
    }
    if (words.empty()) return;
    const std::string word = text.substr(words[other % words.size()].first, words[other % words.size()].second);
    text.replace(words[n % words.size()].first, words[n % words.size()].second, word);
}

// The other one in place of the n-th true or false of a text.
inline void change_flag(std::string& text, size_t n) {
    std::vector<size_t> places;
    for (const char* word : {"true", "false"})
        for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) places.push_back(at);
    if (places.empty()) return;
    const size_t at = places[n % places.size()];
    const bool set = text.compare(at, 4, "true") == 0;
    text.replace(at, set ? 4 : 5, set ? "false" : "true");
}

// Another extent of a weight: of its values, its mask, its encoding and its place in the graph.
inline void change_extent(TensorFile& file, size_t n, size_t axis, int64_t extent) {
    using nlohmann::json;
    json graph = json::parse(file.metadata["lathe.graph"], nullptr, false);
    if (!graph.is_object() || !graph.contains("nodes") || !graph["nodes"].is_array()) return;
    std::vector<json*> parameters;
    for (json& node : graph["nodes"])
        if (node.is_object() && node.contains("shape") && node["shape"].is_array() && !node["shape"].empty() &&
            node.contains("name") && node["name"].is_string())
            parameters.push_back(&node);
    if (parameters.empty()) return;
    json& node = *parameters[n % parameters.size()];
    node["shape"][axis % node["shape"].size()] = extent;
    file.metadata["lathe.graph"] = graph.dump(-1, ' ', false, json::error_handler_t::replace);
    const std::string name = node["name"].get<std::string>();
    for (const std::string& stored : {name, name + ".mask"}) {
        const auto found = file.tensors.find(stored);
        if (found == file.tensors.end() || found->second.rank() == 0) continue;
        Tensor& tensor = found->second;
        Shape shape;
        const int changed = static_cast<int>(axis % static_cast<size_t>(tensor.rank()));
        for (int i = 0; i < tensor.rank(); ++i) shape.push_back(i == changed ? extent : tensor.dim(i));
        tensor = Tensor::full(shape, 1, tensor.dtype());
    }
}

inline void change_shape(Tensor& tensor, uint8_t choice) {
    if (choice % 4 == 0) tensor = Tensor::zeros(tensor.shape(), DType::i32);
    else if (choice % 4 == 1 && tensor.rank() > 0) tensor = tensor.reshape({tensor.numel()});
    else if (choice % 4 == 2) tensor = Tensor::zeros({0});
    else tensor = Tensor::zeros({1, 2, 3});
}

// One of two files, which the first byte says, edited by the rest: (entry, offset in two bytes, byte) in fours, over
// its metadata, its tensors' bytes, shapes and types, the numbers, words and flags of its graph, and extents of weights
// in all places at once, since what agrees gets further than what does not.
inline TensorFile edited(const TensorFile (&files)[2], Bytes bytes) {
    const TensorFile& from = files[static_cast<size_t>(bytes[0]) % 2];
    const Bytes script = bytes.subspan(1);
    TensorFile file{.tensors = {}, .metadata = from.metadata};
    for (const auto& [name, tensor] : from.tensors) file.tensors[name] = tensor.clone();
    for (size_t i = 0; i + 4 <= script.size(); i += 4) {
        const auto number = [&](size_t k) { return static_cast<size_t>(script[i + k]); };
        const size_t entries = file.metadata.size() + file.tensors.size(), entry = number(0) % entries;
        const size_t offset = number(1) << 8 | number(2);
        if (number(0) >= 192) {
            std::string& graph = file.metadata["lathe.graph"];
            if (number(0) >= 240) change_extent(file, number(1), number(2), static_cast<int64_t>(number(3) % 32));
            else if (number(0) >= 232) change_flag(graph, offset);
            else if (number(0) % 2) change_number(graph, offset, static_cast<uint8_t>(number(3)));
            else change_word(graph, offset, number(3));
            continue;
        }
        if (entry < file.metadata.size()) {
            std::string& text = std::next(file.metadata.begin(), static_cast<int64_t>(entry))->second;
            if (offset < text.size()) text[offset] = static_cast<char>(number(3));
            else text.resize(offset % (text.size() + 2), static_cast<char>(number(3)));
        } else {
            Tensor& tensor =
                std::next(file.tensors.begin(), static_cast<int64_t>(entry - file.metadata.size()))->second;
            if (tensor.bytes() > 0) tensor.mutable_raw()[offset % tensor.bytes()] = static_cast<std::byte>(number(3));
            if (number(3) >= 240 && number(3) < 250) change_shape(tensor, static_cast<uint8_t>(number(3)));
            if (number(3) == 255 && tensor.rank() > 0 && tensor.dim(0) > 1)
                tensor = tensor.rows(0, tensor.dim(0) - 1).clone();
        }
    }
    return file;
}

inline std::vector<std::string> edit_seeds() {
    return {"", std::string("\x00\x00\x00\x00", 4), std::string("\x0c\x00\x05\x07\x10\x00\x00\xff", 8),
            std::string("\x00\xf0\x02\x00\x04", 5), std::string("\x01\xe8\x00\x01\x00", 5)};
}

}  // namespace lathe::fuzz
