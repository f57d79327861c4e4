#include "lathe/data/resize.h"

#include <algorithm>
#include <cmath>

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

}  // namespace

Image resized(const Image& image, const Window& window, int64_t height, int64_t width) {
    const int64_t channels = image.channels;
    const auto columns = triangle_filter(window.left, window.width, width);
    const auto rows = triangle_filter(window.top, window.height, height);

    std::vector<float> narrow(static_cast<size_t>(window.height * width * channels));  // first every row, then columns
    float* out = narrow.data();
    for (int64_t y = 0; y < window.height; ++y)
        for (const Taps& taps : columns)
            for (int64_t c = 0; c < channels; ++c) {
                const uint8_t* in = image.at(window.top + y, taps.first) + c;
                float sum = 0;
                for (float weight : taps.weights) sum += weight * *in, in += channels;
                *out++ = sum;
            }

    Image result = blank_image(height, width, channels);
    const int64_t stride = width * channels;
    std::vector<float> line(static_cast<size_t>(stride));
    for (int64_t y = 0; y < height; ++y) {
        std::fill(line.begin(), line.end(), 0.0f);
        const float* in = narrow.data() + (rows[y].first - window.top) * stride;
        for (float weight : rows[y].weights) {
            for (int64_t x = 0; x < stride; ++x) line[x] += weight * in[x];
            in += stride;
        }
        for (int64_t x = 0; x < stride; ++x)
            result.pixels[y * stride + x] = static_cast<uint8_t>(std::clamp(line[x] + 0.5f, 0.0f, 255.0f));
    }
    return result;
}

}  // namespace lathe::data
