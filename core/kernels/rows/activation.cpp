#include "lathe/core/kernels/rows/activation.h"

#include "lathe/core/kernels/rows/activation_portable.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {
constexpr int64_t kGrain = 1 << 15;  // elements a task: long enough to pay for handing it to a thread
}

template <class T>
void activation_forward(Activation activation, int64_t n, const T* x, T* y) {
    parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
        if constexpr (std::is_same_v<T, float>)
            table().activation.forward(activation, end - begin, x + begin, y + begin);
        else portable::activation_forward(activation, end - begin, x + begin, y + begin);
    });
}

template <class T>
void activation_backward(Activation activation, int64_t n, const T* saved, const T* dy, T* dx) {
    parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
        if constexpr (std::is_same_v<T, float>)
            table().activation.backward(activation, end - begin, saved + begin, dy + begin, dx + begin);
        else portable::activation_backward(activation, end - begin, saved + begin, dy + begin, dx + begin);
    });
}

template void activation_forward(Activation, int64_t, const float*, float*);
template void activation_forward(Activation, int64_t, const double*, double*);
template void activation_backward(Activation, int64_t, const float*, const float*, float*);
template void activation_backward(Activation, int64_t, const double*, const double*, double*);

}  // namespace lathe::kernels
