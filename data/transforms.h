#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/data/dataset.h"

namespace lathe::data {

// Steps of augmentation for Dataset::augmented: the result follows from the image and the random numbers alone.
// Positions and amounts are drawn uniformly; sizes are in pixels.

// A size x size window of the image surrounded by `padding` black pixels. Error: the window is larger than that.
Transform random_crop(int64_t size, int64_t padding = 0);
// Mirrored left to right, with the given probability.
Transform random_flip(double probability = 0.5);
// A grey square of the given side around any pixel, cut off at the edges (DeVries and Taylor 2017, arXiv:1708.04552).
Transform cutout(int64_t size);
// Brightness, then contrast, scaled by factors in [1 - x, 1 + x]. Error: x outside [0, 1].
Transform color_jitter(double brightness, double contrast);
// A window of at least min_area of the image, 3:4 to 4:3, scaled to size x size (Szegedy et al. 2014, arXiv:1409.4842).
Transform random_resized_crop(int64_t size, double min_area = 0.25);

Transform resize(int64_t height, int64_t width);
// The middle of the image. Error: the image is smaller.
Transform center_crop(int64_t size);
// Any image as size x size: the shorter side scaled to `size`, then the middle.
Transform fit(int64_t size);

// The steps of a text like "crop:4,flip,cutout:8,jitter:0.2,resized-crop:0.3" for images of the given shape:
// crop:PADDING (4 when left out), flip:PROBABILITY (0.5), cutout:SIDE (a quarter of the height), jitter:AMOUNT (0.2, of
// brightness and contrast), resized-crop:MIN_AREA (0.25). "none" and "": no step. Error: an unknown step, no number.
std::vector<Transform> parse_transforms(const std::string& text, const Shape& image_shape);

}  // namespace lathe::data
