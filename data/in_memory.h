#pragma once
#include <cstdint>
#include <vector>

#include "lathe/core/files/gzip.h"
#include "lathe/data/dataset.h"

namespace lathe::data {

// Images of one size held in memory, one after the other.
struct InMemoryImages {
    std::vector<uint8_t> pixels;  // [count, height, width, channels]
    std::vector<uint8_t> labels;  // [count]
};

class InMemorySource : public Source {
public:
    // Error: pixels or labels do not fit the shape, a label that is no class.
    InMemorySource(DatasetInfo info, InMemoryImages images);

    int64_t size() const override { return static_cast<int64_t>(images_.labels.size()); }
    int64_t label(int64_t i) const override { return images_.labels[static_cast<size_t>(i)]; }
    Image image(int64_t i, Random&) const override;

private:
    const InMemoryImages images_;
};

}  // namespace lathe::data
