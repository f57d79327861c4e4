#include "lathe/core/parallel.h"

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/tests/thread_scope.h"

using namespace lathe;
using lathe::testing::ThreadScope;

namespace {

using Ranges = std::set<std::pair<int64_t, int64_t>>;

Ranges ranges_of(int64_t count, int64_t grain, int threads) {
    const ThreadScope scope(threads);
    Ranges ranges;
    std::mutex mutex;
    parallel_for(count, grain, [&](int64_t begin, int64_t end) {
        const std::lock_guard lock(mutex);
        ranges.insert({begin, end});
    });
    return ranges;
}

}  // namespace

TEST_CASE("parallel_for visits every index once") {
    for (int count : {1, 2, 3, 8})
        for (int64_t items : {1, 2, 7, 64, 1001})
            for (int64_t grain : {0, 1, 5, 64, 2000}) {
                const ThreadScope scope(count);
                std::vector<std::atomic<int>> visits(static_cast<size_t>(items));
                parallel_for(items, grain, [&](int64_t begin, int64_t end) {
                    for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
                });
                for (const auto& n : visits) REQUIRE(n == 1);
            }
    bool called = false;
    parallel_for(0, 4, [&](int64_t, int64_t) { called = true; });
    parallel_for(-3, 4, [&](int64_t, int64_t) { called = true; });
    parallel_tasks(0, [&](int64_t) { called = true; });
    CHECK_FALSE(called);
}

TEST_CASE("the split follows from count and grain alone") {
    CHECK(ranges_of(10, 4, 1) == Ranges{{0, 4}, {4, 8}, {8, 10}});
    CHECK(ranges_of(4, 4, 3) == Ranges{{0, 4}});
    for (int count : {2, 3, 16}) CHECK(ranges_of(1001, 13, count) == ranges_of(1001, 13, 1));
}

TEST_CASE("a region inside a region runs on the thread that it is in") {
    const ThreadScope scope(3);
    std::atomic<int> strangers{0}, total{0};
    CHECK_FALSE(in_parallel());
    parallel_tasks(20, [&](int64_t) {
        const auto here = std::this_thread::get_id();
        if (!in_parallel()) ++strangers;
        parallel_tasks(10, [&](int64_t) {
            if (std::this_thread::get_id() != here || !in_parallel()) ++strangers;
            ++total;
        });
    });
    CHECK(strangers == 0);
    CHECK(total == 200);
    CHECK_FALSE(in_parallel());
}

TEST_CASE("an exception of a task reaches the caller, and the threads go on working") {
    for (int count : {1, 2, 4}) {
        const ThreadScope scope(count);
        for (int round = 0; round < 20; ++round) {
            CHECK_THROWS_WITH_AS(parallel_tasks(50, [](int64_t task) { check(task != 31, "task ", task, " failed"); }),
                                 "task 31 failed", Error);
            CHECK_FALSE(in_parallel());
            std::atomic<int64_t> sum{0};
            parallel_tasks(50, [&](int64_t task) { sum += task; });
            CHECK(sum == 49 * 50 / 2);
        }
        CHECK_THROWS_AS(parallel_tasks(9, [](int64_t) { throw 3; }), int);  // any type, from every task
        CHECK_THROWS_AS(parallel_tasks(4, [](int64_t) { parallel_tasks(4, [](int64_t) { fail("within"); }); }), Error);
    }
}

TEST_CASE("several threads may have regions at the same time") {
    const ThreadScope scope(2);
    std::vector<int64_t> sums(4);
    std::vector<std::thread> callers;
    for (int64_t& sum : sums)
        callers.emplace_back([&sum] {
            for (int round = 0; round < 50; ++round) {
                std::vector<int64_t> parts(30);
                parallel_tasks(30, [&](int64_t task) { parts[static_cast<size_t>(task)] = task; });
                sum += std::accumulate(parts.begin(), parts.end(), int64_t{0});
            }
        });
    for (std::thread& caller : callers) caller.join();
    for (int64_t sum : sums) CHECK(sum == 50 * 435);
}

namespace {

// What f returns in a child process; 1000 and more: it was killed, by a signal or since it did not end.
int in_child(const std::function<int()>& f) {
    std::cout.flush(), std::fflush(nullptr);  // or the child writes it, too
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        std::exit(f());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int64_t sum_of_tasks() {
    std::atomic<int64_t> sum{0};
    parallel_tasks(100, [&](int64_t task) { sum += task; });
    return sum;
}

}  // namespace

TEST_CASE("a child process works after its parent's threads were in use, and exits") {
    const ThreadScope scope(3);
    for (int round = 0; round < 3; ++round) {
        CHECK(sum_of_tasks() == 4950);
        CHECK(in_child([] { return sum_of_tasks() == 4950 ? 7 : 8; }) == 7);
    }
    CHECK(in_child([] { return in_child([] { return sum_of_tasks() == 4950 ? 7 : 8; }); }) == 7);
}

TEST_CASE("exit() from any thread, also while another one's region runs") {
    const ThreadScope scope(2);
    CHECK(in_child([] {
        std::thread([] { std::exit(9); }).detach();
        while (true) sum_of_tasks();
        return 1;
    }) == 9);
}

TEST_CASE("the library is unloaded after use, and loaded again") {
    const char* command = std::getenv("LATHE_BIN");
    const auto library = std::filesystem::path(command ? command : "build/lathe").parent_path() / "liblathe.so";
    REQUIRE(std::filesystem::exists(library));
    for (int round = 0; round < 3; ++round) {
        void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
        REQUIRE(handle != nullptr);
        const auto run =
            reinterpret_cast<decltype(&detail::run_tasks)>(dlsym(handle, "_ZN5lathe6detail9run_tasksElPKvPFvS2_lE"));
        REQUIRE((run != nullptr));
        static std::atomic<int64_t> sum;
        sum = 0;
        run(100, nullptr, [](const void*, int64_t task) { sum += task; });
        CHECK(sum == 4950);
        CHECK(dlclose(handle) == 0);
        usleep(2000);
    }
}

TEST_CASE("OpenMP code that runs on one thread for a while starts no team") {
    const int before = omp_get_max_threads();
    {
        const OnOneThread scope;
        CHECK(omp_get_max_threads() == 1);
    }
    CHECK(omp_get_max_threads() == before);
}

TEST_CASE("set_threads") {
    const ThreadScope scope(1);
    std::set<std::thread::id> ids;
    parallel_tasks(20, [&](int64_t) { ids.insert(std::this_thread::get_id()); });
    CHECK(ids == std::set{std::this_thread::get_id()});
    CHECK_THROWS_WITH_AS(set_threads(0), "threads: expected at least 1, got 0", Error);
    CHECK(threads() == 1);
}
