#include "lathe/nn/files/encode.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "lathe/core/files/json.h"

namespace lathe::nn {

namespace {

using nlohmann::json;

constexpr const char* kPacked = "lathe.packed";
constexpr int64_t kSkip = 255;
constexpr int64_t kMaxElements = int64_t{1} << 31;

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
    check(index.dtype() == DType::u8 && index.rank() == 1, "expected an index of type u8, got ", name_of(index.dtype()), " ",
          index.shape());
    const uint8_t* bytes = index.data<uint8_t>();
    const int64_t count = shape.numel();
    if (encoding == name_of(Encoding::bitmap)) {
        check(index.numel() == bitmap_bytes(count), "expected a bitmap of ", bitmap_bytes(count), " bytes, got ", index.numel());
        Tensor keep(shape, DType::u8);
        uint8_t* kept = keep.mutable_data<uint8_t>();
        for (int64_t i = 0; i < count; ++i) kept[i] = bytes[i / 8] >> (i % 8) & 1;
        return keep;
    }
    check(encoding == name_of(Encoding::relative), "unknown encoding '", encoding, "'");
    int64_t covered = 0;
    for (int64_t i = 0; i < index.numel(); ++i) covered += bytes[i] == kSkip ? kSkip : bytes[i] + 1;
    check(covered <= count && count - covered < kSkip, "expected an index of ", count, " elements, got one of ", covered);
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
    check(values.rank() == 1 && values.numel() == count_kept(keep), "expected ", count_kept(keep), " values, got ", values.shape());
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

Tensor take(TensorFile& file, const std::string& name) {
    const auto found = file.tensors.find(name);
    check(found != file.tensors.end(), kPacked, ": '", name, "' is missing");
    Tensor tensor = found->second;
    file.tensors.erase(found);
    return tensor;
}

Shape shape_of(const json& entry) {
    std::vector<int64_t> dims;
    int64_t count = 1;
    for (const json& dim : entry.at("shape")) {
        dims.push_back(dim.get<int64_t>());
        check(dims.back() >= 0 && dims.back() <= kMaxElements, kPacked, ": expected a shape, got ", entry.at("shape").dump());
        count *= std::max<int64_t>(dims.back(), 1);
        check(count <= kMaxElements, kPacked, ": expected a shape of at most ", kMaxElements, " elements, got ", entry.at("shape").dump());
    }
    check(dims.size() <= Shape::kMaxRank, kPacked, ": expected a shape of at most ", Shape::kMaxRank, " dimensions");
    return Shape(dims);
}

}  // namespace

const char* name_of(Encoding encoding) {
    return encoding == Encoding::dense ? "dense" : encoding == Encoding::bitmap ? "bitmap" : "relative";
}

PackedSize packed_size(const Tensor& keep, size_t element_bytes) {
    int64_t relative = 0;
    encode_relative(keep, [&](uint8_t) { ++relative; });
    const int64_t bitmap = bitmap_bytes(keep.numel()), values = count_kept(keep) * static_cast<int64_t>(element_bytes);
    if (relative < bitmap) return {.encoding = Encoding::relative, .bytes = relative + values};
    return {.encoding = Encoding::bitmap, .bytes = bitmap + values};
}

TensorFile pack(TensorFile file) {
    json packed = json::object();
    std::vector<std::string> names;
    for (const auto& [name, tensor] : file.tensors)
        if (file.tensors.count(name + ".mask")) names.push_back(name);
    for (const std::string& name : names) {
        const Tensor dense = file.tensors.at(name), mask = file.tensors.at(name + ".mask");
        const PackedSize size = packed_size(mask, size_of(dense.dtype()));
        file.tensors.erase(name);
        file.tensors.erase(name + ".mask");
        file.tensors[name + ".values"] = gather(dense, mask);
        file.tensors[name + ".index"] = make_index(mask, size.encoding);
        const std::vector<int64_t> shape(dense.shape().begin(), dense.shape().end());
        packed[name] = {{"encoding", name_of(size.encoding)}, {"shape", shape}};
    }
    if (!packed.empty()) file.metadata[kPacked] = packed.dump();
    return file;
}

TensorFile unpack(TensorFile file) {
    const auto entry = file.metadata.find(kPacked);
    if (entry == file.metadata.end()) return file;
    try {
        const json packed = json::parse(checked_json(entry->second, kPacked));
        for (const auto& [name, how] : packed.items()) {
            const Tensor values = take(file, name + ".values"), index = take(file, name + ".index");
            const PathScope scope(name);
            const Tensor keep = read_index(index, how.at("encoding").get<std::string>(), shape_of(how));
            file.tensors[name] = scatter(values, keep);
            file.tensors[name + ".mask"] = keep;
        }
    } catch (const json::exception&) {
        fail(kPacked, ": expected a JSON object of encodings and shapes");
    }
    file.metadata.erase(kPacked);
    return file;
}

}  // namespace lathe::nn
