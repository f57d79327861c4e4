#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "lathe/core/text_table.h"

namespace lathe::tools {

// What --json prints: one line; of names that are not UTF-8 the bytes that are not become U+FFFD. The library escapes
// the control characters below U+0020 only; a terminal also obeys U+007F to U+009F.
inline std::string json_line(const nlohmann::ordered_json& json) {
    const std::string text = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    std::string line;
    for (size_t i = 0; i < text.size(); ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        const bool wide = byte == 0xc2 && static_cast<unsigned char>(text[i + 1]) < 0xa0;
        if (wide || byte == 0x7f) line += format("\\u%04x", static_cast<unsigned char>(text[wide ? ++i : i]));
        else line += text[i];
    }
    return line + "\n";
}

}  // namespace lathe::tools
