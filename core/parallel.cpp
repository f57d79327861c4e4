#include "lathe/core/parallel.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "lathe/core/error.h"

namespace lathe {

namespace {

thread_local bool inside_region = false;

int cores() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
    return std::max(1u, std::thread::hardware_concurrency());
}

int usual_threads() {
    const char* wanted = std::getenv("OMP_NUM_THREADS");
    const int count = wanted ? std::atoi(wanted) : 0;
    return count >= 1 ? count : cores();
}

// A thread that waits looks again for this many pauses (some 20 microseconds) before it sleeps: regions follow each
// other closely, but a thread that spins longer takes the core from somebody who could use it.
constexpr int kSpins = 500;

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Ready>
bool spin_until(Ready&& ready) {
    for (int i = 0; i < kSpins; ++i) {
        if (ready()) return true;
        pause();
    }
    return ready();
}

// The threads that help with parallel regions, one region at a time. Why not OpenMP: its threads spin for milliseconds
// after each region unless an environment variable forbids it before the program starts, which a library cannot set;
// with another process on the machine training then takes several times as long.
class Pool {
public:
    ~Pool() {
        {
            std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        for (std::thread& helper : helpers_) helper.join();
    }

    // False when another thread's region is running.
    bool try_run(int workers, int64_t tasks, const void* body, void (*call)(const void*, int64_t)) {
        std::unique_lock region(region_, std::try_to_lock);
        if (!region) return false;
        while (static_cast<int>(helpers_.size()) < workers - 1)
            helpers_.emplace_back([this, index = static_cast<int>(helpers_.size())] { help(index); });
        {
            std::lock_guard lock(mutex_);
            tasks_ = tasks, body_ = body, call_ = call, error_ = nullptr;
            wanted_ = workers - 1;
            next_.store(0, std::memory_order_relaxed);
            region_number_.fetch_add(1, std::memory_order_release);
        }
        wake_.notify_all();
        work();
        std::unique_lock lock(mutex_);
        wanted_ = 0;  // who has not come by now need not
        if (helping_.load() > 0) {
            lock.unlock();
            spin_until([&] { return helping_.load() == 0; });
            lock.lock();
            left_.wait(lock, [&] { return helping_.load() == 0; });
        }
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
        return true;
    }

private:
    void help(int index) {
        inside_region = true;
        uint64_t seen = 0;
        while (true) {
            spin_until([&] { return region_number_.load(std::memory_order_acquire) != seen; });
            {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, [&] { return stopping_ || region_number_.load() != seen; });
                if (stopping_) return;
                seen = region_number_.load();
                if (index >= wanted_) continue;
                helping_.fetch_add(1);
            }
            work();
            std::lock_guard lock(mutex_);
            if (helping_.fetch_sub(1) == 1) left_.notify_one();
        }
    }

    void work() {
        const bool outer = std::exchange(inside_region, true);
        for (int64_t task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) {
            try {
                call_(body_, task);
            } catch (...) {
                std::lock_guard lock(mutex_);
                if (!error_) error_ = std::current_exception();
            }
        }
        inside_region = outer;
    }

    std::mutex region_;  // held by the thread whose region runs
    std::vector<std::thread> helpers_;

    std::mutex mutex_;  // guards what follows, but for the atomics
    std::condition_variable wake_, left_;
    bool stopping_ = false;
    int wanted_ = 0;  // helpers below this index may join
    int64_t tasks_ = 0;
    const void* body_ = nullptr;
    void (*call_)(const void*, int64_t) = nullptr;
    std::exception_ptr error_;
    std::atomic<uint64_t> region_number_{0};
    std::atomic<int> helping_{0};
    std::atomic<int64_t> next_{0};
};

Pool& pool() {
    static Pool pool;
    return pool;
}

std::atomic<int>& thread_count() {
    static std::atomic<int> count{usual_threads()};
    return count;
}

}  // namespace

int threads() { return thread_count(); }

void set_threads(int count) {
    check(count >= 1, "threads: expected at least 1, got ", count);
    thread_count() = count;
}

bool in_parallel() { return inside_region; }

void detail::run_tasks(int64_t tasks, const void* body, void (*call)(const void* body, int64_t task)) {
    const int workers = static_cast<int>(std::min<int64_t>(tasks, threads()));
    if (workers > 1 && !inside_region && pool().try_run(workers, tasks, body, call)) return;
    for (int64_t task = 0; task < tasks; ++task) call(body, task);
}

}  // namespace lathe
