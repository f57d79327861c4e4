#include "lathe/core/parallel.h"

#include <omp.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <utility>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/measure/cgroup.h"

#ifdef __SANITIZE_THREAD__
// The thread sanitizer sees nothing of what the OpenMP runtime does. So threads find their region by an atomic, not
// among the variables that the runtime hands them, and this tells who waits for whom at its end.
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace lathe {

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

// Whether a team pays. A region ends when its last thread arrives, and one that the system has put aside for another
// process may take milliseconds to. So it is noted what regions took, and what they would have taken the calling thread
// alone: its time for a task, times the tasks (nothing where it came too late for any). Where teams have lost time
// lately, the next regions run alone, for kPatience times as long as was lost; then teams are tried again.
class TeamRecord {
public:
    bool pays() const { return Clock::now() >= alone_until_; }

    void add(double took, double alone) {
        took_ += took;
        alone_ += alone;
        if (took_ > kWindow) took_ /= 2, alone_ /= 2;
        if (took_ < alone_ + kAllowance) return;
        alone_until_ =
            Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(kPatience * (took_ - alone_)));
        took_ = alone_ = 0;
    }

private:
    static constexpr double kWindow = 10e-3;  // seconds of regions that count
    static constexpr double kAllowance = 100e-6;
    static constexpr double kPatience = 16;

    double took_ = 0, alone_ = 0;
    Clock::time_point alone_until_{};
};

thread_local bool inside = false;  // a body that run_tasks calls

struct InsideScope {
    const bool before = std::exchange(inside, true);
    ~InsideScope() { inside = before; }
};

// One team at a time: a second caller runs its tasks itself.
std::mutex team;
TeamRecord record;  // of who holds `team`
std::atomic<bool> forked{false};

// The threads of a team stay behind when a process forks, and the runtime would wait for them.
const int at_fork = pthread_atfork(nullptr, nullptr, [] { forked = true; });

// OMP_NUM_THREADS, else the cores: of those, OpenMP knows what the process is bound to, but not a container's share.
int usual_threads() {
    const int most = omp_get_max_threads();
    return std::getenv("OMP_NUM_THREADS") ? most : std::min(most, usable_cores());
}

std::atomic<int>& thread_count() {
    static std::atomic<int> count{usual_threads()};
    return count;
}

// Part of a region's tasks, neighbours of each other; `next` is the first that no thread has taken.
struct alignas(64) Share {
    std::atomic<int64_t> next;
    int64_t end;
};

// Every thread begins with a share of its own, so that in one region after another the same rows of a map or images of
// a batch are the same core's, and lie in its caches; only then it helps with the other shares ("affinity scheduling",
// Markatos and LeBlanc 1994).
struct Region {
    int64_t tasks;
    const void* body;
    void (*call)(const void*, int64_t);
    std::vector<Share>& shares;
    std::exception_ptr error{};
    std::mutex error_lock{};
    Clock::time_point caller_done{};
    int64_t caller_tasks = 0;

    static inline std::atomic<Region*> current{};  // of who holds `team`

    void run_task(int64_t task) {
        try {
            call(body, task);
        } catch (...) {
            const std::lock_guard lock(error_lock);
            if (!error) error = std::current_exception();
        }
    }

    // A thread's part of it. (The runtime may have given fewer threads than there are shares.)
    void work() {
        const InsideScope scope;
        const size_t me = static_cast<size_t>(omp_get_thread_num()), count = shares.size();
        int64_t done = 0;
        for (size_t i = 0; i < count; ++i) {
            Share& share = shares[(me + i) % count];
            // Looked at before it is written: many threads may come to a share that is empty.
            while (share.next.load(std::memory_order_relaxed) < share.end) {
                const int64_t task = share.next.fetch_add(1, std::memory_order_relaxed);
                if (task >= share.end) break;
                run_task(task);
                ++done;
            }
        }
        if (me == 0) caller_done = Clock::now(), caller_tasks = done;
        __tsan_release(this);
    }

    void run(int workers) {
        if (shares.size() != static_cast<size_t>(workers)) shares = std::vector<Share>(static_cast<size_t>(workers));
        for (int i = 0; i < workers; ++i) {
            shares[static_cast<size_t>(i)].next = tasks * i / workers;
            shares[static_cast<size_t>(i)].end = tasks * (i + 1) / workers;
        }
        current = this;
#pragma omp parallel num_threads(workers)
        current.load()->work();
        __tsan_acquire(this);
    }
};

}  // namespace

int threads() { return thread_count(); }

void set_threads(int count) {
    check(count >= 1, "threads: expected at least 1, got ", count);
    thread_count() = count;
}

bool in_parallel() { return inside || omp_in_parallel(); }

OnOneThread::OnOneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
OnOneThread::~OnOneThread() { omp_set_num_threads(before_); }

void detail::run_tasks(int64_t tasks, const void* body, void (*call)(const void* body, int64_t task)) {
    const int workers = static_cast<int>(std::min<int64_t>(tasks, threads()));
    if (workers <= 1 || in_parallel()) {
        for (int64_t task = 0; task < tasks; ++task) call(body, task);
        return;
    }
    std::unique_lock lock(team, std::try_to_lock);
    if (forked || !lock || !record.pays()) {
        if (lock) lock.unlock();
        const InsideScope scope;
        for (int64_t task = 0; task < tasks; ++task) call(body, task);
        return;
    }
    // Of who holds `team`. Never destroyed: exit() may find another thread's region at work.
    static std::vector<Share>& shares = *new std::vector<Share>;
    Region region{tasks, body, call, shares};
    const auto begin = Clock::now();
    region.run(workers);
    const double took = Seconds(Clock::now() - begin).count(), caller = Seconds(region.caller_done - begin).count();
    record.add(
        took, region.caller_tasks ? caller * static_cast<double>(tasks) / static_cast<double>(region.caller_tasks) : 0);
    if (region.error) std::rethrow_exception(region.error);
}

}  // namespace lathe
