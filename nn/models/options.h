#pragma once
#include <vector>

#include "lathe/nn/model.h"

// What the networks of the zoo do alike with their options.
namespace lathe::nn::models {

// `given` with what it leaves open taken from `usual`. `usual.classes` of 0: the network has no classes;
// `usual.dropout` negative: it has no dropout. Error: an option that the network lacks or that makes no sense, or
// images with a side below `smallest_side`.
ModelOptions complete(const ModelOptions& given, const ModelOptions& usual, int64_t smallest_side = 1);

// The channel counts of a network that usually has `usual`: o.widths, or these times o.width, rounded, at least 1.
// Error: o.widths has another length or an entry out of range.
std::vector<int64_t> channels(const ModelOptions& o, const std::vector<int64_t>& usual);

// A count rounded to a multiple of 8, never down by more than 10% (Sandler et al. 2018's make_divisible).
int64_t divisible_by_8(double channels);

// As channels(), with counts rounded so.
std::vector<int64_t> channels_by_8(const ModelOptions& o, const std::vector<int64_t>& usual);

// Of the batch norms of networks that come from Keras.
constexpr double kKerasBatchNormEps = 1e-3;

}  // namespace lathe::nn::models
