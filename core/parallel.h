#pragma once
#include <algorithm>
#include <cstdint>

#include "lathe/core/ceil_div.h"

namespace lathe {

// How many threads parallel regions use: set_threads, else OMP_NUM_THREADS, else the cores of this machine.
int threads();
void set_threads(int count);  // Error: count < 1
bool in_parallel();           // inside a parallel region: nested ones run on the calling thread

// While it lives, OpenMP code of others that the calling thread runs, such as OpenBLAS, starts no team.
class OnOneThread {
public:
    OnOneThread();
    ~OnOneThread();
    OnOneThread(const OnOneThread&) = delete;
    OnOneThread& operator=(const OnOneThread&) = delete;

private:
    int before_;
};

// OpenMP is behind this file: OMP_NUM_THREADS, OMP_PLACES and OMP_PROC_BIND are obeyed. Several threads of a program
// may have regions at once; one of them gets the team, the others run their tasks themselves. A child process after
// fork() works on one thread, for the team stays behind. What cannot be lifted: in a child of a process that has used
// OpenMP, other OpenMP code, and this library when it is loaded only there (dlopen), may wait for that team for ever.

// The result of a parallel loop must not depend on the number of threads. So a loop is cut into tasks whose bounds
// follow from the shapes alone, and threads take whole tasks; a reduction keeps one partial result a task and adds
// them up in task order. Tasks whose numbers are near should use data that is near: a thread begins with neighbours, so
// that what one region writes the next one reads on the same core.

namespace detail {
void run_tasks(int64_t tasks, const void* body, void (*call)(const void* body, int64_t task));
}

// Calls body(task) for every task in [0, tasks), spread over the threads when there are at least two of each.
// Tasks are handed out dynamically, to each thread its own share first. The first exception thrown by a body is
// rethrown here.
template <class Body>
void parallel_tasks(int64_t tasks, const Body& body) {
    detail::run_tasks(tasks, &body, [](const void* of, int64_t task) { (*static_cast<const Body*>(of))(task); });
}

// Calls body(begin, end) for consecutive ranges covering [0, count), each of `grain` items (the last may be shorter).
// With count <= grain it is one plain call.
template <class Body>
void parallel_for(int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return;
    grain = std::max<int64_t>(grain, 1);
    if (count <= grain) return body(int64_t{0}, count);
    parallel_tasks(ceil_div(count, grain),
                   [&](int64_t task) { body(task * grain, std::min(count, (task + 1) * grain)); });
}

}  // namespace lathe
