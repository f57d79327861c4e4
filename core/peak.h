#pragma once
#include <algorithm>
#include <atomic>
#include <chrono>

#include "lathe/core/kernels/dispatch.h"
#include "lathe/core/parallel.h"

namespace lathe::bench {

inline double seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

namespace detail {

using Float4 [[gnu::vector_size(16)]] = float;
using Float8 [[gnu::vector_size(32)]] = float;
using Float16 [[gnu::vector_size(64)]] = float;

constexpr int kChains = 12;  // independent sums: enough to hide the latency of a multiply-add
constexpr int64_t kRounds = 4000;

// One stretch of multiply-adds on registers; always inlined, so that it is compiled for its caller's instruction set.
template <class Vec>
[[gnu::always_inline]] inline float burn(float start) {
    Vec sum[kChains], factor = Vec{} + 0.999f, term = Vec{} + start;
    for (int i = 0; i < kChains; ++i) sum[i] = Vec{} + static_cast<float>(i);
    for (int64_t round = 0; round < kRounds; ++round)
        for (int i = 0; i < kChains; ++i) sum[i] = sum[i] * factor + term;
    float total = 0;
    for (int i = 0; i < kChains; ++i) total += sum[i][0];
    return total;
}

inline float burn_baseline(float start) { return burn<Float4>(start); }
#ifdef __x86_64__
[[gnu::target("avx2,fma")]] inline float burn_avx2(float start) { return burn<Float8>(start); }
[[gnu::target("avx512f,prefer-vector-width=512")]] inline float burn_avx512(float start) { return burn<Float16>(start); }
#endif

}  // namespace detail

// What the multipliers of this machine give at this moment: GFLOP/s of fused multiply-adds on registers, on all threads
// together, of the vector width that Lathe's kernels run with. The best of several windows of 4 ms.
inline double peak_gflops() {
    float (*run)(float) = detail::burn_baseline;
    int lanes = 4;
#ifdef __x86_64__
    if (kernels::active_isa() == kernels::Isa::avx2) run = detail::burn_avx2, lanes = 8;
    if (kernels::active_isa() == kernels::Isa::avx512) run = detail::burn_avx512, lanes = 16;
#endif
    double best = 0;
    std::atomic<float> sink{0};  // keeps the compiler from dropping the work
    for (int window = 0; window < 6; ++window) {
        std::atomic<int64_t> stretches{0};
        const double start = seconds();
        parallel_tasks(threads(), [&](int64_t) {
            while (seconds() - start < 0.004) {
                sink = run(1e-3f);
                ++stretches;
            }
        });
        const double flop = 2.0 * lanes * detail::kChains * detail::kRounds * static_cast<double>(stretches);
        best = std::max(best, flop / (seconds() - start) * 1e-9);
    }
    return best;
}

}  // namespace lathe::bench
