#pragma once
#include <ctime>

#include "lathe/core/parallel.h"

// With one thread its own time, which other programs on the machine disturb less.
inline double seconds() {
    timespec now;
    clock_gettime(lathe::threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}
