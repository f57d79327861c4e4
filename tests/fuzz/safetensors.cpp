#include "lathe/core/files/safetensors.h"

#include <cstring>

#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

namespace {

std::string file_of(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    std::string file(sizeof length, '\0');
    std::memcpy(file.data(), &length, sizeof length);
    return file + header + data;
}

}  // namespace

std::vector<std::string> seeds() {
    return {
        file_of("{}", ""),
        file_of(R"({"__metadata__":{"a":"1","b":"\u017c"},"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})",
                "12345678"),
        file_of(
            R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
            R"("b":{"dtype":"I8","shape":[],"data_offsets":[3,4]},)"
            R"("c":{"dtype":"F16","shape":[2],"data_offsets":[4,8]},)"
            R"("d":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]},)"
            R"("e":{"dtype":"BOOL","shape":[0,7],"data_offsets":[10,10]},)"
            R"("f":{"dtype":"I64","shape":[1],"data_offsets":[10,18]}}  )",
            "123456789012345678"),
    };
}

void read(Bytes bytes) {
    // Mutations rarely keep the length of the header right, so a copy in which it is goes first.
    std::string file(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    if (const size_t brace = file.rfind('}'); brace != std::string::npos && brace >= 8) {
        const uint64_t length = brace + 1 - 8;
        std::memcpy(file.data(), &length, sizeof length);
        try {
            parse_safetensors(std::as_bytes(std::span(file)), "fuzz");
        } catch (const Error&) {
        }
    }
    parse_safetensors(bytes, "fuzz");
}

}  // namespace lathe::fuzz
