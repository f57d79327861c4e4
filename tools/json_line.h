#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace lathe::tools {

// What --json prints: one line; of names that are not UTF-8 the bytes that are not become U+FFFD. The library escapes
// the control characters below U+0020 only; a terminal also obeys U+007F to U+009F.
std::string json_line(const nlohmann::ordered_json& json);

}  // namespace lathe::tools
