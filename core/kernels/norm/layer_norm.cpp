#include "lathe/core/kernels/norm/layer_norm.h"

#include <algorithm>

#include "lathe/core/ceil_div.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/norm/layer_norm_portable.h"
#include "lathe/core/kernels/rows/rows.h"

namespace lathe::kernels {

namespace {

const LayerNormTable& layer_norm_kernels(float) { return table().layer_norm; }
portable::LayerNorm<double> layer_norm_kernels(double) { return {}; }

}  // namespace

template <class T>
void layer_norm_forward(int64_t rows, int64_t width, const T* x, const T* weight, const T* bias, double eps, T* y,
                        T* mean, T* inv_std) {
    parallel_for(rows, row_grain(width), [=](int64_t begin, int64_t end) {
        layer_norm_kernels(T{}).forward(end - begin, width, x + begin * width, weight, bias, static_cast<T>(eps),
                                y + begin * width, mean + begin, inv_std + begin);
    });
}

template <class T>
void layer_norm_backward(int64_t rows, int64_t width, const T* x, const T* dy, const T* weight, const T* mean,
                         const T* inv_std, T* dx, T* dweight, T* dbias) {
    const int64_t grain = row_grain(width), tasks = ceil_div(rows, grain);
    Workspace<T> partial(static_cast<size_t>(tasks * 2 * width));
    parallel_tasks(tasks, [&](int64_t task) {
        const int64_t begin = task * grain, count = std::min(grain, rows - begin);
        T* sums = partial.data() + task * 2 * width;
        std::fill_n(sums, 2 * width, T(0));
        layer_norm_kernels(T{}).backward(count, width, x + begin * width, dy + begin * width, weight, mean + begin,
                                 inv_std + begin, dx + begin * width, sums, sums + width);
    });
    for (int64_t j = 0; j < width; ++j) {
        double weight_sum = 0, bias_sum = 0;
        for (int64_t task = 0; task < tasks; ++task) {
            weight_sum += static_cast<double>(partial[task * 2 * width + j]);
            bias_sum += static_cast<double>(partial[task * 2 * width + width + j]);
        }
        dweight[j] = static_cast<T>(weight_sum);
        dbias[j] = static_cast<T>(bias_sum);
    }
}

template void layer_norm_forward(int64_t, int64_t, const float*, const float*, const float*, double, float*, float*,
                                 float*);
template void layer_norm_forward(int64_t, int64_t, const double*, const double*, const double*, double, double*,
                                 double*, double*);
template void layer_norm_backward(int64_t, int64_t, const float*, const float*, const float*, const float*,
                                  const float*, float*, float*, float*);
template void layer_norm_backward(int64_t, int64_t, const double*, const double*, const double*, const double*,
                                  const double*, double*, double*, double*);

}  // namespace lathe::kernels
