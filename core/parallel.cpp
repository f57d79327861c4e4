#include "lathe/core/parallel.h"

#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
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

// A thread that waits looks again for this long before it sleeps: regions follow each other closely, and waking takes
// longer than most of them, but a thread that spins on takes the core from somebody who could use it.
constexpr std::chrono::microseconds kSpinTime{50};

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

template <class Ready>
bool spin_until(Ready&& ready) {
    using Clock = std::chrono::steady_clock;
    for (const auto end = Clock::now() + kSpinTime; Clock::now() < end;)
        for (int i = 0; i < 16; ++i) {
            if (ready()) return true;
            pause();
        }
    return ready();
}

// Moves the calling thread off `cpu`, unless it may run nowhere else. The system tends to wake a helper where its
// caller runs, and then the two take turns on one core while another is idle.
void leave_cpu(int cpu) {
    static const cpu_set_t allowed = [] {
        cpu_set_t set;
        CPU_ZERO(&set);
        sched_getaffinity(getpid(), sizeof set, &set);
        return set;
    }();
    cpu_set_t others = allowed;
    CPU_CLR(static_cast<size_t>(cpu), &others);
    if (CPU_COUNT(&others) > 0) sched_setaffinity(0, sizeof others, &others);
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
        tasks_ = tasks, body_ = body, call_ = call, error_ = nullptr;
        wanted_ = workers - 1;
        cpu_ = sched_getcpu();
        next_ = 0;
        gate_ = (gate_ / kRegion + 1) * kRegion;
        if (sleepers_ > 0) {
            { std::lock_guard lock(mutex_); }  // who is about to sleep does so before it is woken
            wake_.notify_all();
        }
        work();
        gate_ |= kClosed;  // who has not come by now need not
        const auto empty = [&] { return gate_ % kClosed == 0; };
        if (!spin_until(empty)) {
            std::unique_lock lock(mutex_);
            waiting_ = true;
            left_.wait(lock, empty);
            waiting_ = false;
        }
        if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
        return true;
    }

private:
    void help(int index) {
        inside_region = true;
        uint64_t seen = 0;
        while (true) {
            const auto called = [&] { return stopping_ || gate_ / kRegion != seen; };
            if (!spin_until(called)) {
                std::unique_lock lock(mutex_);
                ++sleepers_;
                wake_.wait(lock, called);
                --sleepers_;
            }
            if (stopping_) return;
            uint64_t gate = gate_;
            seen = gate / kRegion;
            if (const int cpu = cpu_; cpu >= 0 && cpu == sched_getcpu()) leave_cpu(cpu);
            if (index >= wanted_ || !enter(gate)) continue;
            work();
            if (--gate_ % kRegion == kClosed && waiting_) {
                std::lock_guard lock(mutex_);
                left_.notify_one();
            }
        }
    }

    // One helper more inside the region that `gate` shows, unless it is closed or over.
    bool enter(uint64_t gate) {
        for (const uint64_t region = gate / kRegion; gate / kRegion == region && gate % kRegion < kClosed;)
            if (gate_.compare_exchange_weak(gate, gate + 1)) return true;
        return false;
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

    // gate_ counts regions in its upper bits and the helpers inside in its lower ones; between them it says that the
    // region is closed. What a region is about is written while nobody is inside and read by who has entered.
    static constexpr uint64_t kClosed = 1 << 16, kRegion = 1 << 17;
    std::atomic<uint64_t> gate_{kClosed};
    alignas(64) std::atomic<int64_t> next_{0};
    alignas(64) std::atomic<int> wanted_{0};  // helpers below this index may enter
    std::atomic<int> cpu_{-1};                // where the caller runs
    int64_t tasks_ = 0;
    const void* body_ = nullptr;
    void (*call_)(const void*, int64_t) = nullptr;

    std::mutex region_;  // held by the thread whose region runs
    std::vector<std::thread> helpers_;

    std::mutex mutex_;  // of those who sleep, and of error_
    std::condition_variable wake_, left_;
    std::atomic<int> sleepers_{0};
    std::atomic<bool> waiting_{false}, stopping_{false};
    std::exception_ptr error_;
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
