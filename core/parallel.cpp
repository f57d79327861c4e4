#include "lathe/core/parallel.h"

#include <omp.h>

#include <algorithm>
#include <exception>
#include <mutex>

#include "lathe/core/error.h"

namespace lathe {

int threads() { return omp_get_max_threads(); }

void set_threads(int count) {
    check(count >= 1, "threads: expected at least 1, got ", count);
    omp_set_num_threads(count);
}

bool in_parallel() { return omp_in_parallel(); }

void detail::run_tasks(int64_t tasks, const void* body, void (*call)(const void* body, int64_t task)) {
    const int workers = static_cast<int>(std::min<int64_t>(tasks, threads()));
    if (workers < 2 || in_parallel()) {
        for (int64_t task = 0; task < tasks; ++task) call(body, task);
        return;
    }
    std::exception_ptr error;
    std::mutex error_mutex;
#pragma omp parallel for schedule(dynamic, 1) num_threads(workers)
    for (int64_t task = 0; task < tasks; ++task) {
        try {
            call(body, task);
        } catch (...) {
            std::lock_guard lock(error_mutex);
            if (!error) error = std::current_exception();
        }
    }
    if (error) std::rethrow_exception(error);
}

}  // namespace lathe
