#pragma once
#include <cstdint>

#include "lathe/data/dataset.h"

namespace lathe::data {

struct ShapesOptions {
    int64_t count = 0;  // images; 0: 20,000 for training, 4,000 for testing
    uint64_t seed = 0;
};

// A built-in set that needs no download: 32x32 RGB pictures of one shape each, anti-aliased, of any colour, at any
// place, 16 to 26 pixels across, turned by up to 36 degrees, on a textured, noisy ground with stray strokes. Each
// picture follows from (seed, split, index) alone; label = index % 10. A linear classifier on the pixels is little
// better than chance, a small convolutional network finds nearly all.
Dataset shapes(Split split, const ShapesOptions& options = {});

// The picture itself. label: 0 circle, ring, square, triangle, star, cross, crescent, heart, arrow, 9 stripes.
Image draw_shape(int64_t label, Random& random);

}  // namespace lathe::data
