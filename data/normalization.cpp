#include "lathe/data/normalization.h"

#include <charconv>
#include <cmath>

namespace lathe::data {

namespace {

float value_for(const std::vector<float>& values, int64_t channel, float when_empty) {
    if (values.empty()) return when_empty;
    return values.size() == 1 ? values[0] : values[static_cast<size_t>(channel)];
}

std::vector<float> parse_values(const std::string& what, const std::string& text) {
    if (text == "none") return {};
    std::vector<float> values;
    const char* at = text.data();
    const char* end = at + text.size();
    for (;;) {
        float value = 0;
        const auto [stop, error] = std::from_chars(at, end, value);
        check(error == std::errc{} && (stop == end || *stop == ','), what,
              ": expected numbers with commas between them or 'none', got '", text, "'");
        values.push_back(value);
        if (stop == end) return values;
        at = stop + 1;
    }
}

std::string text_of(const std::vector<float>& values) {
    if (values.empty()) return "none";
    std::string text;
    for (float value : values) {
        char digits[32];
        const auto end =
            std::to_chars(digits, digits + sizeof digits, value).ptr;  // the shortest that reads back equal
        if (!text.empty()) text += ',';
        text.append(digits, end);
    }
    return text;
}

}  // namespace

void Normalization::check_channels(int64_t channels) const {
    for (const auto* values : {&mean, &std}) {
        const char* what = values == &mean ? "mean" : "std";
        const auto count = static_cast<int64_t>(values->size());
        check(count <= 1 || count == channels, what, ": expected ", channels, " values, one per channel, got ", count);
        for (float value : *values) {
            check(std::isfinite(value), what, ": expected finite numbers, got ", value);
            check(values == &mean || value > 0, "std: expected positive numbers, got ", value);
        }
    }
}

Normalization Normalization::for_channels(int64_t channels) const {
    check_channels(channels);
    Normalization each;
    if (mean.empty() && std.empty()) return each;
    for (int64_t c = 0; c < channels; ++c) {
        each.mean.push_back(value_for(mean, c, 0));
        each.std.push_back(value_for(std, c, 1));
    }
    return each;
}

std::vector<float> Normalization::table(int64_t channels) const {
    const auto count = static_cast<size_t>(channels);
    std::vector<float> table(256 * count);  // the same float32 steps as PyTorch's transforms
    for (size_t c = 0; c < count; ++c) {
        const float m = value_for(mean, static_cast<int64_t>(c), 0), s = value_for(std, static_cast<int64_t>(c), 1);
        for (size_t value = 0; value < 256; ++value)
            table[value * count + c] = (static_cast<float>(value) / 255.0f - m) / s;
    }
    return table;
}

std::string Normalization::mean_text() const { return text_of(mean); }
std::string Normalization::std_text() const { return text_of(std); }

Normalization parse_normalization(const std::string& mean, const std::string& std) {
    return {parse_values("mean", mean), parse_values("std", std)};
}

void normalize(const Image& image, const std::vector<float>& table, float* out) {
    const auto channels = static_cast<size_t>(image.channels);
    const uint8_t* in = image.pixels.data();
    for (size_t pixel = 0; pixel < image.pixels.size() / channels; ++pixel)
        for (size_t c = 0; c < channels; ++c) *out++ = table[*in++ * channels + c];
}

Tensor to_tensor(const Image& image, const Normalization& normalization) {
    normalization.check_channels(image.channels);
    Tensor tensor({1, image.height, image.width, image.channels});
    normalize(image, normalization.table(image.channels), tensor.mutable_data<float>());
    return tensor;
}

}  // namespace lathe::data
