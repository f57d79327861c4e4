#include "lathe/tools/checks.h"

#include <charconv>
#include <cstdint>

namespace lathe::tools {

namespace {

constexpr int64_t kLargest = 1'000'000'000'000;  // of a count: no product of two that the library makes overflows

template <class T>
bool spells(const std::string& text, T& value) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    return error == std::errc{} && stop == end;
}

// What is wrong with the word for that type of option, else "".
std::string wrong(const std::string& type, const std::string& text) {
    int64_t count = 0;
    uint64_t number = 0;
    double real = 0;
    if (text.empty()) return "expected a word, got an empty one";
    if (type.starts_with("INT") && !(spells(text, count) && count <= kLargest && count >= -kLargest))
        return "expected a whole number up to " + std::to_string(kLargest) + ", got " + text;
    if (type.starts_with("UINT") && !spells(text, number))
        return "expected a whole number from 0 to 2^64-1, got " + text;
    if (type.starts_with("FLOAT") && !(spells(text, real) && std::isfinite(real)))
        return "expected a number, got " + text;
    return "";
}

}  // namespace

void check_words(CLI::App& command) {
    for (CLI::Option* option : command.get_options()) {
        const bool flag = option->get_items_expected_max() == 0;
        const std::string type = option->get_type_name();
        option->check(CLI::Validator([=](std::string& text) {
            if (flag) return text == "true" || text == "false" ? std::string() : "expected true or false, got " + text;
            return wrong(type, text);
        }, ""));
    }
}

}  // namespace lathe::tools
