#include "lathe/core/measure/cgroup.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <locale>
#include <sstream>
#include <thread>
#include <vector>

namespace lathe {

namespace {

constexpr int64_t kNoLimit = int64_t{1} << 60;  // what version 1 writes is about 2^63

// The numbers of a file, none where it says "max" or is not there.
std::vector<int64_t> numbers_in(const std::string& path) {
    std::ifstream file(path);
    file.imbue(std::locale::classic());
    std::vector<int64_t> numbers;
    for (int64_t number; file >> number;) numbers.push_back(number);
    return numbers;
}

template <class T>
void lower(std::optional<T>& limit, T value) {
    limit = std::min(limit.value_or(value), value);
}

// Version 2: memory.max "1048576", cpu.max "QUOTA PERIOD". Version 1: a file each, a quota of -1 for none.
void read_limits(const std::string& group, CgroupLimits& limits) {
    for (const char* name : {"/memory.max", "/memory.limit_in_bytes"})
        if (const auto bytes = numbers_in(group + name); !bytes.empty() && bytes[0] > 0 && bytes[0] < kNoLimit)
            lower(limits.memory, bytes[0]);
    std::vector<int64_t> share = numbers_in(group + "/cpu.max");
    if (share.empty()) {
        share = numbers_in(group + "/cpu.cfs_quota_us");
        const auto period = numbers_in(group + "/cpu.cfs_period_us");
        share.insert(share.end(), period.begin(), period.end());
    }
    if (share.size() == 2 && share[0] > 0 && share[1] > 0)
        lower(limits.cores, static_cast<double>(share[0]) / static_cast<double>(share[1]));
}

}  // namespace

// A line of /proc/self/cgroup is "ID:CONTROLLERS:PATH"; version 2 has no controllers. Every group above counts, too,
// and a container may see its own group as the root of the mount, whatever the path says.
CgroupLimits cgroup_limits(const std::string& root) {
    CgroupLimits limits;
    std::ifstream groups(root + "/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        const size_t first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        std::vector<std::string> mounts{"", "/unified"};
        std::istringstream controllers(line.substr(first + 1, second - first - 1));
        for (std::string name; std::getline(controllers, name, ',');) mounts.push_back("/" + name);
        for (const std::string& mount : mounts)
            for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
                read_limits(root + "/sys/fs/cgroup" + mount + path, limits);
                if (path.empty() || path.rfind('/') == std::string::npos) break;
            }
    }
    return limits;
}

int usable_cores() {
    cpu_set_t set;
    const bool bound = sched_getaffinity(0, sizeof set, &set) == 0;
    int cores = bound ? CPU_COUNT(&set) : static_cast<int>(std::thread::hardware_concurrency());
    if (const auto quota = cgroup_limits().cores) cores = std::min(cores, static_cast<int>(std::ceil(*quota)));
    return std::max(1, cores);
}

}  // namespace lathe
