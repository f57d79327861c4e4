#pragma once
#include <string>

#include "lathe/core/graph/attributes.h"

namespace lathe {

// Attributes as a JSON object, by name: numbers with a point or exponent are reals.
std::string json_of(const Attributes& attributes);
// What json_of gave, in the order of names. `what` stands in errors. Error: anything else.
Attributes attributes_of(const std::string& json, const std::string& what);

}  // namespace lathe
