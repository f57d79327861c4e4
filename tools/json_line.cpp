#include "lathe/tools/json_line.h"

#include "lathe/core/files/json.inc"
#include "lathe/core/text_table.h"

namespace lathe::tools {

std::string json_line(const nlohmann::ordered_json& json) {
    const std::string text = text_of(json);
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
