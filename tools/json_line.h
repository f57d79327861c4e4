#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace lathe::tools {

// What --json prints: one line; of names that are not UTF-8 the bytes that are not become U+FFFD.
inline std::string json_line(const nlohmann::ordered_json& json) {
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace lathe::tools
