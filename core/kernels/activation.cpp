#include "lathe/core/kernels/activation.h"

#include "lathe/core/kernels/activation_portable.h"
#include "lathe/core/kernels/dispatch.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels {

namespace {
constexpr int64_t kGrain = 1 << 15;  // elements a task: long enough to pay for handing it to a thread
}

void relu_forward(int64_t n, const float* x, float* y) {
    parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
        table().activation.relu_forward(end - begin, x + begin, y + begin);
    });
}
void relu_forward(int64_t n, const double* x, double* y) { portable::relu_forward(n, x, y); }

void relu_backward(int64_t n, const float* y, const float* dy, float* dx) {
    parallel_for(n, kGrain, [=](int64_t begin, int64_t end) {
        table().activation.relu_backward(end - begin, y + begin, dy + begin, dx + begin);
    });
}
void relu_backward(int64_t n, const double* y, const double* dy, double* dx) { portable::relu_backward(n, y, dy, dx); }

}  // namespace lathe::kernels
