#include "lathe/core/kernels/integer/conv2d.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <set>

#include "lathe/core/ceil_div.h"
#include "lathe/core/divmod.h"
#include "lathe/core/error.h"
#include "lathe/core/parallel.h"

namespace lathe::kernels::integer {

namespace {

constexpr int64_t kTaskPixels = 96;           // a multiple of the tiles' rows: weights in the near cache serve so many
constexpr int64_t kTaskMacs = 1 << 18;        // some 5 us: less is not worth a thread
constexpr int64_t kMatrixTaskMacs = 1 << 22;  // likewise by matrix registers, to set up which takes a thread 0.1 us,
constexpr int64_t kMatrixResultMacs = 128;    // and a result as long as so many
constexpr int64_t kParts = 8;                 // of a layer's pixels
constexpr int64_t kPaddedBytes = 512 << 10;   // in a core's own cache
constexpr int64_t kBandBytes = 32 << 10;  // of x under a band of depthwise results: in the near cache beside the rest

// The rows and columns that windows reach over.
int64_t reach(int64_t out, int64_t stride, int64_t kernel, int64_t dilation) {
    return (out - 1) * stride + (kernel - 1) * dilation + 1;
}

}  // namespace

void check_layer(const Layer& layer) {
    const int64_t per_channel = layer.shape.weight_count() / std::max<int64_t>(layer.shape.out_c, 1);
    for (int64_t k = 0; k < layer.shape.out_c; ++k) {
        int64_t size = 0;
        for (int64_t i = 0; i < per_channel; ++i) size += std::abs(layer.weight[k * per_channel + i]) * layer.unit();
        const double sum = 255.0 * static_cast<double>(2 * size) + std::abs(static_cast<double>(layer.bias[k]));
        check(sum < kMostSum, "channel ", k, ": sums reach ", sum, ", beyond 32 bits");
        check(is_multiplier(layer.multiplier[k], layer.shift[k]) && layer.fraction[k] >= 0, "channel ", k,
              ": expected a multiplier and a fraction from 0 on and a shift from 1 to 62, got ", layer.multiplier[k],
              ", ", layer.fraction[k], " and ", layer.shift[k]);
        double result = sum * layer.multiplier[k] + layer.fraction[k];
        if (layer.addend_multiplier) {
            const int32_t m = layer.addend_multiplier[k], shift = layer.addend_shift[k];
            check(m >= 0 && shift >= 0 && shift <= kMostAddendShift, "channel ", k,
                  ": expected an addend's multiplier from 0 on and its shift from 0 to ", kMostAddendShift, ", got ", m,
                  " and ", shift);
            result += std::ldexp(255.0 * m, shift);
        }
        check(result < kMostResult, "channel ", k, ": results reach beyond 62 bits");
        check(std::ldexp(result, -layer.shift[k]) < kMostSum, "channel ", k, ": results reach beyond 32 bits");
    }
}

PreparedLayer::PreparedLayer(const Layer& layer)
    : shape_(layer.shape),
      bits_(layer.bits),
      depthwise_(layer.shape.depthwise() && layer.shape.in_c > 1 && !layer.addend_multiplier),
      adds_(layer.addend_multiplier != nullptr),
      x_zero_(layer.x_zero),
      zero_(layer.zero),
      low_(layer.low),
      high_(layer.high),
      addend_zero_(layer.addend_zero),
      padded_h_(reach(shape_.out_h, shape_.stride_h, shape_.kernel_h, shape_.dilation_h)),
      padded_w_(reach(shape_.out_w, shape_.stride_w, shape_.kernel_w, shape_.dilation_w)) {
    // Whole steps that end beyond a run are read from a copy, so that x itself is read to its end at most.
    const int64_t length = run_length(), step = 32 / bits_;
    pads_ = shape_.pad_top > 0 || shape_.pad_left > 0 || padded_h_ > shape_.in_h || padded_w_ > shape_.in_w ||
            (!depthwise_ && length % step != 0);
    if (!pads_) padded_h_ = shape_.in_h, padded_w_ = shape_.in_w;
    steps_ = ceil_div(length, step) * (step / 4);
    depthwise_ ? arrange_depthwise(layer) : arrange(layer);
    if (!depthwise_ && SparseLayer::suits(layer)) choose_sparse(layer);
}

// Weights of their own for single images, whose tiles must be smaller to fill vectors.
void PreparedLayer::choose_sparse(const Layer& layer) {
    constexpr int64_t kMostImages = kLanes;
    const int64_t rows = std::max<int64_t>(shape_.batch, 1);  // of an image
    std::vector<std::shared_ptr<const SparseLayer>> candidates;
    for (const int64_t images : {int64_t{1}, kMostImages}) {
        Layer several = layer;
        several.shape.batch = images * rows;
        candidates.push_back(std::make_shared<SparseLayer>(several));
    }
    for (int64_t images = 1; images <= kMostImages; ++images) {
        double least = dense_cycles(images * rows);
        sparse_.push_back(nullptr);
        for (const auto& candidate : candidates)
            if (const double cycles = candidate->cycles(images * rows); cycles < least)
                least = cycles, sparse_.back() = candidate;
    }
    const auto dense = std::count(sparse_.begin(), sparse_.end(), nullptr);
    if (dense == kMostImages) sparse_.clear();
    if (dense == 0) weights_.reset();
}

double PreparedLayer::dense_cycles(int64_t batch) const {
    const sparse::IntegerCosts& cost = sparse::speed().integer;
    double vectors = 0;
    for (const Panel& panel : panels_) vectors += panel.vectors;
    const auto steps = static_cast<double>(static_cast<int64_t>(run_.size()) * steps_);
    const double products = steps * (chunk(integer::table(), batch) ? cost.matrix : cost.dense);
    return static_cast<double>(batch * shape_.out_h * shape_.out_w) * vectors * (products + cost.finish);
}

double PreparedLayer::cycles(int64_t batch) const {
    const SparseLayer* sparse = sparse_for(batch);
    return sparse ? sparse->cycles(batch) : dense_cycles(batch);
}

const SparseLayer* PreparedLayer::sparse_for(int64_t batch) const {
    if (sparse_.empty() || batch == 0) return nullptr;
    const int64_t images = ceil_div(batch, std::max<int64_t>(shape_.batch, 1));
    return sparse_[std::min(static_cast<size_t>(images), sparse_.size()) - 1].get();
}

// The numbers of channels, in the order of sums; -1: none stands there.
size_t PreparedLayer::append_numbers(const Layer& layer, const std::vector<int64_t>& channels) {
    const size_t begin = bias_.size();
    const int64_t per_channel = shape_.weight_count() / shape_.out_c;
    for (const int64_t k : channels) {
        int64_t sum = 0;
        for (int64_t i = 0; k >= 0 && i < per_channel; ++i) sum += layer.weight[k * per_channel + i] * layer.unit();
        const int64_t bias = k < 0 ? 0 : layer.bias[k] - x_zero_ * sum;
        bias_.push_back(static_cast<int32_t>(bias));
        fraction_.push_back(k < 0 ? 0 : layer.fraction[k]);
        multiplier_.push_back(k < 0 ? 0 : layer.multiplier[k]);
        shift_.push_back(k < 0 ? 1 : layer.shift[k]);
        weight_sum_.push_back(static_cast<int32_t>(sum));
        if (!adds_) continue;
        addend_multiplier_.push_back(k < 0 ? 0 : layer.addend_multiplier[k]);
        addend_shift_.push_back(k < 0 ? 0 : layer.addend_shift[k]);
    }
    return begin;
}

Finish PreparedLayer::finish_at(size_t numbers) const {
    return {.bias = bias_.data() + numbers,
            .fraction = fraction_.data() + numbers,
            .multiplier = multiplier_.data() + numbers,
            .shift = shift_.data() + numbers,
            .weight_sum = weight_sum_.data() + numbers,
            .addend_multiplier = adds_ ? addend_multiplier_.data() + numbers : nullptr,
            .addend_shift = adds_ ? addend_shift_.data() + numbers : nullptr,
            .addend_zero = addend_zero_,
            .zero = zero_,
            .low = low_,
            .high = high_};
}

// A run is a row of the window where its pixels are neighbours in memory and belong to one group, else a tap.
int64_t PreparedLayer::run_length() const {
    const int64_t in = shape_.in_c / shape_.groups;
    return shape_.groups == 1 && shape_.dilation_w == 1 ? shape_.kernel_w * in : in;
}

// Zeros, for put().
int8_t* PreparedLayer::allocate_weights(int64_t bytes) {
    const auto count = static_cast<size_t>(bytes);
    return std::fill_n(weights_.emplace(count).data(), count, int8_t{0}) - count;
}

// A weight into field `place` of a byte.
void PreparedLayer::put(int8_t weight, int64_t place, int8_t& byte) const {
    byte = static_cast<int8_t>(byte | (weight & (0xff >> (8 - bits_))) << (bits_ * place));
}

void PreparedLayer::arrange(const Layer& layer) {
    const Conv2dShape& s = shape_;
    const int64_t out = s.out_c / s.groups, length = run_length();
    const int64_t across = s.kernel_w * s.in_c / s.groups / length;
    for (int64_t r = 0; r < s.kernel_h; ++r)
        for (int64_t q = 0; q < across; ++q)
            run_.push_back((r * s.dilation_h * padded_w_ + q * s.dilation_w) * s.in_c);
    const auto runs = static_cast<int64_t>(run_.size());
    const int64_t vectors = ceil_div(out, kLanes), count = ceil_div(vectors, kMaxVectors);
    const int64_t vector_bytes = runs * steps_ * kLanes * bits_ / 2;
    const int in_byte = bits_ == 8 ? 0 : bits_ == 4 ? 1 : 2;  // weights, as a power of two: divisions take longest here
    int8_t* to = allocate_weights(s.groups * vectors * vector_bytes);
    for (int64_t g = 0; g < s.groups; ++g)
        for (int64_t p = 0; p < count; ++p) {
            const int64_t first = vectors * p / count * kLanes, last = vectors * (p + 1) / count * kLanes;
            const int64_t lanes = last - first;
            Panel panel{.channel = g * out + first, .channels = std::min(out, last) - first, .group = g,
                        .vectors = static_cast<int>(lanes / kLanes), .weights = to - weights_->data(), .numbers = 0};
            const int8_t* weight = layer.weight + panel.channel * runs * length;
            for (int64_t c = 0; c < panel.channels; ++c)
                for (int64_t run = 0; run < runs; ++run) {
                    int8_t* const first = to + ((run * steps_ >> in_byte) * lanes + c) * 4;
                    for (int64_t i = 0; i < length; ++i) {
                        const int64_t step = i / 4;
                        put(*weight++, step & ((1 << in_byte) - 1), first[(step >> in_byte) * lanes * 4 + i % 4]);
                    }
                }
            std::vector<int64_t> channels(static_cast<size_t>(lanes), -1);
            for (int64_t c = 0; c < panel.channels; ++c) channels[static_cast<size_t>(c)] = panel.channel + c;
            panel.numbers = append_numbers(layer, channels);
            panels_.push_back(panel);
            to += panel.vectors * vector_bytes;
        }
}

// As many neighbouring pixels together as fill blocks of 64 channels best; a stride parts them.
void PreparedLayer::arrange_depthwise(const Layer& layer) {
    const Conv2dShape& s = shape_;
    const auto filled = [&](int64_t pixels) {
        const int64_t lanes = pixels * s.in_c;
        return static_cast<double>(lanes) / static_cast<double>(ceil_div(lanes, 64) * 64);
    };
    for (int64_t pixels = 2; s.stride_w == 1 && pixels <= std::min<int64_t>(s.out_w, 8); ++pixels)
        if (filled(pixels) > filled(together_)) together_ = pixels;
    const int64_t lanes = together_ * s.in_c;
    const int64_t across = s.kernel_w == 3 ? 4 : s.kernel_w;  // a row of three makes a group of its own
    const int64_t groups = ceil_div(s.kernel_h * across, 4), blocks = ceil_div(lanes, 64);
    for (int64_t r = 0; r < s.kernel_h; ++r)
        for (int64_t q = 0; q < across; ++q)
            run_.push_back((r * s.dilation_h * padded_w_ + std::min(q, s.kernel_w - 1) * s.dilation_w) * s.in_c);
    const int64_t in_byte = 8 / bits_, group_bytes = 256 / in_byte;
    int8_t* const all = allocate_weights(blocks * groups * group_bytes);
    std::vector<int64_t> channels(static_cast<size_t>(blocks * 64), -1);
    for (int64_t c = 0; c < lanes; ++c) {
        const int64_t place = depthwise_place(static_cast<int>(c % 64));
        channels[static_cast<size_t>(c / 64 * 64 + place)] = c % s.in_c;
        int8_t* to = all + c / 64 * groups * group_bytes + place / 16 / in_byte * 64 + place % 16 * 4;
        const int8_t* weight = layer.weight + c % s.in_c * s.kernel_h * s.kernel_w;
        for (int64_t r = 0; r < s.kernel_h; ++r)
            for (int64_t q = 0; q < s.kernel_w; ++q) {
                const int64_t t = r * across + q;
                put(*weight++, place / 16 % in_byte, to[t / 4 * group_bytes + t % 4]);
            }
    }
    append_numbers(layer, channels);
}

int64_t PreparedLayer::workspace(int64_t batch) const {
    constexpr int64_t kReadBeyond = 16;
    return pads_ && weights_ ? std::min(batch, padded_images()) * padded_h_ * padded_w_ * shape_.in_c + kReadBeyond : 0;
}

// That are copied, and then read, at once.
int64_t PreparedLayer::padded_images() const {
    return pads_ ? std::max<int64_t>(1, kPaddedBytes / (padded_h_ * padded_w_ * shape_.in_c)) : INT64_MAX;
}

int64_t PreparedLayer::bytes() const {
    int64_t bytes = weights_ ? static_cast<int64_t>(weights_->bytes()) : 0;
    for (const auto& sparse : std::set(sparse_.begin(), sparse_.end())) bytes += sparse ? sparse->bytes() : 0;
    return bytes;
}

double PreparedLayer::done(int64_t batch) const {
    const SparseLayer* sparse = sparse_for(batch);
    return sparse ? sparse->done() : 1;
}

std::string PreparedLayer::name(const Table& table, int64_t batch) const {
    if (sparse_for(batch)) return concatenated(table.name, " sparse");
    const std::string bits = bits_ < 8 ? concatenated(" ", bits_, " bits") : "";
    return concatenated(chunk(table, batch) ? table.matrix.name : table.name, bits, depthwise_ ? " depthwise" : "");
}

// What matrices of a dense layer are multiplied in; 0: vectors are faster.
int64_t PreparedLayer::chunk(const Table& table, int64_t batch) const {
    const MatrixProducts& matrix = table.matrix;
    const bool suits = matrix.name && !depthwise_ && batch * shape_.out_h * shape_.out_w >= matrix.least_rows;
    return suits ? matrix.chunk(steps_, bits_) : 0;
}

// x with the zero around it, whole images.
const uint8_t* PreparedLayer::padded(int64_t batch, const uint8_t* x, uint8_t* scratch) const {
    if (!pads_) return x;
    const Conv2dShape& s = shape_;
    const int64_t row = padded_w_ * s.in_c, left = std::min(s.pad_left, padded_w_) * s.in_c;
    const int64_t inside = std::max<int64_t>(0, std::min(s.in_w, padded_w_ - s.pad_left)) * s.in_c;
    parallel_for(batch * padded_h_, std::max<int64_t>(1, (1 << 17) / row), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t image = i / padded_h_, h = i % padded_h_ - s.pad_top;
            uint8_t* to = scratch + i * row;
            if (h < 0 || h >= s.in_h) {
                std::memset(to, x_zero_, static_cast<size_t>(row));
                continue;
            }
            std::memset(to, x_zero_, static_cast<size_t>(left));
            std::memcpy(to + left, x + (image * s.in_h + h) * s.in_w * s.in_c, static_cast<size_t>(inside));
            std::memset(to + left + inside, x_zero_, static_cast<size_t>(row - left - inside));
        }
    });
    return scratch;
}

void PreparedLayer::forward(const Table& table, int64_t batch, const uint8_t* x, const uint8_t* addend,
                            uint8_t* scratch, uint8_t* y) const {
    if (const SparseLayer* sparse = sparse_for(batch))
        return sparse->forward(table, batch, x, addend, finish_at(0), y);
    const int64_t in = shape_.in_h * shape_.in_w * shape_.in_c, out = shape_.out_h * shape_.out_w * shape_.out_c;
    for (int64_t first = 0, images; first < batch; first += images) {
        images = std::min(batch - first, padded_images());
        const uint8_t* from = padded(images, x + first * in, scratch);
        if (depthwise_) correlate(table, images, from, y + first * out);
        else multiply(table, images, from, adds_ ? addend + first * out : nullptr, y + first * out);
    }
}

void PreparedLayer::multiply(const Table& table, int64_t batch, const uint8_t* x, const uint8_t* addend,
                             uint8_t* y) const {
    const int64_t pixels = batch * shape_.out_h * shape_.out_w, panels = static_cast<int64_t>(panels_.size());
    const int64_t depth = static_cast<int64_t>(run_.size()) * steps_ * 4, width = panels_[0].vectors * kLanes;
    const int64_t block = std::min(pixels, kTaskPixels), blocks = ceil_div(pixels, kTaskPixels);
    const int64_t chunk = this->chunk(table, batch);
    const int64_t work = block * width * (chunk ? depth + kMatrixResultMacs : depth);
    const int64_t grain = std::max<int64_t>(1, (chunk ? kMatrixTaskMacs : kTaskMacs) / std::max<int64_t>(1, work));
    // Neighbouring tasks, which a thread takes, are of neighbouring pixels: those that it wrote a layer before. Within
    // a part of them a panel meets all pixels, then the next one does.
    const int64_t parts = std::min(blocks, kParts);
    parallel_for(blocks * panels, grain, [&](int64_t begin, int64_t end) {
        if (chunk) table.matrix.begin(chunk);
        for (int64_t task = begin; task < end; ++task) {
            const int64_t part = task / panels * parts / blocks;
            const int64_t from = ceil_div(part * blocks, parts), count = ceil_div((part + 1) * blocks, parts) - from;
            const auto [panel, place] = divmod(task - from * panels, count);
            const int64_t first = (from + place) * kTaskPixels;
            multiply_panel(table, chunk, panels_[static_cast<size_t>(panel)], first,
                           std::min(pixels, first + kTaskPixels), x, addend, y);
        }
        if (chunk) table.matrix.end();
    });
}

void PreparedLayer::multiply_panel(const Table& table, int64_t chunk, const Panel& panel, int64_t begin,
                                   int64_t end, const uint8_t* x, const uint8_t* addend, uint8_t* y) const {
    const Conv2dShape& s = shape_;
    Tile tile{.rows = 0, .vectors = panel.vectors, .channels = panel.channels,
              .runs = static_cast<int64_t>(run_.size()), .steps = steps_, .chunk = chunk, .x = {}, .run = run_.data(),
              .weights = weights_->data() + panel.weights, .y = {}, .addend = {}, .finish = finish_at(panel.numbers)};
    const auto of_bits = [&](const Products& by) { return bits_ == 8 ? by.of8 : bits_ == 4 ? by.of4 : by.of2; };
    const auto by_vectors = of_bits(table.products), by_matrices = of_bits(table.matrix.products);
    const int64_t tallest = table.rows[panel.vectors - 1], tallest_matrix = table.matrix.rows;
    const int64_t least = chunk ? table.matrix.least_rows : INT64_MAX, map = s.out_h * s.out_w;
    int64_t image = begin / map, p = begin % map / s.out_w, q = begin % s.out_w;
    const auto window = [&] {
        return x + ((image * padded_h_ + p * s.stride_h) * padded_w_ + q * s.stride_w) * s.in_c +
               panel.group * (s.in_c / s.groups);
    };
    const uint8_t* from = window();
    int64_t at = begin * s.out_c + panel.channel;  // in y
    for (int64_t pixel = begin; pixel < end;) {
        const bool matrices = end - pixel >= least;
        tile.rows = static_cast<int>(std::min(matrices ? tallest_matrix : tallest, end - pixel));
        for (int i = 0; i < tile.rows; ++i, ++pixel, at += s.out_c) {
            tile.x[i] = from;
            tile.y[i] = y + at;
            if (adds_) tile.addend[i] = addend + at;
            from += s.stride_w * s.in_c;
            if (++q < s.out_w) continue;
            q = 0;
            if (++p == s.out_h) p = 0, ++image;
            from = window();
        }
        (matrices ? by_matrices : by_vectors)(tile);
    }
}

void PreparedLayer::correlate(const Table& table, int64_t batch, const uint8_t* x, uint8_t* y) const {
    const Conv2dShape& s = shape_;
    const auto by_rows = bits_ == 8 ? table.depthwise8 : bits_ == 4 ? table.depthwise4 : table.depthwise2;
    const DepthwiseBands& offered = table.depthwise_bands;
    const auto by_bands = bits_ == 8 ? offered.of8 : bits_ == 4 ? offered.of4 : offered.of2;
    const bool bands = by_bands && s.kernel_h == 3 && s.kernel_w == 3 && s.dilation_h == 1 && s.stride_h <= 2;
    const int64_t whole = s.out_w / together_, lanes = together_ * s.in_c, row = padded_w_ * s.in_c;
    const int64_t height = bands ? std::min(s.out_h, std::max<int64_t>(2, (kBandBytes / row - 2) / s.stride_h)) : 1;
    const int64_t down = ceil_div(s.out_h, height);
    const int64_t work = height * s.out_w * s.in_c * static_cast<int64_t>(run_.size());
    // `pixels` results beside each other, or those of a band, of so many lanes, from the one at `first` on.
    const auto results = [&](int64_t i, int64_t first, int64_t pixels, int64_t channels) {
        const int64_t image = i / down, p = i % down * height;
        const uint8_t* from = x + (image * padded_h_ + p * s.stride_h) * row + first * s.stride_w * lanes;
        uint8_t* to = y + ((image * s.out_h + p) * s.out_w) * s.out_c + first * lanes;
        if (!bands)
            return by_rows({.pixels = pixels, .channels = channels, .taps = static_cast<int64_t>(run_.size()),
                            .x = from, .tap = run_.data(), .x_step = s.stride_w * lanes, .weights = weights_->data(),
                            .y = to, .finish = finish_at(0)});
        by_bands({.rows = std::min(height, s.out_h - p), .pixels = pixels, .channels = channels, .x = from,
                  .x_column = s.dilation_w * s.in_c, .x_step = s.stride_w * lanes, .x_row = row,
                  .stride = s.stride_h, .weights = weights_->data(), .y = to, .y_row = s.out_w * s.out_c,
                  .finish = finish_at(0)});
    };
    parallel_for(batch * down, std::max<int64_t>(1, kTaskMacs / 4 / work), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            results(i, 0, whole, lanes);
            if (s.out_w > whole * together_) results(i, whole, 1, (s.out_w - whole * together_) * s.in_c);
        }
    });
}

}  // namespace lathe::kernels::integer
