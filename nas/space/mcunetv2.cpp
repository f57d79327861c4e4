#include "lathe/nas/space/space.h"

namespace lathe::nas {

const Space& mcunetv2() {
    static const Space space{
        .name = "mcunetv2",
        .choices = {.wid = {0, 1, 2},
                    .ks = {3, 5, 7},
                    .e = {3, 4, 6},
                    .d = {0, 1, 2},
                    .image_size = {96, 112, 128, 144, 160}},
        .widths = {0.5, 0.75, 1.0},
        .first = 32,
        .second = 16,
        .last = 384,
        .stages = {{.channels = 24, .stride = 2, .base_depth = 1, .full_depth = 3, .first_squeezed = 3},
                   {.channels = 40, .stride = 2, .base_depth = 2, .full_depth = 4, .first_squeezed = 1},
                   {.channels = 80, .stride = 2, .base_depth = 2, .full_depth = 4, .first_squeezed = 0},
                   {.channels = 96, .stride = 1, .base_depth = 2, .full_depth = 4, .first_squeezed = 0},
                   {.channels = 192, .stride = 2, .base_depth = 2, .full_depth = 4, .first_squeezed = 0},
                   {.channels = 320, .stride = 1, .base_depth = 1, .full_depth = 1, .first_squeezed = 1}},
        .classes = 2};
    return space;
}

}  // namespace lathe::nas
