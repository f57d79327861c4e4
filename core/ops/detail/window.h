#pragma once
#include <cstdint>

namespace lathe::ops {

// Rows and columns added around an image.
struct Padding {
    int64_t top = 0, bottom = 0, left = 0, right = 0;
    Padding() = default;
    Padding(int64_t all) : top(all), bottom(all), left(all), right(all) {}
    Padding(int64_t vertical, int64_t horizontal)
        : top(vertical), bottom(vertical), left(horizontal), right(horizontal) {}
    Padding(int64_t above, int64_t below, int64_t before, int64_t after)
        : top(above), bottom(below), left(before), right(after) {}
};

// A pair of numbers for height and width; one number sets both.
struct Pair {
    int64_t h = 1, w = 1;
    Pair() = default;
    Pair(int64_t both) : h(both), w(both) {}
    Pair(int64_t height, int64_t width) : h(height), w(width) {}
};

}  // namespace lathe::ops
