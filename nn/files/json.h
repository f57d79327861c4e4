#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/files/json.h"

// Reading JSON that may hold anything: errors name what they read and what was expected. Only for source files, so that users
// of the library pay for no foreign header.
namespace lathe::nn::json_reader {

using nlohmann::json;

constexpr int kDeepest = 32;  // levels of nesting; more would be an attack on the stack

// Error: no JSON, or nested too deeply.
inline json parse(const std::string& text, const std::string& what) { return json::parse(checked_json(text, what, kDeepest)); }

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
