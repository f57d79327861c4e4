#include "lathe/nn/files/encode.h"

#include <algorithm>
#include <cstring>

#include "lathe/core/graph/attributes_json.h"
#include "lathe/nn/files/bits.h"
#include "lathe/nn/files/json.inc"

namespace lathe::nn {

namespace {

using json_reader::json;

constexpr const char *kEncoded = "lathe.encoded", *kTransforms = "lathe.transforms";
constexpr int64_t kSkip = 255;
constexpr int64_t kMaxElements = int64_t{1} << 31;

enum class Encoding { bitmap, relative };
const char* name_of(Encoding encoding) { return encoding == Encoding::bitmap ? "bitmap" : "relative"; }

// The bytes of the relative encoding; `put` gets them one by one.
template <class F>
void encode_relative(const Tensor& keep, F put) {
    const uint8_t* kept = keep.data<uint8_t>();
    int64_t skipped = 0;
    for (int64_t i = 0; i < keep.numel(); ++i) {
        if (!kept[i]) {
            ++skipped;
            continue;
        }
        for (; skipped >= kSkip; skipped -= kSkip) put(static_cast<uint8_t>(kSkip));
        put(static_cast<uint8_t>(skipped));
        skipped = 0;
    }
    for (; skipped >= kSkip; skipped -= kSkip) put(static_cast<uint8_t>(kSkip));
}

int64_t count_kept(const Tensor& keep) {
    const uint8_t* kept = keep.data<uint8_t>();
    return std::count_if(kept, kept + keep.numel(), [](uint8_t k) { return k != 0; });
}

int64_t bitmap_bytes(int64_t count) { return (count + 7) / 8; }

Tensor make_index(const Tensor& keep, Encoding encoding) {
    std::vector<uint8_t> bytes;
    if (encoding == Encoding::relative) {
        encode_relative(keep, [&](uint8_t byte) { bytes.push_back(byte); });
    } else {
        bytes.resize(static_cast<size_t>(bitmap_bytes(keep.numel())));
        const uint8_t* kept = keep.data<uint8_t>();
        for (int64_t i = 0; i < keep.numel(); ++i)
            if (kept[i]) bytes[static_cast<size_t>(i / 8)] |= static_cast<uint8_t>(1 << (i % 8));
    }
    return Tensor::of({static_cast<int64_t>(bytes.size())}, bytes);
}

// The mask that an index stands for. The index is checked before a mask of the shape is made.
Tensor read_index(const Tensor& index, const std::string& encoding, const Shape& shape) {
    check(index.dtype() == DType::u8 && index.rank() == 1, "expected an index of type u8, got ", name_of(index.dtype()),
          " ", index.shape());
    const uint8_t* bytes = index.data<uint8_t>();
    const int64_t count = shape.numel();
    if (encoding == name_of(Encoding::bitmap)) {
        check(index.numel() == bitmap_bytes(count), "expected a bitmap of ", bitmap_bytes(count), " bytes, got ",
              index.numel());
        Tensor keep(shape, DType::u8);
        uint8_t* kept = keep.mutable_data<uint8_t>();
        for (int64_t i = 0; i < count; ++i) kept[i] = bytes[i / 8] >> (i % 8) & 1;
        return keep;
    }
    check(encoding == name_of(Encoding::relative), "unknown encoding '", encoding, "'");
    int64_t covered = 0;
    for (int64_t i = 0; i < index.numel(); ++i) covered += bytes[i] == kSkip ? kSkip : bytes[i] + 1;
    check(covered <= count && count - covered < kSkip, "expected an index of ", count, " elements, got one of ",
          covered);
    Tensor keep = Tensor::zeros(shape, DType::u8);
    uint8_t* kept = keep.mutable_data<uint8_t>();
    for (int64_t i = 0; i < index.numel(); ++i) {
        kept += bytes[i];
        if (bytes[i] != kSkip) *kept++ = 1;
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

std::vector<int64_t> dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

// The tensor of the weight's integers.
Tensor& integers_of(Encoded& weight) {
    const auto sparse = weight.tensors.find("values");
    const auto found = sparse == weight.tensors.end() ? weight.tensors.find("") : sparse;
    check(found != weight.tensors.end(), "the integers are missing");
    return found->second;
}

void pack(Encoded& weight) {
    if (!weight.how.has("bits")) return;
    Tensor& integers = integers_of(weight);
    weight.how.add("integers", std::string(name_of(integers.dtype())));
    weight.how.add("unpacked", dims_of(integers.shape()));
    integers = pack_bits(integers, static_cast<int>(weight.how.integer("bits")));
}

void unpack(Encoded& weight) {
    if (!weight.how.has("bits")) return;
    const std::string& type = weight.how.text("integers");
    check(type == name_of(DType::i8) || type == name_of(DType::u8), "expected integers of type i8 or u8, got '", type,
          "'");
    Tensor& integers = integers_of(weight);
    integers = unpack_bits(integers, static_cast<int>(std::clamp<int64_t>(weight.how.integer("bits"), 0, 9)),
                           checked_shape(weight.how.integers("unpacked")),
                           type == name_of(DType::i8) ? DType::i8 : DType::u8);
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
    int64_t relative = 0;
    encode_relative(keep, [&](uint8_t) { ++relative; });
    const Encoding encoding = relative < bitmap_bytes(keep.numel()) ? Encoding::relative : Encoding::bitmap;
    weight.tensors["values"] = gather(dense, keep);
    weight.tensors["index"] = make_index(keep, encoding);
    weight.how.add("encoding", std::string(name_of(encoding)));
    weight.how.add("shape", dims_of(dense.shape()));
}

void decode_sparse(Encoded& weight, const std::string& mask) {
    const Tensor values = take(weight, "values"), index = take(weight, "index");
    const Tensor keep = read_index(index, weight.how.text("encoding"), checked_shape(weight.how.integers("shape")));
    weight.tensors[""] = scatter(values, keep);
    weight.tensors[mask] = keep;
}

Encoded encode(Parameter& parameter) {
    Encoded weight;
    weight.tensors[""] = parameter.layout().to_file(parameter.value());
    const auto& transforms = parameter.transforms();
    for (const auto& transform : transforms)
        for (const StateEntry& entry : transform->state())
            weight.tensors[entry.suffix] = parameter.layout().beside(entry.along).to_file(entry.tensor);
    for (auto transform = transforms.rbegin(); transform != transforms.rend(); ++transform)
        (*transform)->encode(weight);
    pack(weight);
    return weight;
}

void encode(Module& module, TensorFile& file) {
    json encoded = json::object();
    for (const auto& [name, parameter] : module.named_parameters()) {
        if (parameter->transforms().empty()) continue;
        const Encoded weight = encode(*parameter);
        file.tensors.erase(name);
        for (const auto& transform : parameter->transforms())
            for (const StateEntry& entry : transform->state()) file.tensors.erase(joined(name, entry.suffix));
        for (const auto& [suffix, tensor] : weight.tensors) file.tensors[joined(name, suffix)] = tensor;
        encoded[name] = json::parse(lathe::json_of(weight.how));
    }
    if (!encoded.empty()) file.metadata[kEncoded] = encoded.dump();
}

TensorFile decoded(TensorFile file) {
    const auto entry = file.metadata.find(kEncoded);
    if (entry == file.metadata.end()) return file;
    const json encoded = json_reader::parse(entry->second, kEncoded);
    check(encoded.is_object(), kEncoded, ": expected an object");
    const auto listed = listed_transforms(file);
    for (const auto& [name, how] : encoded.items()) {
        const auto transforms = listed.find(name);
        check(transforms != listed.end(), kEncoded, ": '", name, "' has no transforms");
        const PathScope scope(name);
        Encoded weight{.tensors = {}, .how = attributes_of(how.dump(), kEncoded)};
        for (auto at = file.tensors.lower_bound(name); at != file.tensors.end() && at->first.starts_with(name);) {
            const bool own = belongs_to(at->first, name);
            if (own) weight.tensors[at->first == name ? "" : at->first.substr(name.size() + 1)] = at->second;
            at = own ? file.tensors.erase(at) : std::next(at);
        }
        unpack(weight);
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
            json entry = json::parse(lathe::json_of(transform->config()));
            entry["kind"] = transform->kind();
            transforms[name].push_back(entry);
        }
    return transforms.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::map<std::string, std::vector<ListedTransform>> listed_transforms(const TensorFile& file) {
    std::map<std::string, std::vector<ListedTransform>> listed;
    const auto found = file.metadata.find(kTransforms);
    if (found == file.metadata.end()) return listed;
    const json weights = json_reader::parse(found->second, kTransforms);
    check(weights.is_object(), kTransforms, ": expected an object");
    for (const auto& [name, transforms] : weights.items()) {
        check(transforms.is_array(), kTransforms, ": expected a list");
        for (json entry : transforms) {
            const std::string kind = json_reader::text(json_reader::member(entry, "kind", kTransforms), kTransforms);
            entry.erase("kind");
            listed[name].push_back({kind, attributes_of(entry.dump(), kTransforms)});
        }
    }
    return listed;
}

}  // namespace lathe::nn
