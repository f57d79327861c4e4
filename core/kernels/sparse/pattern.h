#pragma once
#include <cstdint>
#include <string>

namespace lathe::kernels {

// Which weights go or stay together. A weight is seen as it lies in memory, [out, kh, kw, in / groups] or [out, in]:
// rows are neighbours along the first axis (output channels), columns along the last one (input channels of a group;
// behind a flattened image, inputs in the order h, w, c).
struct Pattern {
    enum Kind {
        unstructured,  // each weight by itself
        n_of_m,        // n of every m neighbouring columns are kept, at one output channel and kernel position
        block,         // n rows x m columns at one kernel position go or stay as one; those at the end may be smaller
    } kind = unstructured;
    int64_t n = 1, m = 1;

    bool operator==(const Pattern&) const = default;
    std::string str() const;  // "unstructured", "2:4", "1x4"
    // Whether it is the pattern of weights [rows, taps, columns] that are zero where `keep` is.
    bool holds(const uint8_t* keep, int64_t rows, int64_t taps, int64_t columns) const;
};

Pattern parse_pattern(const std::string& text);  // what str() gives. Error: anything else

// What the sparse kernels tell apart in weights [K, R, S, C/G].
enum class SparsePattern {
    unstructured,
    one_of_four,    // one of every 4 neighbouring input channels
    two_of_four,    // two of them
    row_blocks,     // 1x4: 4 neighbouring input channels together
    column_blocks,  // 4x1: 4 neighbouring output channels together
};
const char* name_of(SparsePattern pattern);  // "unstructured", "1:4", "2:4", "1x4", "4x1"

// The fastest of them that stores no zero of a pattern, for so many output and input channels in a group.
SparsePattern kernel_pattern(const Pattern& pattern, int64_t out_per_group, int64_t in_per_group);

}  // namespace lathe::kernels
