#include "lathe/core/kernels/sparse/pattern.h"

#include <algorithm>
#include <cstdio>

#include "lathe/core/error.h"

namespace lathe::kernels {

std::string Pattern::str() const {
    if (kind == unstructured) return "unstructured";
    return std::to_string(n) + (kind == block ? "x" : ":") + std::to_string(m);
}

bool Pattern::holds(const uint8_t* keep, int64_t rows, int64_t taps, int64_t columns) const {
    if (kind == unstructured) return true;
    if (kind == n_of_m) {
        if (columns % m != 0) return false;
        for (int64_t i = 0; i < rows * taps * columns; i += m)
            if (std::count(keep + i, keep + i + m, 0) < m - n) return false;
        return true;
    }
    for (int64_t row = 0; row < rows; ++row)
        for (int64_t tap = 0; tap < taps; ++tap)
            for (int64_t column = 0; column < columns; ++column) {
                const int64_t first = ((row - row % n) * taps + tap) * columns + column - column % m;  // of its block
                if (keep[(row * taps + tap) * columns + column] != keep[first]) return false;
            }
    return true;
}

Pattern parse_pattern(const std::string& text) {
    if (text == "unstructured") return {};
    long long n = 0, m = 0;
    char sign = 0, rest = 0;
    const bool parsed = std::sscanf(text.c_str(), "%6lld%c%6lld%c", &n, &sign, &m, &rest) == 3;
    if (parsed && sign == ':' && n >= 1 && n < m) return {.kind = Pattern::n_of_m, .n = n, .m = m};
    if (parsed && sign == 'x' && n >= 1 && m >= 1) return {.kind = Pattern::block, .n = n, .m = m};
    fail("pattern: expected unstructured, N:M such as 2:4 with N below M, or ROWSxCOLUMNS such as 1x4, got '", text,
         "'");
}

const char* name_of(SparsePattern pattern) {
    switch (pattern) {
        case SparsePattern::unstructured: return "unstructured";
        case SparsePattern::one_of_four: return "1:4";
        case SparsePattern::two_of_four: return "2:4";
        case SparsePattern::row_blocks: return "1x4";
        case SparsePattern::column_blocks: return "4x1";
    }
    return "?";
}

SparsePattern kernel_pattern(const Pattern& pattern, int64_t out_per_group, int64_t in_per_group) {
    const auto fours = [](int64_t extent, int64_t channels) { return extent % 4 == 0 && channels % 4 == 0; };
    if (pattern.kind == Pattern::block) {
        if (fours(pattern.n, out_per_group)) return SparsePattern::column_blocks;
        if (fours(pattern.m, in_per_group)) return SparsePattern::row_blocks;
    }
    if (pattern.kind == Pattern::n_of_m && in_per_group % 4 == 0 && 4 % pattern.m == 0) {  // 1:2 keeps two of four
        if (pattern.n * (4 / pattern.m) == 1) return SparsePattern::one_of_four;
        if (pattern.n * (4 / pattern.m) == 2) return SparsePattern::two_of_four;
    }
    return SparsePattern::unstructured;
}

}  // namespace lathe::kernels
