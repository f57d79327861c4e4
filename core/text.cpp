#include "lathe/core/text.h"

#include <algorithm>
#include <cstdint>

namespace lathe {

namespace detail {

std::string concatenated(std::initializer_list<Part> parts) {
    TextStream out;
    for (const Part& part : parts) part.write(out);
    return out.str();
}

}  // namespace detail

namespace {

bool continues(unsigned char byte) { return (byte & 0xc0) == 0x80; }

// The bytes of the well-formed UTF-8 character that begins at `at` (RFC 3629: neither overlong nor a surrogate), else
// 0.
size_t character_at(const std::string& text, size_t at) {
    const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u; };
    const uint32_t first = byte(0);
    if (first < 0x80) return 1;
    const size_t bytes = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (bytes == 0) return 0;
    uint32_t code = first & (0x7f >> bytes);
    for (size_t i = 1; i < bytes; ++i) {
        if (!continues(static_cast<unsigned char>(byte(i)))) return 0;
        code = code << 6 | (byte(i) & 0x3f);
    }
    const bool shortest = code >= (bytes == 2 ? 0x80u : bytes == 3 ? 0x800u : 0x10000u);
    return shortest && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? bytes : 0;
}

// C0, DEL, and C1 as UTF-8 spells it.
bool is_control(const std::string& text, size_t at, size_t bytes) {
    const auto first = static_cast<unsigned char>(text[at]);
    return bytes == 1 ? first < 0x20 || first == 0x7f
                      : first == 0xc2 && static_cast<unsigned char>(text[at + 1]) < 0xa0;
}

std::string escaped(char c) {
    constexpr const char* kDigits = "0123456789abcdef";
    if (c == '\n') return "\\n";
    if (c == '\t') return "\\t";
    const auto byte = static_cast<unsigned char>(c);
    return {'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]};
}

}  // namespace

std::string printable(const std::string& text) {
    std::string shown;
    for (size_t at = 0; at < text.size();) {
        const size_t bytes = character_at(text, at);
        if (bytes > 0 && !is_control(text, at, bytes)) {
            shown.append(text, at, bytes);
            at += bytes;
            continue;
        }
        for (const size_t end = at + std::max<size_t>(bytes, 1); at < end; ++at) shown += escaped(text[at]);
    }
    return shown;
}

std::string shortened(const std::string& text, size_t most) {
    if (text.size() <= most) return text;
    size_t head = most * 2 / 3, tail = text.size() - (most - head);
    while (head > 0 && continues(static_cast<unsigned char>(text[head]))) --head;
    while (tail < text.size() && continues(static_cast<unsigned char>(text[tail]))) ++tail;
    return text.substr(0, head) + "…" + text.substr(tail);
}

std::string joined(const std::vector<std::string>& words, const char* between) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : between) + word;
    return text;
}

std::string shell_quoted(const std::string& text) {
    constexpr const char* kPlain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:=,+@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
    std::string quoted = "'";
    for (char c : text) {
        if (c == '\'') quoted += "'\\''";
        else quoted += c;
    }
    return quoted + "'";
}

bool is_utf8(const std::string& text) {
    for (size_t at = 0, bytes = 0; at < text.size(); at += bytes)
        if ((bytes = character_at(text, at)) == 0) return false;
    return true;
}

}  // namespace lathe
