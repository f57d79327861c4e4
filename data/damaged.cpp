#include "lathe/data/damaged.h"

#include <algorithm>

#include "lathe/core/parallel.h"

namespace lathe::data {

std::vector<Damaged> find_damaged(const Dataset& images, const std::function<void(int64_t done)>& progress) {
    constexpr int64_t kAtOnce = 256;
    std::vector<Damaged> damaged;
    for (int64_t begin = 0; begin < images.size(); begin += kAtOnce) {
        const int64_t count = std::min(kAtOnce, images.size() - begin);
        std::vector<std::string> errors(static_cast<size_t>(count));
        parallel_tasks(count, [&](int64_t i) {
            try {
                Random random(0);
                images.image(begin + i, random);
            } catch (const Error& error) {
                errors[static_cast<size_t>(i)] = error.what();
            }
        });
        for (int64_t i = 0; i < count; ++i)
            if (const std::string& what = errors[static_cast<size_t>(i)]; !what.empty())
                damaged.push_back({begin + i, what});
        if (progress) progress(begin + count);
    }
    return damaged;
}

}  // namespace lathe::data
