#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "lathe/core/kernels/dispatch/epilogue.h"

namespace lathe::kernels {

// The geometry of a 2-D convolution. Letters used throughout: N batch, H x W input map, C input channels, P x Q output
// map, K output channels, R x S kernel, G groups. Padding below and to the right follows from out_h and out_w.
struct Conv2dShape {
    int64_t batch, in_h, in_w, in_c;       // x [N, H, W, C]
    int64_t out_h, out_w, out_c;           // y [N, P, Q, K]
    int64_t kernel_h, kernel_w;            // weight [K, R, S, C/G]
    int64_t stride_h = 1, stride_w = 1;
    int64_t pad_top = 0, pad_left = 0;
    int64_t dilation_h = 1, dilation_w = 1;
    int64_t groups = 1;

    bool depthwise() const { return groups == in_c && out_c == in_c; }
    bool pointwise() const {  // result pixels see only the pixel that they stand on
        return kernel_h == 1 && kernel_w == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 && pad_left == 0 &&
               out_h == in_h && out_w == in_w;
    }
    int64_t macs() const { return batch * out_h * out_w * out_c * kernel_h * kernel_w * (in_c / groups); }
};

// A convolution whose weights are arranged once for the kernel that will run it: for many forwards, of any batch size.
class PreparedConv2d {
public:
    virtual ~PreparedConv2d() = default;
    // y [N, P, Q, K] = epilogue(conv(x [N, H, W, C], weight)), N = batch.
    virtual void forward(int64_t batch, const float* x, const Epilogue& epilogue, float* y) const = 0;
    virtual int64_t bytes() const = 0;  // that the arranged weights take
    virtual std::string name() const = 0;  // of the algorithm: "winograd4", "sparse 2:4"
    virtual bool skips_zeros() const { return false; }
};

}  // namespace lathe::kernels
