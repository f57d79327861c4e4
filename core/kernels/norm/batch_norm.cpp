#include "lathe/core/kernels/norm/batch_norm.h"

#include <algorithm>
#include <numeric>

#include "lathe/core/ceil_div.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/dispatch/streaming.h"
#include "lathe/core/kernels/norm/batch_norm_portable.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {

// The kernels of a type: float's for this CPU, double's the portable ones.
const BatchNormTable& batch_norm_kernels(float) { return table().batch_norm; }
portable::BatchNorm<double> batch_norm_kernels(double) { return {}; }

constexpr int64_t kVector = 16;            // floats in the widest vector register
constexpr int64_t kTaskElements = 1 << 15;  // a task pays for handing it to a thread
constexpr int64_t kTaskRows = 32;           // … and for adding up its sums
constexpr int64_t kChunkRows = 64;         // float32 sums of so many terms, then float64

// How the rows are cut. Several rows are treated as one wide one (`fold`), so that its width is a multiple of any
// vector's and no kernel runs a tail: [n, 24] becomes [n / 2, 48]. The last n % fold rows go through the kernels one by
// one.
struct Split {
    int64_t n, channels, fold, grain, tasks;

    Split(int64_t n, int64_t channels) : n(n), channels(channels), fold(kVector / std::gcd(channels, kVector)) {
        grain = fold * std::max(kTaskRows, kTaskElements / (channels * fold));
        tasks = ceil_div(n, grain);
    }
    int64_t width() const { return channels * fold; }

    // f(offset of the first element, rows, width of a row) for the folded rows of a task and for those left over.
    template <class F>
    void rows(int64_t task, F&& f) const {
        const int64_t begin = task * grain, end = std::min(n, begin + grain), folded = (end - begin) / fold;
        if (folded) f(begin * channels, folded, width());
        if (const int64_t left = (end - begin) % fold) f((end - left) * channels, left, channels);
    }

    // The same for all tasks, the last one first: the end of x is still in the caches from the sums before, and the
    // beginning of the result will be when the next op starts there.
    template <class F>
    void last_first(F&& f) const {
        parallel_tasks(tasks, [&](int64_t task) { rows(tasks - 1 - task, f); });
    }
};

// Per-channel values repeated `fold` times.
template <class T>
class Folded {
public:
    explicit Folded(const Split& split) : split_(split), memory_(static_cast<size_t>(split.width()) * 5) {}
    const T* operator()(const T* values) {
        if (split_.fold == 1) return values;
        T* copy = memory_.data() + split_.width() * used_++;
        for (int64_t i = 0; i < split_.fold; ++i) std::copy_n(values, split_.channels, copy + i * split_.channels);
        return copy;
    }
    ChannelAffine<T> operator()(const ChannelAffine<T>& a) {
        return {(*this)(a.mean), (*this)(a.scale), (*this)(a.bias), a.activation};
    }
    ChannelGradient<T> operator()(const ChannelGradient<T>& g) { return {(*this)(g.slope), (*this)(g.constant)}; }

private:
    const Split& split_;
    Workspace<T> memory_;
    int used_ = 0;
};

// Two sums over the rows: kernel(offset, rows, width, T* first, T* second) adds those of a few rows to zeroed arrays;
// chunks are added in float64, first within a task, then task by task.
template <class T, class Kernel>
void two_sums(const Split& split, double* first, double* second, Kernel&& kernel) {
    const int64_t c = split.channels;
    Workspace<double> partial(static_cast<size_t>(split.tasks * 2 * c));
    parallel_tasks(split.tasks, [&](int64_t task) {
        double* total = partial.data() + task * 2 * c;
        std::fill_n(total, 2 * c, 0.0);
        Workspace<T> chunk(static_cast<size_t>(2 * split.width()));
        split.rows(task, [&](int64_t offset, int64_t rows, int64_t width) {
            for (int64_t i = 0; i < rows; i += kChunkRows) {
                std::fill_n(chunk.data(), 2 * width, T(0));
                kernel(offset + i * width, std::min(kChunkRows, rows - i), width, chunk.data(), chunk.data() + width);
                for (int64_t j = 0; j < 2 * width; j += c)
                    for (int64_t k = 0; k < c; ++k) total[(j < width ? 0 : c) + k] += chunk.data()[j + k];
            }
        });
    });
    std::fill_n(first, c, 0.0);
    std::fill_n(second, c, 0.0);
    for (int64_t task = 0; task < split.tasks; ++task)
        for (int64_t k = 0; k < c; ++k) {
            first[k] += partial.data()[task * 2 * c + k];
            second[k] += partial.data()[task * 2 * c + c + k];
        }
}

}  // namespace

template <class T>
void channel_moments(int64_t n, int64_t channels, const T* x, double* mean, double* variance) {
    if (n == 0) {  // there is no first row to shift by
        std::fill_n(mean, channels, 0.0);
        std::fill_n(variance, channels, 0.0);
        return;
    }
    const Split split(n, channels);
    Folded<T> folded(split);
    const T* shift = folded(x);
    two_sums<T>(split, mean, variance, [&](int64_t offset, int64_t rows, int64_t width, T* sum, T* squares) {
        batch_norm_kernels(T{}).moments(rows, width, x + offset, shift, sum, squares);
    });
    for (int64_t c = 0; c < channels; ++c) {
        const double d = mean[c] / static_cast<double>(n);
        variance[c] = std::max(0.0, variance[c] / static_cast<double>(n) - d * d);
        mean[c] = static_cast<double>(x[c]) + d;
    }
}

template <class T>
void batch_norm_forward(int64_t n, int64_t channels, const T* x, const ChannelAffine<T>& affine, T* y) {
    const Split split(n, channels);
    Folded<T> folded(split);
    const ChannelAffine<T> a = folded(affine);
    const bool stream = std::is_same_v<T, float> && streams(y, split.width(), n * channels);
    split.last_first([&](int64_t offset, int64_t rows, int64_t width) {
        batch_norm_kernels(T{}).forward(rows, width, x + offset, a, y + offset, stream && width == split.width());
    });
}

template <class T>
void batch_norm_sums(int64_t n, int64_t channels, const T* x, const T* dy, const ChannelAffine<T>& affine, double* sum,
                     double* product) {
    const Split split(n, channels);
    Folded<T> folded(split);
    const ChannelAffine<T> a = folded(affine);
    two_sums<T>(split, sum, product, [&](int64_t offset, int64_t rows, int64_t width, T* first, T* second) {
        batch_norm_kernels(T{}).sums(rows, width, x + offset, dy + offset, a, first, second);
    });
}

template <class T>
void batch_norm_backward(int64_t n, int64_t channels, const T* x, const T* dy, const ChannelAffine<T>& affine,
                         const ChannelGradient<T>& gradient, T* dx) {
    const Split split(n, channels);
    Folded<T> folded(split);
    const ChannelAffine<T> a = folded(affine);
    const ChannelGradient<T> g = folded(gradient);
    split.last_first([&](int64_t offset, int64_t rows, int64_t width) {
        batch_norm_kernels(T{}).backward(rows, width, x + offset, dy + offset, a, g, dx + offset);
    });
}

template void channel_moments(int64_t, int64_t, const float*, double*, double*);
template void channel_moments(int64_t, int64_t, const double*, double*, double*);
template void batch_norm_forward(int64_t, int64_t, const float*, const ChannelAffine<float>&, float*);
template void batch_norm_forward(int64_t, int64_t, const double*, const ChannelAffine<double>&, double*);
template void batch_norm_sums(int64_t, int64_t, const float*, const float*, const ChannelAffine<float>&, double*,
                              double*);
template void batch_norm_sums(int64_t, int64_t, const double*, const double*, const ChannelAffine<double>&, double*,
                              double*);
template void batch_norm_backward(int64_t, int64_t, const float*, const float*, const ChannelAffine<float>&,
                                  const ChannelGradient<float>&, float*);
template void batch_norm_backward(int64_t, int64_t, const double*, const double*, const ChannelAffine<double>&,
                                  const ChannelGradient<double>&, double*);

}  // namespace lathe::kernels
