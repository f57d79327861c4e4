#pragma once
#include <cstdint>

// Not for variants.inc: functions here are shared by files compiled for different instruction sets.
namespace lathe::kernels {

// Results that no cache will keep are written past them. On a machine with 8 bytes/ns of memory, filling 75 MB took
// a third of the time; below some 16 MB the next reader finds them in the third-level cache.
inline bool streams(const void* results, int64_t row, int64_t count) {
    return count >= 1 << 22 && row % 16 == 0 && reinterpret_cast<uintptr_t>(results) % 64 == 0;
}

}  // namespace lathe::kernels
