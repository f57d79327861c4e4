#include "lathe/core/files/safetensors.h"

#include <chrono>
#include <cstring>
#include <filesystem>

#include <doctest/doctest.h>

#include "lathe/core/files/gzip.h"
#include "lathe/core/random.h"
#include "lathe/tests/german_locale.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;

namespace {

std::string with_length(const std::string& header, const std::string& data = "", int64_t lie = 0) {
    const uint64_t length = header.size() + static_cast<uint64_t>(lie);
    std::string file(sizeof length, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    return file + header + data;
}

TensorFile parse(const std::string& bytes) { return parse_safetensors(std::as_bytes(std::span(bytes)), "file"); }

// One F32 tensor of two elements, with `entry` in place of its description.
std::string with_entry(const std::string& entry) { return with_length("{\"a\":" + entry + "}", "12345678"); }

// The message of the error that parsing raises; empty when there is none.
std::string error_of(const std::string& bytes) {
    try {
        parse(bytes);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

bool same(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}

TensorFile example() {
    TensorFile file;
    file.tensors["f32"] = Tensor::of<float>({2, 1, 3}, {1, -2, 3.5f, -0.0f, 1e-40f, 6});
    file.tensors["f64"] = Tensor::of<double>({2}, {0.1, -1e300});
    file.tensors["i8"] = Tensor::of<int8_t>({3}, {-128, 0, 127});
    file.tensors["u8"] = Tensor::of<uint8_t>({1, 1, 1, 1, 1, 1}, {255});
    file.tensors["i32"] = Tensor::of<int32_t>({2}, {INT32_MIN, INT32_MAX});
    file.tensors["i64"] = Tensor::of<int64_t>({}, {INT64_MIN});
    file.tensors["no elements"] = Tensor({3, 0, 2});
    file.metadata = {{"architecture", R"({"model":"lenet5"})"}, {"żółw", "line\nbreak \"quote\""}};
    return file;
}

}  // namespace

TEST_CASE("safetensors: every type, shape and metadata survive a round trip") {
    const TemporaryFolder folder;
    const TensorFile written = example();
    write_safetensors(folder / "x", written);
    for (const TensorFile& read : {read_safetensors(folder / "x"), parse(read_text_file(folder / "x"))}) {
        CHECK(read.metadata == written.metadata);
        REQUIRE(read.tensors.size() == written.tensors.size());
        for (const auto& [name, tensor] : written.tensors) CHECK_MESSAGE(same(read.tensors.at(name), tensor), name);
    }
}

TEST_CASE("safetensors: a path that ends with .gz is the same file, packed") {
    const TemporaryFolder folder;
    const TensorFile written = example();
    write_safetensors(folder / "x", written);
    write_safetensors(folder / "x.gz", written);
    write_safetensors(folder / "again.gz", written);
    CHECK(read_text_file(folder / "x.gz") == read_text_file(folder / "again.gz"));
    CHECK(std::filesystem::file_size(folder / "x.gz") < std::filesystem::file_size(folder / "x"));
    const auto plain = read_file(folder / "x");
    CHECK(read_unpacked(folder / "x.gz", plain.size()) == plain);
    const TensorFile read = read_safetensors(folder / "x.gz");
    CHECK(read.metadata == written.metadata);
    for (const auto& [name, tensor] : written.tensors) CHECK_MESSAGE(same(read.tensors.at(name), tensor), name);
    // More than the header says, and no header at all, are seen early.
    std::vector<std::byte> more = plain;
    more.resize(plain.size() + 1);
    const Bytes parts[] = {more};
    write_file_atomically(folder / "more.gz", std::vector<Bytes>{packed_gzip(parts)});
    CHECK_THROWS_WITH(read_safetensors(folder / "more.gz"), doctest::Contains("more.gz: expected at most "));
    const std::vector<std::byte> zeros(1 << 20);
    const Bytes nothing[] = {zeros};
    write_file_atomically(folder / "zeros.gz", std::vector<Bytes>{packed_gzip(nothing)});
    CHECK_THROWS_WITH(read_safetensors(folder / "zeros.gz"),
                      doctest::Contains("expected a safetensors header that starts with {"));
    std::filesystem::rename(folder / "x", folder / "plain.gz");
    CHECK_THROWS_WITH(read_safetensors(folder / "plain.gz"),
                      doctest::Contains("plain.gz: expected a gzip file, got something else"));
}

TEST_CASE("safetensors: the bytes of a file are exactly those of the format") {
    const TemporaryFolder folder;
    TensorFile file;
    file.tensors["b"] = Tensor::of<uint8_t>({2}, {'x', 'y'});
    file.tensors["c"] = Tensor::of<int32_t>({1}, {0x64636261});
    file.tensors["a"] = Tensor::of<uint8_t>({}, {'z'});
    file.metadata["k"] = "v";
    write_safetensors(folder / "x", file);
    std::string header =
        R"({"__metadata__":{"k":"v"},"c":{"dtype":"I32","shape":[1],"data_offsets":[0,4]},)"
        R"("a":{"dtype":"U8","shape":[],"data_offsets":[4,5]},"b":{"dtype":"U8","shape":[2],"data_offsets":[5,7]}})";
    header.resize(192 - 8, ' ');  // data start at a multiple of 64
    CHECK(read_text_file(folder / "x") == with_length(header, "abcdzxy"));

    write_safetensors(folder / "x", {});
    std::string empty = "{}";
    empty.resize(64 - 8, ' ');
    CHECK(read_text_file(folder / "x") == with_length(empty));
    CHECK(read_safetensors(folder / "x").tensors.empty());
}

TEST_CASE("safetensors: the same bytes in every locale") {
    const TemporaryFolder folder;
    TensorFile file = example();
    file.tensors["large"] = Tensor::zeros({1234});  // offsets of four digits
    write_safetensors(folder / "here", file);
    const GermanLocale german;
    write_safetensors(folder / "there", file);
    CHECK(read_text_file(folder / "there") == read_text_file(folder / "here"));
    CHECK(same(read_safetensors(folder / "there").tensors.at("f64"), file.tensors.at("f64")));
}

TEST_CASE("safetensors: a file of very many tensors takes no longer than its size") {
    std::string header = "{";
    for (int i = 0; i < 100000; ++i)
        header += (i ? "," : "") + std::string("\"t") + std::to_string(i) +
                  R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
    const auto begin = std::chrono::steady_clock::now();
    CHECK(parse(with_length(header + "}")).tensors.size() == 100000);
    CHECK(std::chrono::steady_clock::now() - begin <
          std::chrono::seconds(20));  // a second or so; quadratic it takes minutes
}

TEST_CASE("safetensors: what cannot be written is refused and leaves no file") {
    const TemporaryFolder folder;
    TensorFile file;
    SUBCASE("reserved name") { file.tensors["__metadata__"] = Tensor({1}); }
    SUBCASE("empty tensor") { file.tensors["a"] = Tensor(); }
    SUBCASE("name not in UTF-8") { file.tensors["\xff"] = Tensor({1}); }
    SUBCASE("metadata not in UTF-8") { file.metadata["a"] = "\xc3("; }
    CHECK_THROWS_AS(write_safetensors(folder / "x", file), Error);
    CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("safetensors: half types are read as f32, booleans as u8") {
    const std::string header =
        R"({"h":{"dtype":"F16","shape":[6],"data_offsets":[0,12]},)"
        R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},)"
        R"("t":{"dtype":"BOOL","shape":[2],"data_offsets":[16,18]}})";
    const uint16_t narrow[] = {0x3c00, 0xc248, 0x0001, 0x83ff, 0x7c00, 0x7bff, 0x3f80, 0xc049};
    std::string data(reinterpret_cast<const char*>(narrow), sizeof narrow);
    const TensorFile file = parse(with_length(header, data + '\1' + '\0'));
    const float inf = std::numeric_limits<float>::infinity();
    CHECK(same(file.tensors.at("h"), Tensor::of<float>({6}, {1, -3.140625f, 0x1p-24f, -1023 * 0x1p-24f, inf, 65504})));
    CHECK(same(file.tensors.at("b"), Tensor::of<float>({2}, {1, -3.140625f})));
    CHECK(same(file.tensors.at("t"), Tensor::of<uint8_t>({2}, {1, 0})));
}

TEST_CASE("safetensors: headers that lie are refused with a line that says how") {
    REQUIRE(error_of(with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})")) == "");
    const std::string deep(1'000'000, '[');
    const std::pair<std::string, const char*> cases[] = {
        {"", "got one of 0 bytes"},
        {"1234567", "got one of 7 bytes"},
        {with_length("{}", "", 1), "expected a header of 3 bytes, got a file of 10"},
        {with_length("{}", "", -3), "at most 100000000 bytes, got 18446744073709551615"},
        {with_length("{}", "", 200'000'000), "at most 100000000 bytes"},
        {with_length(""), "starts with {"},
        {with_length(" {}"), "starts with {"},
        {with_length("[]"), "starts with {"},
        {with_length("{"), "expected JSON"},
        {with_length("{}}"), "expected JSON"},
        {with_length(R"({"a":1e999})"), "expected JSON"},
        {with_length("{\"\xff\":1}"), "expected JSON"},
        {with_length("{\"a\":" + deep), "nested"},
        {with_length(R"({"a":{"b":{"c":{}}}})"), "nested"},
        {with_length("{}", "x"), "expected 0 bytes of data, got 1"},
        {with_length(R"({"__metadata__":[]})"), "object of strings"},
        {with_length(R"({"__metadata__":{"a":1}})"), "expected a string for \"a\""},
        {with_length(R"({"__metadata__":{"a":"1","a":"2"}})"), "duplicate key \"a\""},
        {with_entry(R"([])"), "expected dtype, shape and data_offsets"},
        {with_entry(R"({"dtype":"F32","shape":[2]})"), "expected dtype, shape and data_offsets"},
        {with_entry(R"({"dtype":"F32","shape":[2],"offsets":[0,8]})"), "expected dtype, shape and data_offsets"},
        {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1})"), "expected dtype, shape and"},
        {with_entry(R"({"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]})"), "duplicate key \"dtype\""},
        {with_entry(R"({"dtype":"F7","shape":[2],"data_offsets":[0,8]})"), "got \"F7\""},
        {with_entry(R"({"dtype":"I16","shape":[4],"data_offsets":[0,8]})"), "got \"I16\""},
        {with_entry(R"({"dtype":32,"shape":[2],"data_offsets":[0,8]})"), "expected a string as dtype"},
        {with_entry(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"), "expected a shape of at most 6"},
        {with_entry(R"({"dtype":"F32","shape":[2,1,1,1,1,1,1],"data_offsets":[0,8]})"), "got 7"},
        {with_entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "whole numbers"},
        {with_entry(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "whole numbers"},
        {with_entry(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})"), "whole numbers"},
        {with_entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), "expected 12 bytes for F32 [3], got 8"},
        {with_entry(R"({"dtype":"F64","shape":[2],"data_offsets":[0,8]})"), "expected 16 bytes for F64 [2], got 8"},
        {with_entry(R"({"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]})"), "fits in memory"},
        {with_entry(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})"), "fits in memory"},
        {with_entry(R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]})"), "whole numbers"},
        {with_entry(R"({"dtype":"F32","shape":[4294967296,4294967296,2],"data_offsets":[0,8]})"), "fits in memory"},
        {with_entry(R"({"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]})"), "fits in memory"},
        {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})"), "expected data_offsets [begin, end]"},
        {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,8]})"), "expected data_offsets [begin, end]"},
        {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"), "expected data_offsets [begin, end]"},
        {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "inside the 8 bytes of data, got 8 to 0"},
        {with_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})"), "inside the 8 bytes of data, got 4 to 12"},
        {with_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), "expected data at offset 0 (gap), got 4"},
        {with_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), "expected 4 bytes of data, got 8"},
        {with_length(
             R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
             R"("b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
             "abc"),
         "tensor \"b\": expected data at offset 2 (overlap), got 1"},
        {with_length(
             R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
             R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
             "ab"),
         "duplicate key \"a\""},
        {with_length("{\"" + std::string(200, 'n') + "\\n\":[]}"), "nnn\"...: expected dtype"},
    };
    for (const auto& [bytes, expected] : cases) {
        const std::string message = error_of(bytes);
        CHECK_MESSAGE(message.find(expected) != std::string::npos, "expected: ", expected, " got: ", message);
        CHECK(message.starts_with("file: "));
        CHECK(message.find('\n') == std::string::npos);
        CHECK(message.size() < 300);
    }
}

TEST_CASE("safetensors: names are escaped in messages, so that they stay one line") {
    CHECK(error_of(with_length(R"({"a\nb\u0007":[]})")).find(R"("a\nb\u0007")") != std::string::npos);
}

TEST_CASE("safetensors: a file cut anywhere, or longer than it says, is refused") {
    const TemporaryFolder folder;
    write_safetensors(folder / "x", example());
    const std::string whole = read_text_file(folder / "x");
    for (size_t size = 0; size < whole.size(); ++size) {
        CHECK_THROWS_AS(parse(whole.substr(0, size)), Error);
        if (size % 64 == 63) {
            write_file_atomically(folder / "cut", std::string_view(whole).substr(0, size));
            CHECK_THROWS_AS(read_safetensors(folder / "cut"), Error);
        }
    }
    CHECK_THROWS_AS(parse(whole + '\0'), Error);
}

TEST_CASE("safetensors: flipped bits give an error or a file that is still whole, never anything else") {
    const TemporaryFolder folder;
    write_safetensors(folder / "x", example());
    const std::string whole = read_text_file(folder / "x");
    const auto survives = [](const std::string& bytes) {
        try {
            for (const auto& [name, tensor] : parse(bytes).tensors)
                if (tensor.numel() > 0) tensor.at(tensor.numel() - 1);
        } catch (const Error&) {
        }
    };
    for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
        std::string flipped = whole;
        flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
        CHECK_NOTHROW(survives(flipped));
    }
    Random random(1);
    for (int round = 0; round < 2000; ++round) {
        std::string damaged = whole;
        for (int i = 0; i < 4; ++i)
            damaged[static_cast<size_t>(random.below(static_cast<int64_t>(whole.size())))] =
                static_cast<char>(random.bits());
        CHECK_NOTHROW(survives(damaged));
    }
}
