#pragma once
#include <cstdint>

#include "lathe/core/kernels/dispatch/epilogue.h"

namespace lathe::kernels {

// The transforms of Winograd convolution F(4x4, 3x3) on squares of pixels whose channels are contiguous. A square on
// the multiplication's side has 6 x 6 points `step` floats apart; `in` and `out` of the other side are an address a
// pixel, row by row. Points are read and written in whole vectors, the rest of the last one as zeros.
struct WinogradTable {
    // From 6x6 input pixels, 3x3 filter taps, and 4x4 gradients of results.
    void (*input)(int64_t channels, const float* const* in, float* out, int64_t step);
    void (*filter)(int64_t channels, const float* const* in, float* out, int64_t step);
    void (*gradient)(int64_t channels, const float* const* in, float* out, int64_t step);
    // To 4x4 results and to the gradients of 3x3 filter taps; `stream` writes past the caches.
    void (*output)(int64_t channels, const float* in, int64_t step, const Epilogue& epilogue, float* const* out,
                   bool stream);
    void (*filter_gradient)(int64_t channels, const float* in, int64_t step, const Epilogue& epilogue,
                            float* const* out, bool stream);
};

}  // namespace lathe::kernels
