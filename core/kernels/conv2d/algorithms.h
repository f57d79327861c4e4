#pragma once
#include <span>
#include <string>

#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/kernels/gemm/panels.h"

namespace lathe::kernels {

// One way to run a convolution's passes. Which one runs follows from the shape alone, never from the number of threads.
struct Conv2dAlgorithm {
    const char* name;
    bool (*suits)(const Conv2dShape& shape, Conv2dPass pass);  // runs the pass, and faster than the rows below it
    std::unique_ptr<PreparedConv2d> (*prepare)(const Conv2dShape& shape, const float* weight);  // for forward
    // The same from indices of a codebook, which stay indices: the bits are those of the values they stand for. Null:
    // it needs values.
    std::unique_ptr<PreparedConv2d> (*prepare_indexed)(const Conv2dShape& shape, const IndexedWeight& weight);
    // Forward without arranging the weights first, for once; null: it needs them arranged.
    void (*forward_once)(const Conv2dShape& shape, const float* x, const float* weight, const Epilogue& end, float* y);
    // dx [N, H, W, C] from dy, dweight [K, R, S, C/G] from x and dy; null where `suits` never says yes.
    void (*backward_input)(const Conv2dShape& shape, const float* dy, const float* weight, float* dx);
    void (*backward_weight)(const Conv2dShape& shape, const float* x, const float* dy, float* dweight);

    // y [N, P, Q, K] from x.
    void forward(const Conv2dShape& shape, const float* x, const float* weight, const Epilogue& end, float* y) const {
        if (forward_once) forward_once(shape, x, weight, end, y);
        else prepare(shape, weight)->forward(shape.batch, x, end, y);
    }
};

// All of them, the first choice first: "depthwise", "gemm1x1", "im2col", "winograd4", "images", "direct".
std::span<const Conv2dAlgorithm> conv2d_algorithms();

// The first that suits, as conv2d_forward, conv2d_backward_input and conv2d_backward_weight take it.
const Conv2dAlgorithm& conv2d_algorithm(const Conv2dShape& shape, Conv2dPass pass);

// The names of those of all three passes: "winograd4", or "direct, images, direct" where they differ.
std::string conv2d_algorithm_names(const Conv2dShape& shape);

}  // namespace lathe::kernels
