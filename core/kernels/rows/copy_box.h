#pragma once
#include <cstddef>

#include "lathe/core/shape.h"

namespace lathe::kernels {

// Copies a box of elements between two row-major arrays of the same rank, each `element` bytes: concatenating, slicing,
// padding and cropping are all this. `source` and `target` point at the box's first element inside arrays of the shapes
// given.
void copy_box(const Shape& box, size_t element, const std::byte* source, const Shape& source_shape, std::byte* target,
              const Shape& target_shape);

}  // namespace lathe::kernels
