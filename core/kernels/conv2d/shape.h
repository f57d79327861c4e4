#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "lathe/core/kernels/dispatch/epilogue.h"

namespace lathe::kernels {

// Terms of this family, beside the letters below:
//   tap       one position (r, s) of the kernel; taps are numbered row by row
//   axis      rows or columns: which pixels a result's taps read along it (axis.h)
//   phase     of a stride: every stride-th pixel of dx, which the same taps reach
//   band      the rows of an image under a few neighbouring rows of results, copied with their padding
//   panel     the widest stretch of output channels that the register tile of panel.inc makes at once
//   run       products of a result whose factors are neighbours in memory
//   stretch   neighbouring results that have the same taps inside the image
//   together  neighbouring results seen as one pixel with that many times the channels
//   tile      of Winograd: 4x4 results; its 36 products are points
//   unit      of `images`: as many images as a panel has columns
//   task      what one thread does at a time; shares and parts are pieces of what would be too few tasks

// One image or its result, [h, w, c].
struct FeatureMap {
    int64_t h, w, c;
    int64_t row() const { return w * c; }
    int64_t size() const { return h * w * c; }
};

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
    bool exact = false;  // forward adds up the products themselves; Winograd's are of rounded sums

    FeatureMap input() const { return {in_h, in_w, in_c}; }
    FeatureMap output() const { return {out_h, out_w, out_c}; }
    int64_t weight_count() const { return out_c * kernel_h * kernel_w * (in_c / groups); }

    bool depthwise() const { return groups == in_c && out_c == in_c; }
    bool pointwise() const {  // result pixels see only the pixel that they stand on
        return kernel_h == 1 && kernel_w == 1 && stride_h == 1 && stride_w == 1 && pad_top == 0 && pad_left == 0 &&
               out_h == in_h && out_w == in_w;
    }
    int64_t macs() const { return batch * out_h * out_w * weight_count(); }
};

// What a training step asks of a convolution: y, dx and dweight.
enum class Conv2dPass { forward, backward_input, backward_weight };

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
