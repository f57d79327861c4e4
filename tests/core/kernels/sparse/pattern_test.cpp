#include "lathe/core/kernels/sparse/pattern.h"

#include <doctest/doctest.h>

#include <vector>

#include "lathe/core/error.h"

using namespace lathe;
using namespace lathe::kernels;

TEST_CASE("pattern: spelled as printed, everything else is refused") {
    for (const char* text : {"unstructured", "2:4", "1:4", "1x4", "4x1", "8x8"})
        CHECK(parse_pattern(text).str() == text);
    for (const char* text : {"", "4:2", "4:4", "0:4", "2:", "2x", "x4", "0x4", "2:4:8", "1x4 ", "-1x4", "block"})
        CHECK_THROWS_AS(parse_pattern(text), Error);
}

TEST_CASE("pattern: which masks have it") {
    const auto holds = [](const char* pattern, int64_t rows, int64_t taps, const std::vector<uint8_t>& keep) {
        return parse_pattern(pattern).holds(keep.data(), rows, taps, static_cast<int64_t>(keep.size()) / rows / taps);
    };
    CHECK(holds("unstructured", 1, 1, {1, 1, 0}));
    CHECK(holds("2:4", 2, 1, {1, 0, 1, 0, 0, 0, 0, 1}));
    CHECK_FALSE(holds("2:4", 1, 1, {1, 1, 0, 1}));
    CHECK_FALSE(holds("2:4", 2, 1, {1, 0, 0, 1, 1, 0}));  // 3 columns
    CHECK(holds("1x2", 2, 1, {1, 1, 0, 0, 0, 1}));  // the last block is one column wide
    CHECK_FALSE(holds("1x2", 1, 1, {0, 1, 1, 0}));
    CHECK(
        holds("2x1", 3, 2, {1, 0, 1, 0, 0, 1}));  // rows of 2 taps: both of the first block alike, the third by itself
    CHECK_FALSE(holds("2x1", 2, 2, {1, 0, 0, 1}));
}

TEST_CASE("pattern: the kernel that runs it depends on the channels") {
    const auto kernel = [](const char* pattern, int64_t out, int64_t in) {
        return std::string(name_of(kernel_pattern(parse_pattern(pattern), out, in)));
    };
    for (const char* text : {"unstructured", "1:4", "2:4", "1x4", "4x1"}) CHECK(kernel(text, 8, 16) == text);
    CHECK(kernel("1:2", 8, 16) == "2:4");
    CHECK(kernel("1x8", 8, 16) == "1x4");
    CHECK(kernel("8x8", 8, 16) == "4x1");
    CHECK(kernel("8x8", 6, 16) == "1x4");
    CHECK(kernel("3:4", 8, 16) == "unstructured");
    CHECK(kernel("2:8", 8, 16) == "unstructured");
    CHECK(kernel("2:4", 8, 6) == "unstructured");
    CHECK(kernel("1x4", 8, 6) == "unstructured");
    CHECK(kernel("4x1", 6, 8) == "unstructured");
    CHECK(kernel("2x2", 8, 8) == "unstructured");
}
