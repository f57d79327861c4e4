#include "lathe/data/exif.h"

#include <algorithm>

namespace lathe::data {

int exif_orientation(Bytes tiff) {
    constexpr size_t kOrientation = 0x0112, kShort = 3, kEntry = 12;
    const auto byte = [&](size_t at) { return at < tiff.size() ? std::to_integer<size_t>(tiff[at]) : 0; };
    const bool little = byte(0) == 'I' && byte(1) == 'I', big = byte(0) == 'M' && byte(1) == 'M';
    if (!little && !big) return 1;
    const auto word = [&](size_t at) { return little ? byte(at + 1) << 8 | byte(at) : byte(at) << 8 | byte(at + 1); };
    const size_t directory = little ? word(6) << 16 | word(4) : word(4) << 16 | word(6);
    for (size_t i = 0, entries = directory < tiff.size() ? word(directory) : 0; i < entries; ++i) {
        const size_t entry = directory + 2 + kEntry * i;
        if (word(entry) != kOrientation) continue;
        const size_t value = word(entry + 8);
        return word(entry + 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

Image upright(Image image, int orientation) {
    if (orientation <= 1 || orientation > 8) return image;
    const bool turned = orientation >= 5;  // rows of the picture are columns of what is stored
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 7 || orientation == 8;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 6 || orientation == 7;
    Image out = blank_image(turned ? image.width : image.height, turned ? image.height : image.width, image.channels);
    for (int64_t y = 0; y < out.height; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
            const int64_t row = turned ? x : y, column = turned ? y : x;
            const int64_t down = turned ? from_right : from_bottom, across = turned ? from_bottom : from_right;
            const uint8_t* from =
                image.at(down ? image.height - 1 - row : row, across ? image.width - 1 - column : column);
            std::copy_n(from, image.channels, out.at(y, x));
        }
    return out;
}

}  // namespace lathe::data
