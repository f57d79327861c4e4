#pragma once
#include <cstdint>
#include <vector>

#include "lathe/core/shape.h"

namespace lathe::data {

// A picture of 8-bit samples, row by row, the channels of a pixel side by side.
struct Image {
    int64_t height = 0, width = 0, channels = 0;
    std::vector<uint8_t> pixels;  // [height, width, channels]

    Shape shape() const { return {height, width, channels}; }
    const uint8_t* at(int64_t y, int64_t x) const { return pixels.data() + (y * width + x) * channels; }
    uint8_t* at(int64_t y, int64_t x) { return pixels.data() + (y * width + x) * channels; }
};

// A black picture.
inline Image blank_image(int64_t height, int64_t width, int64_t channels) {
    return {height, width, channels, std::vector<uint8_t>(static_cast<size_t>(height * width * channels))};
}

}  // namespace lathe::data
