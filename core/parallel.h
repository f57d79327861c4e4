#pragma once
#include <cstdint>
#include <functional>

namespace lathe {

// How many threads parallel regions use: set_threads, else OMP_NUM_THREADS, else the cores of this machine.
int threads();
void set_threads(int count);  // Error: count < 1
bool in_parallel();           // inside a parallel region: nested ones run on the calling thread

// The result of a parallel loop must not depend on the number of threads. So a loop is cut into tasks whose bounds
// follow from the shapes alone, and threads take whole tasks; a reduction keeps one partial result a task and adds
// them up in task order.

// Calls body(task) for every task in [0, tasks), spread over the threads when there are at least two of each.
// Tasks are handed out dynamically. The first exception thrown by a body is rethrown here.
void parallel_tasks(int64_t tasks, const std::function<void(int64_t task)>& body);

// Calls body(begin, end) for consecutive ranges covering [0, count), each of `grain` items (the last may be shorter).
// With count <= grain it is one plain call.
void parallel_for(int64_t count, int64_t grain, const std::function<void(int64_t begin, int64_t end)>& body);

}  // namespace lathe
