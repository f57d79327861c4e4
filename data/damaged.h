#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lathe/data/dataset.h"

namespace lathe::data {

// An image that cannot be read.
struct Damaged {
    int64_t index;     // in the dataset
    std::string what;  // the error, which names the file
};

// All of them, in their order: every image is read once, on all threads. `progress` is told from time to time how many
// are through.
std::vector<Damaged> find_damaged(const Dataset& images, const std::function<void(int64_t done)>& progress = {});

}  // namespace lathe::data
