#include "lathe/core/measure/peak.h"

#include <algorithm>
#include <atomic>
#include <chrono>

#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/integer/table.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe {

namespace {

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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

float burn_baseline(float start) { return burn<Float4>(start); }
#ifdef __x86_64__
[[gnu::target("avx2,fma")]] float burn_avx2(float start) { return burn<Float8>(start); }
[[gnu::target("avx512f,prefer-vector-width=512")]] float burn_avx512(float start) { return burn<Float16>(start); }
#endif

// Billions of operations a second of `run`, each call of which does so many.
template <class Run>
double peak_of(double operations, const Run& run) {
    double best = 0;  // of several windows of 4 ms
    for (int window = 0; window < 6; ++window) {
        std::atomic<int64_t> stretches{0};
        const double start = seconds();
        parallel_tasks(threads(), [&](int64_t) {
            while (seconds() - start < 0.004) {
                run();
                ++stretches;
            }
        });
        best = std::max(best, operations * static_cast<double>(stretches) / (seconds() - start) * 1e-9);
    }
    return best;
}

std::atomic<float> sink{0};  // keeps the compiler from dropping the work

}  // namespace

double peak_gflops() {
    float (*run)(float) = burn_baseline;
    int lanes = 4;
#ifdef __x86_64__
    const kernels::Isa isa = kernels::active_isa();
    if (isa == kernels::Isa::avx2 || isa == kernels::Isa::avx_vnni) run = burn_avx2, lanes = 8;
    if (isa == kernels::Isa::avx512 || isa == kernels::Isa::amx) run = burn_avx512, lanes = 16;
#endif
    return peak_of(2.0 * lanes * kChains * kRounds, [&] { sink = run(1e-3f); });
}

double peak_integer_gops() {
    const kernels::integer::Table& table = kernels::integer::table();
    return peak_of(static_cast<double>(table.burnt), [&] { sink = static_cast<float>(table.burn(3)); });
}

double peak_bandwidth() {
    constexpr int64_t kCount = 16 << 20, kGrain = 1 << 16;  // two arrays of 64 MiB
    Workspace<float> from(kCount), into(kCount);
    std::fill_n(from.data(), kCount, 1.0f);
    std::fill_n(into.data(), kCount, 1.0f);
    double best = 0;
    for (int round = 0; round < 4; ++round) {
        const double start = seconds();
        parallel_for(kCount, kGrain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) into[static_cast<size_t>(i)] += from[static_cast<size_t>(i)];
        });
        best = std::max(best, 3.0 * sizeof(float) * kCount / (seconds() - start) * 1e-9);
    }
    return best;
}

}  // namespace lathe
