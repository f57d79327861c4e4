#include "lathe/core/files/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "lathe/core/error.h"
#include "lathe/core/files/gzip.h"
#include "lathe/core/files/json.inc"

namespace lathe {

namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian and tensors are copied as they are");

constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the reference reader
constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kAlignment = 64;
constexpr int kMaxDepth = 3;  // {"name": {"shape": [
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kPacked = ".gz";
constexpr uint64_t kMaxUnpacked = uint64_t{4} << 30;  // of data

// An element type of the format: how it is read, and written when tensors can hold it as it is.
struct StoredType {
    const char* name;
    DType dtype;
    size_t size;
    bool same;
};
constexpr StoredType kTypes[] = {
    {"F32", DType::f32, 4, true}, {"F64", DType::f64, 8, true}, {"I8", DType::i8, 1, true},
    {"U8", DType::u8, 1, true},   {"I32", DType::i32, 4, true}, {"I64", DType::i64, 8, true},
    {"F16", DType::f32, 2, false}, {"BF16", DType::f32, 2, false}, {"BOOL", DType::u8, 1, false},
};

struct Entry {
    std::string name;
    const StoredType* type;
    Shape shape;
    uint64_t begin, end;  // bytes of the data
};

// A text from the file for an error message: on one line, of a readable length, whatever it holds.
std::string quoted(const std::string& text) {
    constexpr size_t kShown = 80;
    const std::string shown = json(text.substr(0, kShown)).dump(-1, ' ', true, json::error_handler_t::replace);
    return text.size() <= kShown ? shown : shown + "...";
}

const StoredType* parse_type(const json& value, const std::string& where) {
    check(value.is_string(), where, "expected a string as dtype");
    const auto& text = value.get_ref<const std::string&>();
    for (const StoredType& type : kTypes)
        if (text == type.name) return &type;
    fail(where, "expected dtype F32, F64, I8, U8, I32, I64, F16, BF16 or BOOL, got ", quoted(text));
}

Shape parse_shape(const json& value, const std::string& where) {
    check(value.is_array() && value.size() <= Shape::kMaxRank, where, "expected a shape of at most ", Shape::kMaxRank,
          " dimensions", value.is_array() ? concatenated(", got ", value.size()) : "");
    Shape shape;
    uint64_t product = 1;  // of the extents other than 0, so that no part of it overflows in later arithmetic either
    for (const json& extent : value) {
        check(extent.is_number_unsigned(), where, "expected whole numbers of at least 0 in the shape");
        const auto count = extent.get<uint64_t>();
        check(count <= INT64_MAX / sizeof(double) / product, where, "expected a shape that fits in memory");
        product *= std::max<uint64_t>(count, 1);
        shape.push_back(static_cast<int64_t>(count));
    }
    return shape;
}

Entry parse_entry(const std::string& tensor, const json& value, uint64_t data_bytes, const std::string& name) {
    const std::string where = name + ": tensor " + quoted(tensor) + ": ";
    check(value.is_object() && value.size() == 3 && value.contains("dtype") && value.contains("shape") &&
              value.contains("data_offsets"),
          where, "expected dtype, shape and data_offsets");
    const StoredType* type = parse_type(value["dtype"], where);
    const Shape shape = parse_shape(value["shape"], where);
    const json& offsets = value["data_offsets"];
    check(
        offsets.is_array() && offsets.size() == 2 && offsets[0].is_number_unsigned() && offsets[1].is_number_unsigned(),
        where, "expected data_offsets [begin, end]");
    const auto begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
    check(begin <= end && end <= data_bytes, where, "expected offsets inside the ", data_bytes, " bytes of data, got ",
          begin, " to ", end);
    const uint64_t expected = static_cast<uint64_t>(shape.numel()) * type->size;
    check(end - begin == expected, where, "expected ", expected, " bytes for ", type->name, " ", shape, ", got ",
          end - begin);
    return {tensor, type, shape, begin, end};
}

std::map<std::string, std::string> parse_metadata(const json& value, const std::string& name) {
    check(value.is_object(), name, ": ", kMetadata, ": expected an object of strings");
    std::map<std::string, std::string> metadata;
    for (const auto& [key, text] : value.items()) {
        check(text.is_string(), name, ": ", kMetadata, ": expected a string for ", quoted(key));
        metadata[key] = text.get<std::string>();
    }
    return metadata;
}

// The ranges must cover the data without gap or overlap: nothing hides in a file and nothing is read twice.
void check_tiling(std::vector<Entry> entries, uint64_t data_bytes, const std::string& name) {
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    uint64_t covered = 0;
    for (const Entry& entry : entries) {
        check(entry.begin == covered, name, ": tensor ", quoted(entry.name), ": expected data at offset ", covered,
              entry.begin < covered ? " (overlap), got " : " (gap), got ", entry.begin);
        covered = entry.end;
    }
    check(covered == data_bytes, name, ": expected ", covered, " bytes of data, got ", data_bytes);
}

float from_half(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = (half >> 10) & 31, fraction = half & 1023;
    if (exponent == 0) {  // zero and subnormals: a multiple of 2^-24
        const float magnitude = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    const uint32_t biased = exponent == 31 ? 255 : exponent + 127 - 15;
    return std::bit_cast<float>(sign | biased << 23 | fraction << 13);
}

float from_bfloat(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

using ReadAt = std::function<void(uint64_t offset, std::span<std::byte> into)>;

Tensor load(const Entry& entry, uint64_t data_start, const ReadAt& read_at) {
    Tensor tensor(entry.shape, entry.type->dtype);
    const std::span target(tensor.mutable_raw(), tensor.bytes());
    if (entry.type->size == size_of(tensor.dtype())) {
        read_at(data_start + entry.begin, target);
        return tensor;
    }
    const auto widen = entry.type->name[0] == 'B' ? from_bfloat : from_half;
    std::vector<uint16_t> narrow(static_cast<size_t>(tensor.numel()));
    read_at(data_start + entry.begin, std::as_writable_bytes(std::span(narrow)));
    std::transform(narrow.begin(), narrow.end(), tensor.mutable_data<float>(), widen);
    return tensor;
}

uint64_t length_of_header(const std::string& name, const ReadAt& read_at) {
    uint64_t length = 0;
    read_at(0, std::as_writable_bytes(std::span(&length, 1)));
    check(length <= kMaxHeader, name, ": expected a safetensors header of at most ", kMaxHeader, " bytes, got ",
          length);
    return length;
}

json parse_header(uint64_t length, const std::string& name, const ReadAt& read_at) {
    std::string header(length, '\0');
    read_at(kLengthBytes, std::as_writable_bytes(std::span(header)));
    check(header.starts_with('{'), name, ": expected a safetensors header that starts with {");
    return parse_json(header, name + ": header", kMaxDepth);
}

TensorFile read(uint64_t size, const std::string& name, const ReadAt& read_at) {
    check(size >= kLengthBytes, name, ": expected a safetensors file, got one of ", size, " bytes");
    const uint64_t length = length_of_header(name, read_at);
    check(length <= size - kLengthBytes, name, ": expected a header of ", length, " bytes, got a file of ", size);

    TensorFile file;
    std::vector<Entry> entries;
    const uint64_t data_start = kLengthBytes + length, data_bytes = size - data_start;
    const json parsed = parse_header(length, name, read_at);
    for (const auto& [key, value] : parsed.items()) {
        if (key == kMetadata)
            file.metadata = parse_metadata(value, name);
        else
            entries.push_back(parse_entry(key, value, data_bytes, name));
    }
    check_tiling(entries, data_bytes, name);
    for (const Entry& entry : entries) file.tensors[entry.name] = load(entry, data_start, read_at);
    return file;
}

// How long a packed file is by its own header, so that one that unpacks to more is not unpacked first.
uint64_t unpacked_size(const std::string& path) {
    const auto read_at = [&](uint64_t offset, std::span<std::byte> into) {
        const std::vector<std::byte> start = read_unpacked_start(path, offset + into.size());
        check(start.size() == offset + into.size(), path, ": expected a safetensors file, got one of ", start.size(),
              " bytes");
        std::copy(start.begin() + static_cast<std::ptrdiff_t>(offset), start.end(), into.begin());
    };
    const uint64_t length = length_of_header(path, read_at);
    uint64_t end = 0;
    const json parsed = parse_header(length, path, read_at);
    for (const auto& [key, value] : parsed.items())
        if (key != kMetadata) end = std::max(end, parse_entry(key, value, kMaxUnpacked, path).end);
    return kLengthBytes + length + end;
}

const char* stored_name(DType dtype) {
    return std::find_if(std::begin(kTypes), std::end(kTypes),
                        [&](const StoredType& type) { return type.same && type.dtype == dtype; })
        ->name;
}

using Layout = std::vector<std::pair<const std::string*, const Tensor*>>;

Layout layout_of(const std::map<std::string, Tensor>& tensors, const std::string& path) {
    Layout layout;
    for (const auto& [name, tensor] : tensors) {
        check(name != kMetadata, path, ": a tensor cannot be named ", kMetadata);
        check(static_cast<bool>(tensor), path, ": tensor ", quoted(name), " is empty");
        layout.emplace_back(&name, &tensor);
    }
    std::stable_sort(layout.begin(), layout.end(), [](const auto& a, const auto& b) {
        return size_of(a.second->dtype()) > size_of(b.second->dtype());
    });
    return layout;
}

std::string make_header(const Layout& layout, const std::map<std::string, std::string>& metadata) {
    std::string header = "{";
    if (!metadata.empty()) header += json(kMetadata).dump() + ":" + json(metadata).dump() + ",";
    uint64_t offset = 0;
    for (const auto& [name, tensor] : layout) {
        const json shape(std::vector<int64_t>(tensor->shape().begin(), tensor->shape().end()));
        header += concatenated(json(*name).dump(), R"(:{"dtype":")", stored_name(tensor->dtype()), R"(","shape":)",
                                 shape.dump(), R"(,"data_offsets":[)", offset, ",", offset + tensor->bytes(), "]},");
        offset += tensor->bytes();
    }
    if (header.back() == ',') header.pop_back();
    header += "}";
    const uint64_t end = kLengthBytes + header.size();
    header.append((kAlignment - end % kAlignment) % kAlignment, ' ');
    return header;
}

}  // namespace

TensorFile parse_safetensors(Bytes bytes, const std::string& name) {
    return read(bytes.size(), name, [&](uint64_t offset, std::span<std::byte> into) {
        if (!into.empty()) std::memcpy(into.data(), bytes.data() + offset, into.size());
    });
}

TensorFile read_safetensors(const std::string& path) {
    if (path.ends_with(kPacked)) return parse_safetensors(read_unpacked(path, unpacked_size(path)), path);
    const InputFile file(path);
    return read(file.size(), path, [&](uint64_t offset, std::span<std::byte> into) { file.read_at(offset, into); });
}

void write_safetensors(const std::string& path, const TensorFile& file) {
    const Layout layout = layout_of(file.tensors, path);
    std::string header;
    try {
        header = make_header(layout, file.metadata);
    } catch (const json::type_error&) {
        fail(path, ": expected names and metadata in UTF-8");
    }
    const uint64_t length = header.size();
    check(length <= kMaxHeader, path, ": names and metadata need ", length, " bytes, a header holds ", kMaxHeader);
    std::vector<Bytes> parts = {std::as_bytes(std::span(&length, 1)), std::as_bytes(std::span(header))};
    for (const auto& [name, tensor] : layout) parts.emplace_back(tensor->raw(), tensor->bytes());
    const bool packed = path.ends_with(kPacked);
    const std::vector<std::byte> bytes = packed ? packed_gzip(parts) : std::vector<std::byte>{};
    if (packed) parts = {bytes};
    write_file_atomically(path, parts);
}

}  // namespace lathe
