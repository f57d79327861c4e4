#pragma once
#include <cstddef>

namespace lathe::nn {

// What belongs to a node, in a list of one for each.
template <class T>
decltype(auto) at(T& values, int node) {
    return values[static_cast<size_t>(node)];
}

}  // namespace lathe::nn
