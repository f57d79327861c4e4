#pragma once
#include <vector>

#include "lathe/core/tape/variable.h"

namespace lathe::ops {

// The elements [start, start + length) along an axis; a view when they lie together in memory. A graph keeps one of
// several equal parts as that ("part" of "parts"), so that it follows when channels are cut. Error: the range leaves
// the axis.
Variable slice(const Variable& x, int axis, int64_t start, int64_t length);

// Consecutive slices of the given lengths. Error: they do not add up to the axis.
std::vector<Variable> split(const Variable& x, const std::vector<int64_t>& sizes, int axis);

}  // namespace lathe::ops
