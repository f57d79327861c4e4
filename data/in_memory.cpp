#include "lathe/data/in_memory.h"

namespace lathe::data {

InMemorySource::InMemorySource(DatasetInfo info, InMemoryImages images)
    : Source(std::move(info)), images_(std::move(images)) {
    const DatasetInfo& self = this->info();
    const auto expected = images_.labels.size() * static_cast<size_t>(self.image_shape.numel());
    check(images_.pixels.size() == expected, self.name, ": expected ", expected, " pixel values for ",
          images_.labels.size(), " labels, got ", images_.pixels.size());
    for (size_t i = 0; i < images_.labels.size(); ++i)
        check(images_.labels[i] < self.classes.size(), self.name, ": expected labels below ", self.classes.size(),
              ", got ", int{images_.labels[i]}, " for image ", i);
}

Image InMemorySource::image(int64_t i, Random&) const {
    const Shape& shape = info().image_shape;
    const uint8_t* begin = images_.pixels.data() + i * shape.numel();
    return {shape[0], shape[1], shape[2], {begin, begin + shape.numel()}};
}

}  // namespace lathe::data
