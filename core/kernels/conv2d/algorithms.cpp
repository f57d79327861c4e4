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
    {"depthwise", depthwise::suits, depthwise::prepare, nullptr, nullptr, depthwise::backward_input,
     depthwise::backward_weight},
    {"gemm1x1", pointwise::suits, pointwise::prepare, pointwise::prepare_indexed, pointwise::forward,
     pointwise::backward_input, pointwise::backward_weight},
    {"im2col", im2col::suits, im2col::prepare, im2col::prepare_indexed, im2col::forward, nullptr, nullptr},
    {"winograd4", winograd::suits, winograd::prepare, nullptr, nullptr, winograd::backward_input,
     winograd::backward_weight},
    {"images", images::suits, images::prepare, nullptr, nullptr, images::backward_input, nullptr},
    {"direct", direct::suits, direct::prepare, direct::prepare_indexed, nullptr, direct::backward_input,
     direct::backward_weight},
};

}  // namespace

std::span<const Conv2dAlgorithm> conv2d_algorithms() { return kAlgorithms; }

const Conv2dAlgorithm& conv2d_algorithm(const Conv2dShape& shape, Conv2dPass pass) {
    const Conv2dAlgorithm* row = kAlgorithms;
    while (!row->suits(shape, pass)) ++row;  // the last suits always
    return *row;
}

std::string conv2d_algorithm_names(const Conv2dShape& shape) {
    const std::string forward = conv2d_algorithm(shape, Conv2dPass::forward).name;
    const std::string backward_input = conv2d_algorithm(shape, Conv2dPass::backward_input).name;
    const std::string backward_weight = conv2d_algorithm(shape, Conv2dPass::backward_weight).name;
    const bool same = forward == backward_input && forward == backward_weight;
    return same ? forward : forward + ", " + backward_input + ", " + backward_weight;
}

}  // namespace lathe::kernels
