#include "lathe/core/kernels/conv2d/algorithms.h"

#include "lathe/core/kernels/conv2d/depthwise.h"
#include "lathe/core/kernels/conv2d/direct.h"
#include "lathe/core/kernels/conv2d/im2col.h"
#include "lathe/core/kernels/conv2d/images.h"
#include "lathe/core/kernels/conv2d/pointwise.h"
#include "lathe/core/kernels/conv2d/winograd.h"

namespace lathe::kernels {

namespace {

constexpr Conv2dAlgorithm kAlgorithms[] = {
    {"depthwise", depthwise::suits, depthwise::prepare, depthwise::backward_input, depthwise::backward_weight},
    {"gemm1x1", pointwise::suits, pointwise::prepare, pointwise::backward_input, pointwise::backward_weight},
    {"im2col", im2col::suits, im2col::prepare, nullptr, nullptr},
    {"winograd4", winograd::suits, winograd::prepare, winograd::backward_input, winograd::backward_weight},
    {"images", images::suits, images::prepare, images::backward_input, nullptr},
    {"direct", direct::suits, direct::prepare, direct::backward_input, direct::backward_weight},
};

}  // namespace

std::span<const Conv2dAlgorithm> conv2d_algorithms() { return kAlgorithms; }

const Conv2dAlgorithm& conv2d_algorithm(const Conv2dShape& shape, Conv2dPass pass) {
    const Conv2dAlgorithm* row = kAlgorithms;
    while (!row->suits(shape, pass)) ++row;  // the last suits always
    return *row;
}

}  // namespace lathe::kernels
