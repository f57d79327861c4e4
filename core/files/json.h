#pragma once
#include <string>
#include <string_view>

namespace lathe {

// A text of JSON that comes from outside, looked at before anything is built from it: deep nesting would cost the
// stack, and of several equal keys two readers may take different ones. Returns the text, which a parser then takes.
// `name` stands in errors. Error: not JSON in UTF-8, more than `max_depth` nested levels, two equal keys in one object.
std::string_view checked_json(std::string_view text, const std::string& name, int max_depth = 16);

}  // namespace lathe
