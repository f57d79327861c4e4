#include "lathe/nn/files/encode.h"

#include <algorithm>
#include <cstring>

#include "lathe/core/files/symbols.h"
#include "lathe/core/graph/attributes_json.h"
#include "lathe/nn/files/json.inc"

namespace lathe::nn {

namespace {

using json_reader::json;

constexpr const char *kEncoded = "lathe.encoded", *kTransforms = "lathe.transforms", *kZeros = "lathe.zeros";
constexpr int64_t kMaxElements = int64_t{1} << 31;
constexpr int kWhole = 8, kFewest = 3;  // bits of a symbol of the relative encoding: a byte, or what codes best

enum class Encoding { bitmap, relative };
const char* name_of(Encoding encoding) { return encoding == Encoding::bitmap ? "bitmap" : "relative"; }

std::span<const uint8_t> span_of(const Tensor& bytes) {
    return {bytes.data<uint8_t>(), static_cast<size_t>(bytes.numel())};
}
Tensor tensor_of(const Symbols& bytes) { return Tensor::of({static_cast<int64_t>(bytes.size())}, bytes); }

// The greatest symbol of so many bits in the relative encoding.
int64_t skip_of(int bits) { return (int64_t{1} << bits) - 1; }

// The symbols of the relative encoding.
Symbols encode_relative(const Tensor& keep, int bits) {
    Symbols symbols;
    const int64_t skip = skip_of(bits);
    const uint8_t* kept = keep.data<uint8_t>();
    int64_t skipped = 0;
    for (int64_t i = 0; i < keep.numel(); ++i) {
        if (!kept[i]) {
            ++skipped;
            continue;
        }
        for (; skipped >= skip; skipped -= skip) symbols.push_back(static_cast<uint8_t>(skip));
        symbols.push_back(static_cast<uint8_t>(skipped));
        skipped = 0;
    }
    for (; skipped >= skip; skipped -= skip) symbols.push_back(static_cast<uint8_t>(skip));
    return symbols;
}

int64_t count_kept(const Tensor& keep) {
    const uint8_t* kept = keep.data<uint8_t>();
    return std::count_if(kept, kept + keep.numel(), [](uint8_t k) { return k != 0; });
}

// The mask that an index of symbols of so many bits stands for. The index is checked before a mask of the shape is
// made.
Tensor read_index(const Tensor& index, int bits, const std::string& encoding, const Shape& shape) {
    check(index.dtype() == DType::u8 && index.rank() == 1, "expected an index of type u8, got ", name_of(index.dtype()),
          " ", index.shape());
    const uint8_t* bytes = index.data<uint8_t>();
    const int64_t count = shape.numel(), skip = skip_of(bits);
    if (encoding == name_of(Encoding::bitmap))
        return tensor_of(unpack_symbols(span_of(index), 1, count)).reshape(shape);
    check(encoding == name_of(Encoding::relative), "unknown encoding '", encoding, "'");
    int64_t covered = 0;
    for (int64_t i = 0; i < index.numel(); ++i) covered += bytes[i] == skip ? skip : bytes[i] + 1;
    check(covered <= count && count - covered < skip, "expected an index of ", count, " elements, got one of ",
          covered);
    Tensor keep = Tensor::zeros(shape, DType::u8);
    uint8_t* kept = keep.mutable_data<uint8_t>();
    for (int64_t i = 0; i < index.numel(); ++i) {
        kept += bytes[i];
        if (bytes[i] != skip) *kept++ = 1;
    }
    return keep;
}

// values -> the elements that are kept, or back.
Tensor gather(const Tensor& dense, const Tensor& keep) {
    Tensor values({count_kept(keep)}, dense.dtype());
    const size_t size = size_of(dense.dtype());
    const uint8_t* kept = keep.data<uint8_t>();
    const std::byte* from = dense.raw();
    std::byte* to = values.numel() ? values.mutable_raw() : nullptr;
    for (int64_t i = 0; i < keep.numel(); ++i)
        if (kept[i]) {
            std::memcpy(to, from + static_cast<size_t>(i) * size, size);
            to += size;
        }
    return values;
}

Tensor scatter(const Tensor& values, const Tensor& keep) {
    check(values.rank() == 1 && values.numel() == count_kept(keep), "expected ", count_kept(keep), " values, got ",
          values.shape());
    Tensor dense = Tensor::zeros(keep.shape(), values.dtype());
    const size_t size = size_of(values.dtype());
    const uint8_t* kept = keep.data<uint8_t>();
    const std::byte* from = values.raw();
    std::byte* to = dense.mutable_raw();
    for (int64_t i = 0; i < keep.numel(); ++i)
        if (kept[i]) {
            std::memcpy(to + static_cast<size_t>(i) * size, from, size);
            from += size;
        }
    return dense;
}

Tensor take(Encoded& weight, const std::string& suffix) {
    const auto found = weight.tensors.find(suffix);
    check(found != weight.tensors.end(), "'", suffix, "' is missing");
    Tensor tensor = found->second;
    weight.tensors.erase(found);
    return tensor;
}

Shape checked_shape(const std::vector<int64_t>& dims) {
    int64_t count = 1;
    bool good = dims.size() <= Shape::kMaxRank;
    for (int64_t dim : dims) {
        good = good && dim >= 0 && dim <= kMaxElements && (count *= std::max<int64_t>(dim, 1)) <= kMaxElements;
        check(good, "expected a shape of at most ", Shape::kMaxRank, " dimensions and ", kMaxElements, " elements");
    }
    return Shape(dims);
}

std::vector<int64_t> dims_of(const Tensor& tensor) { return {tensor.shape().begin(), tensor.shape().end()}; }

struct Coded {
    Symbols bytes;
    Coding coding;
};
const char* name_of(Coding coding) { return coding == Coding::huffman ? "huffman" : "packed"; }

Coded coded(std::span<const uint8_t> symbols, int bits, Coding coding) {
    Coded packed{pack_symbols(symbols, bits), Coding::packed};
    if (coding == Coding::packed) return packed;
    Symbols codes = huffman_encode(symbols, bits);
    return codes.size() < packed.bytes.size() ? Coded{std::move(codes), coding} : packed;
}

struct Index {
    Encoding encoding;
    int bits;
    Symbols symbols;
};
Index smallest_index(const Tensor& keep, Coding coding) {
    std::vector<Index> all{{Encoding::bitmap, kWhole, pack_symbols(span_of(keep), 1)}};
    for (int bits = kWhole; bits >= (coding == Coding::huffman ? kFewest : kWhole); --bits)
        all.push_back({Encoding::relative, bits, encode_relative(keep, bits)});
    std::vector<size_t> sizes;
    for (const Index& index : all) sizes.push_back(coded(index.symbols, index.bits, coding).bytes.size());
    return std::move(all[static_cast<size_t>(std::min_element(sizes.begin(), sizes.end()) - sizes.begin())]);
}

// What `how` calls a tensor whose symbols are coded.
std::string key_of(const std::string& suffix) { return suffix.empty() ? "weight" : suffix; }
constexpr const char *kBits = "_bits", *kShape = "_shape", *kCoding = "_coding";

void encode_symbols(Encoded& weight) {
    for (const auto& [suffix, bits] : weight.symbols) {
        Tensor& tensor = weight.tensors.at(suffix);
        const Coded stream = coded(span_of(tensor), bits, weight.coding);
        weight.excess += static_cast<double>(stream.bytes.size()) -
                         entropy_bits(count_symbols(span_of(tensor), bits)) / 8;
        if (bits == 8 && stream.coding == Coding::packed) continue;
        weight.how.add(key_of(suffix) + kBits, int64_t{bits});
        weight.how.add(key_of(suffix) + kShape, dims_of(tensor));
        weight.how.add(key_of(suffix) + kCoding, std::string(name_of(stream.coding)));
        tensor = tensor_of(stream.bytes);
    }
}

void decode_symbols(Encoded& weight) {
    for (auto& [suffix, tensor] : weight.tensors) {
        const std::string key = key_of(suffix);
        if (!weight.how.has(key + kBits)) continue;
        const PathScope scope(suffix);
        const int64_t bits = weight.how.integer(key + kBits);
        const Shape shape = checked_shape(weight.how.integers(key + kShape));
        const std::string& coding = weight.how.text(key + kCoding);
        check(bits >= 1 && bits <= 8, "expected symbols of 1 to 8 bits, got ", bits);
        check(tensor.dtype() == DType::u8, "expected symbols of type u8, got ", lathe::name_of(tensor.dtype()));
        const bool huffman = coding == name_of(Coding::huffman);
        check(huffman || coding == name_of(Coding::packed), "unknown coding '", coding, "'");
        const auto decode = huffman ? huffman_decode : unpack_symbols;
        tensor = tensor_of(decode(span_of(tensor), static_cast<int>(bits), shape.numel())).reshape(shape);
    }
}

// A weight that is scaled on its way stays as it is: what its last stage would store is not what was given.
bool stays_dense(const Parameter& parameter) {
    const auto& all = parameter.transforms();
    return std::any_of(all.begin(), all.end(), [](const auto& transform) {
        return transform->stage() == WeightTransform::Stage::scale;
    });
}

// What the metadata of a file says as a JSON object; an empty one where it says nothing.
json object_of(const TensorFile& file, const char* key) {
    const auto entry = file.metadata.find(key);
    if (entry == file.metadata.end()) return json::object();
    json object = parse_json(entry->second, key);
    check(object.is_object(), key, ": expected an object");
    return object;
}

bool belongs_to(const std::string& name, const std::string& weight) {
    return name == weight || name.starts_with(weight + ".");
}

std::string joined(const std::string& weight, const std::string& suffix) {
    return suffix.empty() ? weight : weight + "." + suffix;
}

}  // namespace

int64_t Encoded::bytes() const {
    int64_t total = 0;
    for (const auto& [suffix, tensor] : tensors) total += static_cast<int64_t>(tensor.bytes());
    return total;
}

void encode_sparse(Encoded& weight, const std::string& mask) {
    const Tensor keep = take(weight, mask), dense = take(weight, "");
    const Index index = smallest_index(keep, weight.coding);
    weight.tensors["values"] = gather(dense, keep);
    weight.tensors["index"] = tensor_of(index.symbols);
    if (const auto symbols = weight.symbols.extract("")) weight.symbols["values"] = symbols.mapped();
    weight.symbols["index"] = index.bits;
    weight.how.add("encoding", std::string(name_of(index.encoding)));
    weight.how.add("shape", dims_of(dense));
}

void decode_sparse(Encoded& weight, const std::string& mask) {
    const Tensor values = take(weight, "values"), index = take(weight, "index");
    const std::string bits = std::string("index") + kBits;
    const Tensor keep = read_index(index, weight.how.has(bits) ? static_cast<int>(weight.how.integer(bits)) : kWhole,
                                   weight.how.text("encoding"), checked_shape(weight.how.integers("shape")));
    weight.tensors[""] = scatter(values, keep);
    weight.tensors[mask] = keep;
    weight.keep = keep;
}

Encoded encode_zeros(const Tensor& tensor) {
    Tensor keep(tensor.shape(), DType::u8);
    const auto* from = reinterpret_cast<const uint8_t*>(tensor.raw());
    uint8_t* kept = keep.mutable_data<uint8_t>();
    for (int64_t i = 0; i < tensor.numel(); ++i) kept[i] = from[i] != 0;
    Encoded sparse{.tensors = {{"", tensor}, {"mask", keep}}};
    encode_sparse(sparse, "mask");
    encode_symbols(sparse);
    constexpr int64_t kDescription = 256;  // bytes of `how` and of a further name, about
    return sparse.bytes() + kDescription < static_cast<int64_t>(tensor.bytes()) ? sparse
                                                                                : Encoded{.tensors = {{"", tensor}}};
}

void encode_zeros(TensorFile& file) {
    json zeros = json::object();
    std::map<std::string, Tensor> stored;
    for (const auto& [name, tensor] : file.tensors) {
        const bool integers = size_of(tensor.dtype()) == 1;
        const Encoded all = integers ? encode_zeros(tensor) : Encoded{.tensors = {{"", tensor}}};
        for (const auto& [suffix, part] : all.tensors) stored[joined(name, suffix)] = part;
        if (!all.tensors.contains("")) zeros[name] = parse_json(lathe::json_of(all.how), name);
    }
    file.tensors = std::move(stored);
    if (!zeros.empty()) file.metadata[kZeros] = text_of(zeros);
}

TensorFile with_zeros(TensorFile file) {
    const json zeros = object_of(file, kZeros);
    for (const auto& [name, how] : zeros.items()) {
        const PathScope scope(name);
        Encoded sparse{.tensors = {}, .how = attributes_of(text_of(how), kZeros)};
        for (const char* suffix : {"values", "index"}) {
            const auto part = file.tensors.extract(joined(name, suffix));
            if (part) sparse.tensors[suffix] = part.mapped();
        }
        decode_symbols(sparse);
        decode_sparse(sparse, "mask");
        check(file.tensors.emplace(name, sparse.tensors.at("")).second, "expected it with zeros or without, got both");
    }
    file.metadata.erase(kZeros);
    return file;
}

Encoded encode(Parameter& parameter, Coding coding) {
    Encoded weight{.coding = coding};
    weight.tensors[""] = parameter.layout().to_file(parameter.value());
    const auto& transforms = parameter.transforms();
    for (const auto& transform : transforms)
        for (const StateEntry& entry : transform->state())
            weight.tensors[entry.suffix] = parameter.layout().beside(entry.along).to_file(entry.tensor);
    for (auto transform = transforms.rbegin(); transform != transforms.rend() && !stays_dense(parameter); ++transform)
        (*transform)->encode(weight);
    encode_symbols(weight);
    return weight;
}

void encode(Module& module, TensorFile& file, Coding coding) {
    json encoded = json::object();
    for (const auto& [name, parameter] : module.named_parameters()) {
        if (parameter->transforms().empty() || stays_dense(*parameter)) continue;
        const Encoded weight = encode(*parameter, coding);
        file.tensors.erase(name);
        for (const auto& transform : parameter->transforms())
            for (const StateEntry& entry : transform->state()) file.tensors.erase(joined(name, entry.suffix));
        for (const auto& [suffix, tensor] : weight.tensors) file.tensors[joined(name, suffix)] = tensor;
        encoded[name] = parse_json(lathe::json_of(weight.how), name);
    }
    if (!encoded.empty()) file.metadata[kEncoded] = text_of(encoded);
}

TensorFile decoded(TensorFile file) {
    if (!file.metadata.contains(kEncoded)) return file;
    const json encoded = object_of(file, kEncoded);
    const auto listed = listed_transforms(file);
    for (const auto& [name, how] : encoded.items()) {
        const auto transforms = listed.find(name);
        check(transforms != listed.end(), kEncoded, ": '", name, "' has no transforms");
        const PathScope scope(name);
        Encoded weight{.tensors = {}, .how = attributes_of(text_of(how), kEncoded)};
        for (auto at = file.tensors.lower_bound(name); at != file.tensors.end() && at->first.starts_with(name);) {
            const bool own = belongs_to(at->first, name);
            if (own) weight.tensors[at->first == name ? "" : at->first.substr(name.size() + 1)] = at->second;
            at = own ? file.tensors.erase(at) : std::next(at);
        }
        decode_symbols(weight);
        for (const ListedTransform& transform : transforms->second)
            if (const auto& decode = transform_kind(transform.kind).decode) decode(weight, transform.config);
        for (const auto& [suffix, tensor] : weight.tensors) file.tensors[joined(name, suffix)] = tensor;
    }
    file.metadata.erase(kEncoded);
    return file;
}

std::string json_of(Module& module) {
    json transforms = json::object();
    for (const auto& [name, parameter] : module.named_parameters())
        for (const auto& transform : parameter->transforms()) {
            json entry = parse_json(lathe::json_of(transform->config()), transform->kind());
            entry["kind"] = transform->kind();
            transforms[name].push_back(entry);
        }
    return text_of(transforms);
}

std::map<std::string, std::vector<ListedTransform>> listed_transforms(const TensorFile& file) {
    std::map<std::string, std::vector<ListedTransform>> listed;
    const json weights = object_of(file, kTransforms);
    for (const auto& [name, transforms] : weights.items()) {
        check(transforms.is_array(), kTransforms, ": expected a list");
        for (json entry : transforms) {
            const std::string kind = json_reader::text(json_reader::member(entry, "kind", kTransforms), kTransforms);
            entry.erase("kind");
            listed[name].push_back({kind, attributes_of(text_of(entry), kTransforms)});
        }
    }
    return listed;
}

}  // namespace lathe::nn
