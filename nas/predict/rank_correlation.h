#pragma once
#include <span>

namespace lathe::nas {

// How alike two lists of numbers order the same things, from -1 (backwards) to 1 (alike). NaN where either orders
// nothing: all its numbers are equal. Error: lists of different lengths.

// The linear correlation of the ranks, equal numbers sharing the mean of theirs (Spearman 1904).
double spearman(std::span<const double> a, std::span<const double> b);

// Pairs in the same order less pairs in opposite order, over all of them; with ties as tau-b (Kendall 1945). In
// n log n steps (Knight 1966, "A computer method for calculating Kendall's tau with ungrouped data").
double kendall_tau(std::span<const double> a, std::span<const double> b);

}  // namespace lathe::nas
