#pragma once
#include <cstdint>
#include <optional>
#include <string>

namespace lathe {

// What the control groups that this process is in leave it (Linux, version 1 or 2): a container's or a service's
// limits, which the machine's own numbers do not show. None: no limit.
struct CgroupLimits {
    std::optional<int64_t> memory{};  // bytes
    std::optional<double> cores{};    // processor time a second of the clock
};
CgroupLimits cgroup_limits(const std::string& root = "");  // of the files below `root`, for tests

// The cores that this process may keep busy: those it is bound to, and no more than its quota, rounded up. At least 1.
int usable_cores();

}  // namespace lathe
