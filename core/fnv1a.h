#pragma once
#include <cstdint>
#include <string_view>

namespace lathe {

// The hash of Fowler, Noll and Vo: the same for the same bytes on every machine. `hash` is that of what came before.
inline uint64_t fnv1a(std::string_view bytes, uint64_t hash = 0xcbf29ce484222325) {
    for (char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    return hash;
}

}  // namespace lathe
