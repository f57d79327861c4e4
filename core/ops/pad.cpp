#include "lathe/core/ops/pad.h"

#include <algorithm>

#include "lathe/core/kernels/rows/copy_box.h"

namespace lathe::ops {

namespace {

Variable padded(const Variable& x, const std::vector<PadWidth>& widths, double value, bool centred) {
    const int rank = x.value().rank();
    check(static_cast<int>(widths.size()) == rank, "pad: expected widths for the ", rank, " axes of ", x.shape(), ", got ",
          widths.size());
    Shape shape;
    for (int i = 0; i < rank; ++i) {
        check(widths[i].before >= 0 && widths[i].after >= 0, "pad: expected widths of at least 0, got ", widths[i].before,
              " and ", widths[i].after);
        shape.push_back(widths[i].before + x.dim(i) + widths[i].after);
    }
    if (shape == x.shape()) return x;
    int64_t corner = 0;  // where x's first element lands, in bytes
    for (int i = 0; i < rank; ++i) corner = corner * shape[i] + widths[i].before;
    corner *= static_cast<int64_t>(size_of(x.dtype()));

    Tensor y = Tensor::full(shape, value, x.dtype());
    kernels::copy_box(x.shape(), size_of(x.dtype()), x.value().raw(), x.shape(), y.mutable_raw() + corner, shape);

    auto backward = [x_shape = x.shape(), shape, corner](Tensor dy) {  // dx is dy without its border
        Tensor dx(x_shape, dy.dtype());
        kernels::copy_box(x_shape, size_of(dy.dtype()), dy.raw() + corner, shape, dx.mutable_raw(), x_shape);
        return Gradients{dx};
    };
    auto attributes = [&] {
        std::vector<int64_t> before, after;
        for (const PadWidth& width : widths) {
            before.push_back(width.before);
            after.push_back(width.after);
        }
        return Attributes{{"before", before}, {"after", after}, {"value", value}, {"centred", int64_t{centred}}};
    };
    return record("pad", {&x}, std::move(y), std::move(backward), attributes);
}

}  // namespace

Variable pad(const Variable& x, const std::vector<PadWidth>& widths, double value) { return padded(x, widths, value, false); }

Variable pad(const Variable& x, const Padding& padding, double value) {
    check(x.value().rank() == 4, "pad: expected x [N, H, W, C], got ", x.shape());
    return pad(x, {{}, {padding.top, padding.bottom}, {padding.left, padding.right}, {}}, value);
}

Variable pad_channels(const Variable& x, int64_t channels) {
    check(x.value().rank() >= 1 && channels >= x.shape().back(), "pad_channels: expected x [.., C] of at most ", channels,
          " channels, got ", x.shape());
    const int64_t more = channels - x.shape().back();
    std::vector<PadWidth> widths(static_cast<size_t>(x.value().rank()));
    widths.back() = {more / 2, more - more / 2};
    return padded(x, widths, 0, true);
}

}  // namespace lathe::ops
