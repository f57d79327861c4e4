#pragma once
#include "lathe/core/parallel.h"

namespace lathe::testing {

// Sets the number of threads for the length of a scope.
class ThreadScope {
public:
    explicit ThreadScope(int count) : before_(threads()) { set_threads(count); }
    ~ThreadScope() { set_threads(before_); }

private:
    int before_;
};

}  // namespace lathe::testing
