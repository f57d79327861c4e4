#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lathe/core/error.h"

// Reading JSON that may hold anything: errors name what they read and what was expected. Only for source files, so that users
// of the library pay for no foreign header.
namespace lathe::nn::json_reader {

using nlohmann::json;

constexpr int kDeepest = 32;  // levels of nesting; more would be an attack on the stack

// Error: no JSON, or nested too deeply.
inline json parse(const std::string& text, const std::string& what) {
    int depth = 0;
    bool quoted = false, escaped = false;
    for (char c : text) {
        if (quoted) {
            if (escaped) escaped = false;
            else if (c == '\\') escaped = true;
            else if (c == '"') quoted = false;
            continue;
        }
        if (c == '"') quoted = true;
        if (c == '[' || c == '{') check(++depth <= kDeepest, what, ": expected JSON of at most ", kDeepest, " levels");
        if (c == ']' || c == '}') --depth;
    }
    json value = json::parse(text, nullptr, false);
    check(!value.is_discarded(), what, ": expected JSON");
    return value;
}

inline const json& member(const json& object, const char* name, const std::string& what) {
    check(object.is_object() && object.contains(name), what, ": expected an object with '", name, "'");
    return object[name];
}

inline int64_t integer(const json& value, const std::string& what) {
    check(value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= uint64_t{1} << 62), what,
          ": expected an integer");
    return value.get<int64_t>();
}

inline double real(const json& value, const std::string& what) {
    check(value.is_number(), what, ": expected a number");
    return value.get<double>();
}

inline std::string text(const json& value, const std::string& what) {
    check(value.is_string(), what, ": expected a text");
    return value.get<std::string>();
}

template <class T>
std::vector<T> list(const json& value, const std::string& what, T (*read)(const json&, const std::string&)) {
    check(value.is_array(), what, ": expected a list");
    std::vector<T> items;
    for (const json& item : value) items.push_back(read(item, what));
    return items;
}

}  // namespace lathe::nn::json_reader
