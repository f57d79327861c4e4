#include "lathe/core/graph/attributes_json.h"

#include <algorithm>

#include "lathe/core/error.h"
#include "lathe/core/files/json.inc"

namespace lathe {

using nlohmann::json;

std::string json_of(const Attributes& attributes) {
    json object = json::object();
    for (const auto& [name, value] : attributes) std::visit([&to = object[name]](const auto& v) { to = v; }, value);
    return text_of(object);
}

Attributes attributes_of(const std::string& text, const std::string& what) {
    const json object = parse_json(text, what);
    check(object.is_object(), what, ": expected an object");
    Attributes attributes;
    for (const auto& [name, value] : object.items()) {
        const auto is_integer = [](const json& v) { return v.is_number_integer(); };
        if (value.is_number_integer()) attributes.add(name, value.get<int64_t>());
        else if (value.is_number()) attributes.add(name, value.get<double>());
        else if (value.is_string()) attributes.add(name, value.get<std::string>());
        else if (value.is_array() && std::all_of(value.begin(), value.end(), is_integer))
            attributes.add(name, value.get<std::vector<int64_t>>());
        else fail(what, ": expected '", name, "' to be a number, a text or a list of integers");
    }
    return attributes;
}

}  // namespace lathe
