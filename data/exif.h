#pragma once
#include "lathe/data/image.h"

namespace lathe::data {

// How a camera was held, from an Exif block (CIPA DC-008: a TIFF header and its first directory): 1 upright, 2 to 8
// mirrored or turned; 1 when the block does not say or is damaged.
int exif_orientation(Bytes tiff);

// The picture as it was seen, from one stored with that orientation.
Image upright(Image image, int orientation);

}  // namespace lathe::data
