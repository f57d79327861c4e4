#pragma once
#include "lathe/core/tensor.h"
#include "lathe/data/image.h"

namespace lathe::data {

struct Window {
    int64_t top, left, height, width;
};

// The window of the image scaled to height x width, bilinear; when it shrinks, each pixel averages all that it covers
// (as Pillow's BILINEAR does), so that fine patterns do not alias. The window lies inside the image and is not empty.
Image resized(const Image& image, const Window& window, int64_t height, int64_t width);
// The same of a batch: f32 [N, H, W, C] -> [N, height, width, C]; the same handle when it has that size.
Tensor resized(const Tensor& images, int64_t height, int64_t width);

}  // namespace lathe::data
