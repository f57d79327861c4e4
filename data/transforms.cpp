#include "lathe/data/transforms.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "lathe/data/resize.h"

namespace lathe::data {

namespace {

// The size x size window whose corner lies at (top, left), which may lie outside: there it is black.
Image window(const Image& image, int64_t top, int64_t left, int64_t size) {
    Image out = blank_image(size, size, image.channels);
    const int64_t x0 = std::max<int64_t>(0, -left), x1 = std::min(size, image.width - left);
    for (int64_t y = 0; y < size; ++y)
        if (top + y >= 0 && top + y < image.height && x0 < x1)
            std::memcpy(out.at(y, x0), image.at(top + y, left + x0), static_cast<size_t>((x1 - x0) * image.channels));
    return out;
}

uint8_t to_byte(double value) { return static_cast<uint8_t>(std::lround(std::clamp(value, 0.0, 255.0))); }

void check_size(const char* op, int64_t size) {
    check(size >= 1 && size <= 8192, op, ": expected a size from 1 to 8192, got ", size);
}

}  // namespace

Transform random_crop(int64_t size, int64_t padding) {
    check_size("random_crop", size);
    check(padding >= 0 && padding <= size, "random_crop: expected a padding from 0 to ", size, ", got ", padding);
    return [=](Image image, Random& random) {
        const int64_t rows = image.height + 2 * padding - size, columns = image.width + 2 * padding - size;
        check(rows >= 0 && columns >= 0, "random_crop: expected images of at least ", size - 2 * padding,
              " pixels each way for a window of ", size, ", got ", image.height, "x", image.width);
        const int64_t top = random.below(rows + 1) - padding;
        return window(image, top, random.below(columns + 1) - padding, size);
    };
}

Transform random_flip(double probability) {
    check(probability >= 0 && probability <= 1, "random_flip: expected a probability, got ", probability);
    return [=](Image image, Random& random) {
        if (random.uniform() >= probability) return image;
        for (int64_t y = 0; y < image.height; ++y)
            for (int64_t x = 0; x < image.width / 2; ++x)
                std::swap_ranges(image.at(y, x), image.at(y, x) + image.channels, image.at(y, image.width - 1 - x));
        return image;
    };
}

Transform cutout(int64_t size) {
    check_size("cutout", size);
    return [=](Image image, Random& random) {
        const int64_t top = random.below(image.height) - size / 2, left = random.below(image.width) - size / 2;
        const int64_t x0 = std::max<int64_t>(left, 0), x1 = std::min(left + size, image.width);
        for (int64_t y = std::max<int64_t>(top, 0); y < std::min(top + size, image.height); ++y)
            std::fill(image.at(y, x0), image.at(y, x0) + (x1 - x0) * image.channels, uint8_t{127});
        return image;
    };
}

Transform color_jitter(double brightness, double contrast) {
    for (double amount : {brightness, contrast})
        check(amount >= 0 && amount <= 1, "color_jitter: expected amounts from 0 to 1, got ", amount);
    return [=](Image image, Random& random) {
        const double gain = random.uniform(1 - brightness, 1 + brightness);
        const double spread = random.uniform(1 - contrast, 1 + contrast);
        double mean = 0;
        for (uint8_t value : image.pixels) mean += value;
        mean *= gain / static_cast<double>(std::max<size_t>(image.pixels.size(), 1));
        uint8_t table[256];
        for (int value = 0; value < 256; ++value) table[value] = to_byte(mean + (value * gain - mean) * spread);
        for (uint8_t& value : image.pixels) value = table[value];
        return image;
    };
}

Transform random_resized_crop(int64_t size, double min_area) {
    check_size("random_resized_crop", size);
    check(min_area > 0 && min_area <= 1, "random_resized_crop: expected a smallest area in (0, 1], got ", min_area);
    return [=](Image image, Random& random) {
        const double area = random.uniform(min_area, 1) * static_cast<double>(image.height * image.width);
        const double aspect = std::exp(random.uniform(std::log(3.0 / 4.0), std::log(4.0 / 3.0)));
        const int64_t height = std::clamp<int64_t>(std::lround(std::sqrt(area / aspect)), 1, image.height);
        const int64_t width = std::clamp<int64_t>(std::lround(std::sqrt(area * aspect)), 1, image.width);
        const int64_t top = random.below(image.height - height + 1);
        return resized(image, {top, random.below(image.width - width + 1), height, width}, size, size);
    };
}

Transform resize(int64_t height, int64_t width) {
    check_size("resize", height);
    check_size("resize", width);
    return [=](Image image, Random&) {
        if (image.height == height && image.width == width) return image;
        return resized(image, {0, 0, image.height, image.width}, height, width);
    };
}

Transform center_crop(int64_t size) {
    check_size("center_crop", size);
    return [=](Image image, Random&) {
        check(image.height >= size && image.width >= size, "center_crop: expected images of at least ", size, "x", size,
              ", got ", image.height, "x", image.width);
        return window(image, (image.height - size) / 2, (image.width - size) / 2, size);
    };
}

Transform fit(int64_t size) {
    check_size("fit", size);
    return [=](Image image, Random&) {
        const int64_t side = std::min(image.height, image.width);
        return resized(image, {(image.height - side) / 2, (image.width - side) / 2, side, side}, size, size);
    };
}

namespace {

Transform parse_step(const std::string& step, const Shape& shape) {
    const size_t colon = step.find(':');
    const std::string name = step.substr(0, colon);
    const auto value = [&](double usual) {
        if (colon == std::string::npos) return usual;
        double number = 0;
        const char* end = step.data() + step.size();
        const auto [stop, error] = std::from_chars(step.data() + colon + 1, end, number);
        check(error == std::errc{} && stop == end && std::abs(number) <= 1e6, "augmentation: expected a number after '",
              name, ":', got '", step, "'");
        return number;
    };
    if (name == "crop") return random_crop(std::min(shape[0], shape[1]), std::lround(value(4)));
    if (name == "flip") return random_flip(value(0.5));
    if (name == "cutout") return cutout(std::lround(value(static_cast<double>(shape[0]) / 4)));
    if (name == "jitter") return color_jitter(value(0.2), value(0.2));
    if (name == "resized-crop") return random_resized_crop(std::min(shape[0], shape[1]), value(0.25));
    const std::string hint = nearest_name(name, {"crop", "flip", "cutout", "jitter", "resized-crop"});
    fail("augmentation: expected crop, flip, cutout, jitter or resized-crop, got '", name, "'",
         hint.empty() ? "" : "; ", hint);
}

}  // namespace

std::vector<Transform> parse_transforms(const std::string& text, const Shape& image_shape) {
    std::vector<Transform> steps;
    if (text.empty() || text == "none") return steps;
    for (size_t begin = 0, end = 0; end != std::string::npos; begin = end + 1) {
        end = text.find(',', begin);
        steps.push_back(parse_step(text.substr(begin, end == std::string::npos ? end : end - begin), image_shape));
    }
    return steps;
}

}  // namespace lathe::data
