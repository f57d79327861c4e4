#include "lathe/core/measure/cgroup.h"

#include <doctest/doctest.h>

#include <filesystem>

#include "lathe/core/files/file.h"
#include "lathe/core/memory.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;

namespace {

// A file of the tree, by its path there.
struct Tree {
    TemporaryFolder folder;
    void put(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(folder.path + path).parent_path());
        write_file_atomically(folder.path + path, text);
    }
    CgroupLimits limits() const { return cgroup_limits(folder.path); }
    bool unlimited() const { return !limits().memory && !limits().cores; }
};

}  // namespace

TEST_CASE("cgroup: no files, no limits") {
    const Tree tree;
    CHECK(tree.unlimited());
    tree.put("/proc/self/cgroup", "damaged\n0::\n::::\n");
    CHECK(tree.unlimited());
}

TEST_CASE("cgroup: version 2, the tightest of a group and those above it") {
    const Tree tree;
    tree.put("/proc/self/cgroup", "0::/user.slice/job\n");
    tree.put("/sys/fs/cgroup/user.slice/job/memory.max", "max\n");
    tree.put("/sys/fs/cgroup/user.slice/job/cpu.max", "max 100000\n");
    CHECK(tree.unlimited());
    tree.put("/sys/fs/cgroup/user.slice/memory.max", "3000000000\n");
    tree.put("/sys/fs/cgroup/user.slice/job/cpu.max", "150000 100000\n");
    tree.put("/sys/fs/cgroup/user.slice/cpu.max", "400000 100000\n");
    CHECK(*tree.limits().memory == 3000000000);
    CHECK(*tree.limits().cores == 1.5);
    tree.put("/sys/fs/cgroup/user.slice/job/memory.max", "1048576\n");
    CHECK(*tree.limits().memory == 1048576);
}

TEST_CASE("cgroup: version 1, also where the container's group is the root of its mount") {
    const Tree tree;
    tree.put("/proc/self/cgroup", "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n");
    tree.put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    tree.put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    tree.put("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(tree.unlimited());
    tree.put("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "2097152\n");
    tree.put("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n");
    CHECK(*tree.limits().memory == 2097152);
    CHECK(*tree.limits().cores == 0.5);
}

TEST_CASE("cgroup: this process has a core and no more memory than its limit") {
    CHECK(usable_cores() >= 1);
    if (const auto limit = cgroup_limits().memory) CHECK(memory::physical() <= static_cast<size_t>(*limit));
}
