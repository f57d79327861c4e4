#include "lathe/data/resize.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/parallel.h"

namespace lathe::data {

namespace {

// For each output position the first input and the weights of it and the following ones.
struct Taps {
    int64_t first = 0;
    std::vector<float> weights;
};

std::vector<Taps> triangle_filter(int64_t start, int64_t in, int64_t out) {
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    const double radius = std::max(scale, 1.0);
    std::vector<Taps> taps(static_cast<size_t>(out));
    for (int64_t i = 0; i < out; ++i) {
        const double center = (static_cast<double>(i) + 0.5) * scale;
        const auto first = std::max<int64_t>(0, static_cast<int64_t>(center - radius + 0.5));
        const auto last = std::min<int64_t>(in, static_cast<int64_t>(center + radius + 0.5));
        double sum = 0;
        std::vector<double> weights;
        for (int64_t j = first; j < last; ++j) {
            weights.push_back(std::max(0.0, 1 - std::abs(static_cast<double>(j) + 0.5 - center) / radius));
            sum += weights.back();
        }
        taps[i].first = start + first;
        for (double weight : weights) taps[i].weights.push_back(static_cast<float>(weight / sum));
    }
    return taps;
}

// Writes the pixels that rows and columns make of an image [.., image_width, channels], each number through `store`.
template <class In, class Store>
void resample(const In* image, int64_t image_width, int64_t channels, const std::vector<Taps>& rows,
              const std::vector<Taps>& columns, Store&& store) {
    const int64_t top = rows.front().first, stride = static_cast<int64_t>(columns.size()) * channels;
    const int64_t height = rows.back().first + static_cast<int64_t>(rows.back().weights.size()) - top;
    std::vector<float> narrow(static_cast<size_t>(height * stride));  // first every row, then columns
    float* out = narrow.data();
    for (int64_t y = 0; y < height; ++y)
        for (const Taps& taps : columns)
            for (int64_t c = 0; c < channels; ++c) {
                const In* in = image + ((top + y) * image_width + taps.first) * channels + c;
                float sum = 0;
                for (float weight : taps.weights) sum += weight * static_cast<float>(*in), in += channels;
                *out++ = sum;
            }

    std::vector<float> line(static_cast<size_t>(stride));
    int64_t to = 0;
    for (const Taps& taps : rows) {
        std::fill(line.begin(), line.end(), 0.0f);
        const float* in = narrow.data() + (taps.first - top) * stride;
        for (float weight : taps.weights) {
            for (int64_t x = 0; x < stride; ++x) line[static_cast<size_t>(x)] += weight * in[x];
            in += stride;
        }
        for (float value : line) store(to++, value);
    }
}

}  // namespace

Image resized(const Image& image, const Window& window, int64_t height, int64_t width) {
    Image result = blank_image(height, width, image.channels);
    resample(image.pixels.data(), image.width, image.channels, triangle_filter(window.top, window.height, height),
             triangle_filter(window.left, window.width, width), [&](int64_t i, float value) {
                 result.pixels[static_cast<size_t>(i)] =
                     static_cast<uint8_t>(std::clamp(value + 0.5f, 0.0f, 255.0f));
             });
    return result;
}

Tensor resized(const Tensor& images, int64_t height, int64_t width) {
    check(images.rank() == 4, "resized: expected images [N, H, W, C], got ", images.shape());
    const int64_t count = images.dim(0), channels = images.dim(3), pixels = height * width * channels;
    if (images.dim(1) == height && images.dim(2) == width) return images;
    const auto rows = triangle_filter(0, images.dim(1), height), columns = triangle_filter(0, images.dim(2), width);
    Tensor result({count, height, width, channels});
    float* out = result.mutable_data<float>();
    parallel_for(count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t n = begin; n < end; ++n)
            resample(images.data<float>() + n * images.numel() / count, images.dim(2), channels, rows, columns,
                     [&](int64_t i, float value) { out[n * pixels + i] = value; });
    });
    return result;
}

}  // namespace lathe::data
