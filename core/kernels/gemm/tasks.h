#pragma once
#include <cstdint>

namespace lathe::kernels {

constexpr int64_t kSerialMacs = 1 << 17;  // below it, waking a thread takes longer than the product
constexpr int64_t kTasks = 16;            // of a product that is divided, about

}  // namespace lathe::kernels
