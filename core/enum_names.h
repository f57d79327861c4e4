#pragma once
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/error.h"

namespace lathe {

// How the values of an enumeration are spelled: a table that every value is in.
//
//     constexpr EnumNames<Norm, 2> kNames{"norm", {{Norm::l1, "l1"}, {Norm::l2, "l2"}}};
template <class Enum, size_t kCount>
struct EnumNames {
    const char* what;
    std::pair<Enum, const char*> table[kCount];

    const char* operator[](Enum value) const {
        for (const auto& [known, name] : table)
            if (known == value) return name;
        return "?";
    }
    std::vector<std::string> all() const {
        std::vector<std::string> names;
        for (const auto& [known, name] : table) names.emplace_back(name);
        return names;
    }
    Enum value_of(const std::string& name) const {  // Error: unknown (names the nearest)
        for (const auto& [known, spelled] : table)
            if (name == spelled) return known;
        const std::string hint = nearest_name(name, all());
        fail("unknown ", what, " '", name, "'", hint.empty() ? "" : "; ", hint);
    }
};

}  // namespace lathe
