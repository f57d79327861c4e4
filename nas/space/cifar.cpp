#include "lathe/nas/space/space.h"

namespace lathe::nas {

namespace {

Space joint(Space space) {
    space.supernet = space.name;
    space.name += "-joint";
    space.choices.bits = {3, 4, 6, 8}, space.choices.kept = {20, 30, 50, 100};
    return space;
}

}  // namespace

const Space& ofa_mobilenet_cifar() {
    static const Space space{
        .name = "ofa-mobilenet-cifar",
        .choices = {.wid = {0, 1, 2}, .ks = {3, 5}, .e = {2, 3, 4}, .d = {0, 1, 2}, .image_size = {24, 28, 32}},
        .widths = {0.5, 0.75, 1.0},
        .first = 16,
        .second = 0,
        .last = 192,
        .first_stride = 1,
        .stages = {{.channels = 16, .stride = 2, .base_depth = 1, .full_depth = 3, .first_squeezed = 3},
                   {.channels = 32, .stride = 2, .base_depth = 1, .full_depth = 3, .first_squeezed = 3},
                   {.channels = 48, .stride = 1, .base_depth = 1, .full_depth = 3, .first_squeezed = 3},
                   {.channels = 96, .stride = 2, .base_depth = 1, .full_depth = 3, .first_squeezed = 3}},
        .classes = 10};
    return space;
}

const Space& ofa_resnet_cifar() {
    static const Space space{
        .name = "ofa-resnet-cifar",
        .choices = {.wid = {0, 1, 2}, .ks = {3}, .e = {2, 3, 4}, .d = {0, 1, 2}, .image_size = {24, 28, 32}},
        .widths = {0.5, 0.75, 1.0},
        .first = 16,
        .second = 0,
        .last = 0,
        .first_stride = 1,
        .block = BlockKind::basic,
        .stages = {{.channels = 16, .stride = 2, .base_depth = 2, .full_depth = 4, .first_squeezed = 4},
                   {.channels = 32, .stride = 2, .base_depth = 2, .full_depth = 4, .first_squeezed = 4},
                   {.channels = 64, .stride = 2, .base_depth = 2, .full_depth = 4, .first_squeezed = 4}},
        .classes = 10};
    return space;
}

const Space& ofa_mobilenet_cifar_joint() {
    static const Space space = joint(ofa_mobilenet_cifar());
    return space;
}

const Space& ofa_resnet_cifar_joint() {
    static const Space space = joint(ofa_resnet_cifar());
    return space;
}

}  // namespace lathe::nas
