#include "lathe/core/kernels/conv2d/inverted_residual.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/gemm/panel.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {

constexpr int64_t kMostRows = 8, kBandPixels = 64;

}  // namespace

struct InvertedResidual::Image {
    const float* x;
    float* y;
    const Epilogue &expand, &depthwise;
    Epilogue project;  // for the sum over the blocks that `run` is given
};

InvertedResidual::InvertedResidual(const Conv2dShape& expand, const float* expand_weight, const Conv2dShape& depthwise,
                                   const float* depthwise_weight, const Conv2dShape& project,
                                   const float* project_weight)
    : in_h_(expand.in_h),
      in_w_(expand.in_w),
      in_c_(expand.in_c),
      out_h_(depthwise.out_h),
      out_w_(depthwise.out_w),
      out_c_(project.out_c),
      channels_(expand.out_c),
      stride_(depthwise.stride_h),
      pad_top_(depthwise.pad_top),
      pad_left_(depthwise.pad_left),
      columns_(table().panel.columns),
      rows_(std::clamp<int64_t>(kBandPixels / out_w_, 1, std::min(kMostRows, out_h_))),
      block_(block_channels()),
      blocks_(ceil_div(channels_, block_)),
      parts_(std::min(parts_for(expand.batch), blocks_)),
      out_panels_(ceil_div(out_c_, columns_)),
      expand_(static_cast<size_t>(ceil_div(channels_, columns_) * in_c_ * columns_ + columns_)),
      depthwise_(static_cast<size_t>(channels_ * 9)),
      project_(static_cast<size_t>(channels_ * out_panels_ * columns_ + columns_)) {
    const PanelTable& kernels = table().panel;
    kernels.pack(in_c_, channels_, expand_weight, 1, in_c_, expand_.data(), in_c_ * columns_);
    for (int64_t first = 0; first < channels_; first += block_) {
        const int64_t width = std::min(block_, channels_ - first);
        for (int64_t tap = 0; tap < 9; ++tap)
            for (int64_t c = 0; c < width; ++c)
                depthwise_[static_cast<size_t>(first * 9 + tap * width + c)] = depthwise_weight[(first + c) * 9 + tap];
        kernels.pack(width, out_c_, project_weight + first, 1, channels_,
                     project_.data() + first * out_panels_ * columns_, width * columns_);
    }
}

bool InvertedResidual::suits(const Conv2dShape& expand, const Conv2dShape& depthwise, const Conv2dShape& project) {
    const auto plain = [](const Conv2dShape& g) { return g.pointwise() && g.groups == 1; };
    return plain(expand) && plain(project) && depthwise.depthwise() && depthwise.kernel_h == 3 &&
           depthwise.kernel_w == 3 && depthwise.stride_h == depthwise.stride_w && depthwise.stride_h <= 2 &&
           depthwise.dilation_h == 1 && depthwise.dilation_w == 1;
}

// As many as the first-level cache holds of a band, before and after its 3x3.
int64_t InvertedResidual::block_channels() const {
    constexpr int64_t kCacheFloats = 16 << 10, kMost = 256;
    const int64_t pixels = (rows_ * stride_ + 2) * in_w_ + rows_ * out_w_;
    return std::clamp<int64_t>(kCacheFloats / pixels / columns_ * columns_, columns_, kMost / columns_ * columns_);
}

// Few images are shared by tasks that each sum up some of the many channels; the sums are added in order. So a sum is
// written and read once more for each, which is why small blocks have but two.
int64_t InvertedResidual::parts_for(int64_t batch) const {
    constexpr int64_t kPairMacs = 1 << 22;
    const int64_t macs = channels_ * (in_h_ * in_w_ * in_c_ + out_h_ * out_w_ * (9 + out_c_));
    return ceil_div(2 * std::clamp<int64_t>(macs / kPairMacs, 1, 4), std::max<int64_t>(batch, 1));
}

int64_t InvertedResidual::bytes() const {
    return (ceil_div(channels_, columns_) * in_c_ * columns_ + channels_ * 9 + channels_ * out_panels_ * columns_) *
           static_cast<int64_t>(sizeof(float));
}

void InvertedResidual::run(const Image& image, int64_t first_block, int64_t end_block) const {
    // Row r of the many channels is at r % ring: no more are needed at once.
    const int64_t ring = std::min(rows_ * stride_ + 2, in_h_);
    Workspace<float> many(static_cast<size_t>(ring * in_w_ * block_)),  // [ring, W, channels of the block]
        band(static_cast<size_t>(rows_ * out_w_ * block_)),             // [rows, Q, channels of the block]
        zeros(static_cast<size_t>(in_w_ * block_));                     // for rows outside
    std::fill_n(zeros.data(), in_w_ * block_, 0.0f);
    for (int64_t block = first_block; block < end_block; ++block) {
        const int64_t first = block * block_, width = std::min(block_, channels_ - first);
        int64_t expanded = 0;  // rows of `many`
        for (int64_t p = 0; p < out_h_; p += rows_) {
            const int64_t results = std::min(rows_, out_h_ - p), top = p * stride_ - pad_top_;
            const int64_t needed = std::clamp<int64_t>(top + (results - 1) * stride_ + 3, expanded, in_h_);
            while (expanded < needed) {
                const int64_t at = expanded % ring, rows = std::min(needed - expanded, ring - at);
                expand_rows(image, first, width, expanded, rows, many.data() + at * in_w_ * width);
                expanded += rows;
            }
            const float* x[kMostRows * 2 + 1];
            for (int64_t r = 0; r < (results - 1) * stride_ + 3; ++r)
                x[r] = top + r >= 0 && top + r < in_h_ ? many.data() + (top + r) % ring * in_w_ * width : zeros.data();
            table().depthwise.correlate_3x3(
                {.channels = width, .in_w = in_w_, .rows = results, .out_w = out_w_, .first = -pad_left_,
                 .step = stride_, .x = x, .weight = depthwise_.data() + first * 9,
                 .bias = image.depthwise.bias ? image.depthwise.bias + first : nullptr, .y = band.data(),
                 .accumulate = false, .stream = false, .low = image.depthwise.low, .high = image.depthwise.high});
            Epilogue end = image.project;
            end.accumulate |= block > first_block;
            if (block > first_block) end.bias = nullptr;
            if (block + 1 < end_block) end.low = -INFINITY, end.high = INFINITY;
            add_products(band.data(), first, width, results * out_w_, end, image.y + p * out_w_ * out_c_);
        }
    }
}

// to [rows, W, width] = the first 1x1 over `rows` rows of the image, for `width` channels from `first` on.
void InvertedResidual::expand_rows(const Image& image, int64_t first, int64_t width, int64_t row, int64_t rows,
                                   float* to) const {
    const PanelTable& kernels = table().panel;
    Panel p = empty_panel();
    p.length = in_c_;
    p.a = image.x + row * in_w_ * in_c_;
    p.a_row = in_c_;
    p.a_step = 1;
    p.b_step = columns_;
    p.c_row = width;
    p.low = image.expand.low;
    p.high = image.expand.high;
    for (int64_t c = 0; c < width; c += columns_) {
        p.vectors = 0;
        p.bias = image.expand.bias ? image.expand.bias + first + c : nullptr;
        add_columns(p, expand_.data() + (first + c) * in_c_, to + c, std::min(columns_, width - c), kernels.lanes);
        kernels.multiply(rows * in_w_, p);
    }
}

// y [pixels, K] (+)= the last 1x1's products with `width` channels from `first` on, band [pixels, width].
void InvertedResidual::add_products(const float* band, int64_t first, int64_t width, int64_t pixels,
                                    const Epilogue& end, float* y) const {
    const PanelTable& kernels = table().panel;
    Panel p = empty_panel();
    p.length = width;
    p.a = band;
    p.a_row = width;
    p.a_step = 1;
    p.b_step = columns_;
    p.c_row = out_c_;
    p.accumulate = end.accumulate;
    p.low = end.low;
    p.high = end.high;
    const float* weight = project_.data() + first * out_panels_ * columns_;
    for (int64_t k = 0; k < out_c_; k += columns_, weight += width * columns_) {
        p.vectors = 0;
        p.bias = end.bias ? end.bias + k : nullptr;
        add_columns(p, weight, y + k, std::min(columns_, out_c_ - k), kernels.lanes);
        kernels.multiply(pixels, p);
    }
}

void InvertedResidual::forward(int64_t batch, const float* x, const Epilogue& expand, const Epilogue& depthwise,
                               const Epilogue& project, const float* addend, float* y) const {
    if (batch == 0) return;
    const PaddedBias many_bias(expand.bias, channels_, columns_), bias(project.bias, out_c_, columns_);
    Epilogue many = expand, end = project;
    many.bias = many_bias.data();
    end.bias = bias.data();
    const int64_t parts = parts_, size = out_h_ * out_w_ * out_c_;
    Epilogue first = end;
    if (parts > 1) first.low = -INFINITY, first.high = INFINITY;
    Workspace<float> sums(static_cast<size_t>(batch * (parts - 1) * size));
    parallel_tasks(batch * parts, [&](int64_t task) {
        const auto [n, part] = divmod(task, parts);
        const float* from = x + n * in_h_ * in_w_ * in_c_;
        const int64_t begin = blocks_ * part / parts, last = blocks_ * (part + 1) / parts;
        if (part == 0 && addend && addend != y) std::copy_n(addend + n * size, size, y + n * size);
        if (part == 0) run({from, y + n * size, many, depthwise, first}, begin, last);
        else run({from, sums.data() + (n * (parts - 1) + part - 1) * size, many, depthwise, {}}, begin, last);
    });
    if (parts == 1) return;
    const int64_t pieces = ceil_div(size, 1 << 13);
    parallel_tasks(batch * pieces, [&](int64_t task) {
        const auto [n, piece] = divmod(task, pieces);
        const int64_t begin = size * piece / pieces, last = size * (piece + 1) / pieces;
        float* to = y + n * size;
        for (int64_t part = 0; part < parts - 1; ++part) {
            const float* more = sums.data() + (n * (parts - 1) + part) * size;
            for (int64_t i = begin; i < last; ++i) to[i] += more[i];
        }
        if (end.low > -INFINITY || end.high < INFINITY)
            for (int64_t i = begin; i < last; ++i) to[i] = std::clamp(to[i], end.low, end.high);
    });
}

}  // namespace lathe::kernels
