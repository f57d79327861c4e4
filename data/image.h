#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/core/files/file.h"
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
Image blank_image(int64_t height, int64_t width, int64_t channels);

// Decodes a PNG, JPEG or BMP file to 1 (grey) or 3 (RGB) channels, whatever it holds; transparency is dropped, and a
// photograph taken with a turned camera is turned upright, as its Exif block says. `name` is for messages. Error:
// another format, truncated, damaged, more than 2^27 pixels.
Image parse_image(Bytes bytes, const std::string& name, int64_t channels = 3);
Image read_image(const std::string& path, int64_t channels = 3);
bool has_image_suffix(const std::string& path);  // .png, .jpg, .jpeg, .jfif or .bmp, in any case

}  // namespace lathe::data
