#pragma once
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/memory.h"

namespace lathe::kernels {

// The three convolutions of an inverted residual block (Sandler et al. 2018, arXiv:1801.04381) as one: a 1x1 that makes
// many channels of few, a depthwise 3x3 over them, and a 1x1 back to few. A panel's width of the many channels goes
// through all three, a band of rows at a time, before the next: the many channels, most of what such a network moves,
// never leave the first-level cache, and the block is one parallel region instead of three.
class InvertedResidual {
public:
    // Weights [C, 1, 1, B], [C, 3, 3, 1], [K, 1, 1, C], of shapes that `suit`; their batch says how many images it is
    // arranged for, and any number gives the same bits.
    InvertedResidual(const Conv2dShape& expand, const float* expand_weight, const Conv2dShape& depthwise,
                     const float* depthwise_weight, const Conv2dShape& project, const float* project_weight);

    static bool suits(const Conv2dShape& expand, const Conv2dShape& depthwise, const Conv2dShape& project);

    // y [N, P, Q, K] from x [N, H, W, B], which y must not overlap. Only the last of the three accumulates: onto
    // addend [N, P, Q, K], which may be y or x.
    void forward(int64_t batch, const float* x, const Epilogue& expand, const Epilogue& depthwise,
                 const Epilogue& project, const float* addend, float* y) const;
    int64_t bytes() const;  // of the arranged weights

private:
    struct Image;  // one image's pointers
    int64_t block_channels() const;
    int64_t parts_for(int64_t batch) const;
    // The sum over blocks [first_block, end_block) of the many channels.
    void run(const Image& image, int64_t first_block, int64_t end_block) const;
    void expand_rows(const Image& image, int64_t first, int64_t width, int64_t row, int64_t rows, float* to) const;
    void add_products(const float* band, int64_t first, int64_t width, int64_t pixels, const Epilogue& end,
                      float* y) const;

    int64_t in_h_, in_w_, in_c_, out_h_, out_w_, out_c_, channels_, stride_, pad_top_, pad_left_;
    int64_t columns_;                 // of a panel
    int64_t rows_, block_, blocks_;   // rows of a band; channels of a block; blocks
    int64_t parts_, out_panels_;      // tasks that share an image; panels of the result
    AlignedArray<float> expand_;      // [panels of the many channels, B, columns]
    AlignedArray<float> depthwise_;   // [blocks, 9, channels of the block]
    AlignedArray<float> project_;     // [blocks, out_panels, channels of the block, columns]
};

}  // namespace lathe::kernels
