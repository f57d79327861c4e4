#include "lathe/data/shapes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <mutex>
#include <numbers>

namespace lathe::data {

namespace {

constexpr int64_t kSide = 32;
constexpr double kPi = std::numbers::pi;

struct Point {
    double x, y;
};
Point operator+(Point a, Point b) { return {a.x + b.x, a.y + b.y}; }
Point operator-(Point a, Point b) { return {a.x - b.x, a.y - b.y}; }
Point operator*(Point a, double s) { return {a.x * s, a.y * s}; }
double dot(Point a, Point b) { return a.x * b.x + a.y * b.y; }
double length(Point a) { return std::sqrt(dot(a, a)); }
Point direction(double angle) { return {std::cos(angle), std::sin(angle)}; }
// Numbers are drawn one a statement or inside braces: compilers differ in which factor of a product they draw first.
Point random_step(double shortest, double longest, Random& random) {
    const double size = random.uniform(shortest, longest);
    return direction(random.uniform(0, 2 * kPi)) * size;
}
double clamp01(double value) { return std::clamp(value, 0.0, 1.0); }

// Each shape is its signed distance (negative inside) around the origin, reaching out to about 1. Formulas for the
// polygon and the heart: Quilez, "2D distance functions", iquilezles.org.

double segment_distance(Point p, Point a, Point b) {
    const Point along = b - a;
    return length(p - a - along * clamp01(dot(p - a, along) / dot(along, along)));
}

double polygon_distance(Point p, const std::vector<Point>& corners) {
    double distance = 1e9;
    bool inside = false;
    for (size_t i = 0, j = corners.size() - 1; i < corners.size(); j = i++) {
        const Point a = corners[i], b = corners[j];
        distance = std::min(distance, segment_distance(p, a, b));
        if ((a.y > p.y) != (b.y > p.y) && p.x < (b.x - a.x) * (p.y - a.y) / (b.y - a.y) + a.x) inside = !inside;
    }
    return inside ? -distance : distance;
}

// Corners at equal angles, whose radii alternate between the outer and the inner one.
std::vector<Point> radial_polygon(int corners, double outer, double inner) {
    std::vector<Point> polygon;
    for (int i = 0; i < corners; ++i) polygon.push_back(direction(2 * kPi * i / corners) * (i % 2 ? inner : outer));
    return polygon;
}

double box_distance(Point p, double half_width, double half_height) {
    const Point d{std::abs(p.x) - half_width, std::abs(p.y) - half_height};
    return length({std::max(d.x, 0.0), std::max(d.y, 0.0)}) + std::min(std::max(d.x, d.y), 0.0);
}

double heart_distance(Point p) {
    p = {std::abs(p.x) / 1.8, 0.55 - p.y / 1.8};  // y points down in images
    const Point lobe = p - Point{0.25, 0.75}, top = p - Point{0, 1};
    if (p.x + p.y > 1) return 1.8 * (length(lobe) - std::sqrt(2.0) / 4);
    const double diagonal = 0.5 * std::max(p.x + p.y, 0.0);
    const double distance = std::min(length(top), length(p - Point{diagonal, diagonal}));
    return 1.8 * (p.x > p.y ? distance : -distance);
}

double shape_distance(int64_t label, Point p) {
    static const auto triangle = radial_polygon(3, 1.0, 1.0), star = radial_polygon(10, 1.05, 0.45);
    static const std::vector<Point> arrow = {{1, 0},       {0.1, 0.8},  {0.1, 0.3}, {-0.9, 0.3},
                                             {-0.9, -0.3}, {0.1, -0.3}, {0.1, -0.8}};
    switch (label) {
        case 0: return length(p) - 0.85;
        case 1: return std::abs(length(p) - 0.72) - 0.2;
        case 2: return box_distance(p, 0.75, 0.75);
        case 3: return polygon_distance(p, triangle);
        case 4: return polygon_distance(p, star);
        case 5: return std::min(box_distance(p, 0.95, 0.28), box_distance(p, 0.28, 0.95));
        case 6: return std::max(length(p) - 0.95, 0.75 - length(p - Point{0.45, 0}));
        case 7: return heart_distance(p);
        case 8: return polygon_distance(p, arrow);
        default: return box_distance({p.x, std::abs(std::abs(p.y) - 0.35) - 0.35}, 0.8, 0.17);  // three bars
    }
}

using Rgb = std::array<double, 3>;

Rgb random_color(Random& random) { return {random.uniform(), random.uniform(), random.uniform()}; }

double distance(const Rgb& a, const Rgb& b) {
    return std::sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2]));
}

class Canvas {
public:
    // Paints the pixels from `low` to `high` by the color and the opacity that `paint(point, color)` gives for their
    // centres.
    template <class F>
    void paint(Point low, Point high, F&& paint) {
        const auto pixel = [](double at) {
            return std::clamp<int64_t>(static_cast<int64_t>(std::floor(at)), 0, kSide - 1);
        };
        for (int64_t y = pixel(low.y); y <= pixel(high.y); ++y)
            for (int64_t x = pixel(low.x); x <= pixel(high.x); ++x) {
                Rgb color{};
                const double opacity = paint(Point{static_cast<double>(x) + 0.5, static_cast<double>(y) + 0.5}, color);
                for (size_t c = 0; c < 3; ++c)
                    pixels_[y * kSide + x][c] += opacity * (color[c] - pixels_[y * kSide + x][c]);
            }
    }

    void stroke(Random& random) {
        const Point from{random.uniform(0, kSide), random.uniform(0, kSide)};
        const Point to = from + random_step(6, 18, random);
        const double half_width = random.uniform(0.4, 1.0);
        const Rgb ink = random_color(random);
        const Point margin{2, 2}, low{std::min(from.x, to.x), std::min(from.y, to.y)};
        paint(low - margin, Point{std::max(from.x, to.x), std::max(from.y, to.y)} + margin, [&](Point p, Rgb& color) {
            color = ink;
            return clamp01(half_width + 0.5 - segment_distance(p, from, to));
        });
    }

    // 8-bit pixels, brightened by `gain`, with noise of up to `noise` either way.
    Image develop(double gain, double noise, Random& random) const {
        Image image = blank_image(kSide, kSide, 3);
        uint8_t* out = image.pixels.data();
        for (const Rgb& pixel : pixels_) {
            const uint32_t bits = random.bits();  // ten for each channel
            for (int c = 0; c < 3; ++c) {
                const double grain = ((bits >> (10 * c) & 1023) / 511.5 - 1) * noise;
                *out++ = static_cast<uint8_t>(255 * clamp01(pixel[c] * gain + grain) + 0.5);
            }
        }
        return image;
    }

private:
    std::array<Rgb, kSide * kSide> pixels_{};
};

// A gradient between two colors with waves across it.
void paint_ground(Canvas& canvas, const Rgb& from, const Rgb& to, Random& random) {
    const Point slope = direction(random.uniform(0, 2 * kPi)) * (0.7 / kSide);
    const Point wave = random_step(0.4, 1.6, random);
    const double height = random.uniform(0, 0.08), phase = random.uniform(0, 2 * kPi);
    canvas.paint({0, 0}, {kSide, kSide}, [&](Point p, Rgb& color) {
        const double t = clamp01(0.5 + dot(p - Point{kSide / 2.0, kSide / 2.0}, slope));
        const double ripple = height * std::sin(static_cast<float>(dot(p, wave) + phase));
        for (size_t c = 0; c < 3; ++c) color[c] = from[c] + t * (to[c] - from[c]) + ripple;
        return 1.0;
    });
}

}  // namespace

Image draw_shape(int64_t label, Random& random) {
    const Rgb from = random_color(random), to = random_color(random);
    Rgb ink, middle;
    for (size_t c = 0; c < 3; ++c) middle[c] = (from[c] + to[c]) / 2;
    do ink = random_color(random);
    while (distance(ink, middle) < 0.5 || distance(ink, from) < 0.4 || distance(ink, to) < 0.4);

    Canvas canvas;
    paint_ground(canvas, from, to, random);
    for (int64_t strokes = random.below(4); strokes > 0; --strokes) canvas.stroke(random);

    const double radius = random.uniform(8, 13);
    const Point center{random.uniform(radius, kSide - radius), random.uniform(radius, kSide - radius)};
    const Point axis = direction(random.uniform(-kPi / 5, kPi / 5));
    const double shade = random.uniform(-0.2, 0.2);
    const Point reach{1.3 * radius, 1.3 * radius};
    canvas.paint(center - reach, center + reach, [&](Point p, Rgb& color) {
        const Point offset = (p - center) * (1 / radius);
        const Point turned{dot(offset, axis), axis.x * offset.y - axis.y * offset.x};
        for (size_t c = 0; c < 3; ++c) color[c] = ink[c] + shade * turned.x;
        return clamp01(0.5 - radius * shape_distance(label, turned));
    });
    if (random.uniform() < 0.3) canvas.stroke(random);
    const double gain = random.uniform(0.7, 1.1);
    return canvas.develop(gain, random.uniform(0.02, 0.10), random);
}

namespace {

// Draws an image when it is first asked for: a command that looks at a few hundred need not wait for all.
class ShapesSource : public Source {
public:
    ShapesSource(DatasetInfo info, int64_t count, uint64_t seed)
        : Source(std::move(info)),
          count_(count),
          seed_(seed),
          pixels_(new uint8_t[static_cast<size_t>(count * kImageBytes)]),
          drawn_(new std::once_flag[static_cast<size_t>(count)]) {}

    int64_t size() const override { return count_; }
    int64_t label(int64_t i) const override { return i % 10; }
    Image image(int64_t i, Random&) const override {
        uint8_t* const pixels = pixels_.get() + i * kImageBytes;
        std::call_once(drawn_[static_cast<size_t>(i)], [&] {
            Random random(seed_, static_cast<uint64_t>(i));
            const Image image = draw_shape(label(i), random);
            std::copy(image.pixels.begin(), image.pixels.end(), pixels);
        });
        return {kSide, kSide, 3, {pixels, pixels + kImageBytes}};
    }

private:
    static constexpr int64_t kImageBytes = kSide * kSide * 3;

    const int64_t count_;
    const uint64_t seed_;
    const std::unique_ptr<uint8_t[]> pixels_;  // [count, side, side, 3], each set once it is drawn
    const std::unique_ptr<std::once_flag[]> drawn_;
};

}  // namespace

Dataset shapes(Split split, const ShapesOptions& options) {
    check(options.count >= 0 && options.count <= 10'000'000, "shapes: expected a count from 0 to 10,000,000, got ",
          options.count);
    const int64_t count = options.count ? options.count : split == Split::train ? 20'000 : 4'000;
    DatasetInfo info;
    info.name = std::string("shapes ") + name_of(split);
    info.image_shape = {kSide, kSide, 3};
    info.classes = {"circle", "ring", "square", "triangle", "star", "cross", "crescent", "heart", "arrow", "stripes"};
    info.normalization = {{0.448f, 0.448f, 0.448f}, {0.225f, 0.225f, 0.225f}};
    const uint64_t seed = mix(options.seed, static_cast<uint64_t>(split));
    return Dataset(std::make_shared<ShapesSource>(std::move(info), count, seed));
}

}  // namespace lathe::data
