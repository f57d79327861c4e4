#pragma once
#include <cstdio>

namespace lathe {

// Writes what reports say of themselves to standard output: print(compress::prune_magnitude(model, {.sparsity = 0.8})).
template <class... Reports>
void print(const Reports&... reports) {
    (std::fputs(reports.str().c_str(), stdout), ...);
}

}  // namespace lathe
