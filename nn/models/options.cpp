#include "lathe/nn/models/options.h"

#include <algorithm>
#include <cmath>

namespace lathe::nn::models {

namespace {

// Far above any sensible network, low enough that no product of sizes overflows.
constexpr int64_t kMostChannels = 1 << 16;
constexpr int64_t kMostPixels = 1 << 14;

template <class Round>
std::vector<int64_t> scaled(const ModelOptions& o, const std::vector<int64_t>& usual, Round round) {
    std::vector<int64_t> counts = o.widths;
    if (counts.empty())
        for (int64_t count : usual) counts.push_back(round(static_cast<double>(count) * o.width));
    check(counts.size() == usual.size(), "expected ", usual.size(), " widths, got ", counts.size());
    for (int64_t count : counts)
        check(count >= 1 && count <= kMostChannels, "expected widths from 1 to ", kMostChannels, ", got ", count);
    return counts;
}

}  // namespace

ModelOptions complete(const ModelOptions& given, const ModelOptions& usual, int64_t smallest_side) {
    ModelOptions o = given;
    check(o.arch.empty(), "expected no arch (it is one network, not a design space), got ", o.arch);
    if (o.classes == 0) o.classes = usual.classes;
    check(usual.classes != 0 || o.classes == 0, "expected no classes (it has none), got ", o.classes);
    check(o.classes >= 0 && o.classes <= kMostChannels, "expected 1 to ", kMostChannels, " classes, got ", o.classes);

    check(o.width > 0 && o.width <= 64, "expected a width multiplier above 0 and up to 64, got ", o.width);
    check(o.widths.empty() || o.width == 1, "expected a width multiplier or a list of widths, got both");

    if (o.input.rank() == 0) o.input = usual.input;
    check(o.input.rank() == usual.input.rank(), "expected an input like ", usual.input, ", got ", o.input);
    for (int64_t extent : o.input)
        check(extent >= 1 && extent <= kMostPixels, "expected input sizes from 1 to ", kMostPixels, ", got ", o.input);
    if (o.input.rank() == 3)
        check(std::min(o.input[0], o.input[1]) >= smallest_side, "expected images of at least ", smallest_side,
              "x", smallest_side, " pixels, got ", o.input[0], "x", o.input[1]);

    if (o.dropout < 0) o.dropout = std::max(0.0, usual.dropout);
    check(usual.dropout >= 0 || o.dropout == 0, "expected no dropout (it has none), got ", o.dropout);
    check(o.dropout < 1, "expected a dropout probability below 1, got ", o.dropout);
    return o;
}

int64_t divisible_by_8(double channels) {
    const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(channels + 4) / 8 * 8);
    return static_cast<double>(rounded) < 0.9 * channels ? rounded + 8 : rounded;
}

std::vector<int64_t> channels(const ModelOptions& o, const std::vector<int64_t>& usual) {
    return scaled(o, usual, [](double count) { return std::max<int64_t>(1, std::llround(count)); });
}

std::vector<int64_t> channels_by_8(const ModelOptions& o, const std::vector<int64_t>& usual) {
    return scaled(o, usual, divisible_by_8);
}

}  // namespace lathe::nn::models
