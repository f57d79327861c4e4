#include "lathe/data/transforms.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "lathe/data/resize.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

// The pixel at (y, x) is 16 y + x + 1 in the first channel, never black.
Image numbered(int64_t height, int64_t width) {
    Image image = blank_image(height, width, 2);
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
            image.at(y, x)[0] = static_cast<uint8_t>(16 * y + x + 1), image.at(y, x)[1] = 7;
    return image;
}

Image run(const Transform& transform, Image image, uint64_t seed = 0) {
    Random random(seed);
    return transform(std::move(image), random);
}

}  // namespace

TEST_CASE("random_crop: a window at every position, black outside") {
    std::set<int> corners;
    for (uint64_t seed = 0; seed < 200; ++seed) {
        const Image out = run(random_crop(4, 1), numbered(4, 4), seed);
        REQUIRE(out.shape() == Shape{4, 4, 2});
        corners.insert(out.at(1, 1)[0]);
        const int shift = out.at(1, 1)[0] - 18;  // 0 when the window did not move
        CHECK(out.at(2, 2)[0] == 35 + shift);
        CHECK(int{out.at(0, 0)[0]} == (out.at(0, 0)[1] == 0 ? 0 : 1 + shift));
    }
    CHECK(corners.size() == 9);
    CHECK(run(random_crop(4), numbered(4, 4)).pixels == numbered(4, 4).pixels);
    CHECK(contains(error_of([] { run(random_crop(9, 2), numbered(4, 8)); }),
                   "expected images of at least 5 pixels each way"));
    CHECK(contains(error_of([] { random_crop(0); }), "random_crop: expected a size from 1 to 8192, got 0"));
}

TEST_CASE("random_flip: mirrors about half of the images, columns only") {
    int flipped = 0;
    for (uint64_t seed = 0; seed < 400; ++seed) {
        const Image out = run(random_flip(), numbered(2, 3), seed);
        const bool mirrored = out.at(0, 0)[0] == 3;
        flipped += mirrored;
        for (int64_t y = 0; y < 2; ++y)
            for (int64_t x = 0; x < 3; ++x) CHECK(out.at(y, x)[0] == 16 * y + (mirrored ? 2 - x : x) + 1);
    }
    CHECK(flipped > 150);
    CHECK(flipped < 250);
    CHECK(run(random_flip(1), run(random_flip(1), numbered(5, 4))).pixels == numbered(5, 4).pixels);
}

TEST_CASE("cutout: one grey square, cut off at the edges") {
    for (uint64_t seed = 0; seed < 100; ++seed) {
        const Image out = run(cutout(4), plain_image(8, 8, {0}), seed);
        int64_t grey = 0;
        for (uint8_t value : out.pixels) {
            CHECK((value == 0 || value == 127));
            grey += value == 127;
        }
        CHECK(grey >= 4);
        CHECK(grey <= 16);
    }
    CHECK(run(cutout(100), plain_image(8, 6, {0})).pixels == std::vector<uint8_t>(48, 127));
}

TEST_CASE("color_jitter: scales brightness and contrast, keeps to the range") {
    std::set<int> means;
    for (uint64_t seed = 0; seed < 50; ++seed) {
        means.insert(run(color_jitter(0.5, 0), plain_image(2, 2, {100}), seed).pixels[0]);
        const Image out = run(color_jitter(0, 0.5), {1, 2, 1, {50, 150}}, seed);
        CHECK(out.pixels[0] + out.pixels[1] == doctest::Approx(200).epsilon(0.01));
        CHECK(out.pixels[1] - out.pixels[0] >= 49);
        CHECK(out.pixels[1] - out.pixels[0] <= 151);
        run(color_jitter(1, 1), {1, 3, 1, {0, 255, 255}}, seed);
    }
    CHECK(*means.begin() >= 50);
    CHECK(*means.rbegin() <= 150);
    CHECK(means.size() > 20);
    CHECK(run(color_jitter(0, 0), numbered(3, 3)).pixels == numbered(3, 3).pixels);
    CHECK(contains(error_of([] { color_jitter(2, 0); }), "color_jitter: expected amounts from 0 to 1, got 2"));
}

TEST_CASE("resized: keeps a plain image, averages when shrinking, interpolates when growing") {
    for (const auto& [height, width] : {std::pair{3, 50}, {17, 1}, {40, 40}})
        CHECK(resized(plain_image(11, 13, {9, 200}), {2, 3, 7, 9}, height, width).pixels ==
              plain_image(height, width, {9, 200}).pixels);
    CHECK(resized(numbered(6, 7), {0, 0, 6, 7}, 6, 7).pixels == numbered(6, 7).pixels);
    Image checkers = blank_image(32, 32, 1);
    for (int64_t i = 0; i < 1024; ++i) checkers.pixels[i] = (i + i / 32) % 2 ? 200 : 100;
    for (uint8_t value : resized(checkers, {0, 0, 32, 32}, 8, 8).pixels) CHECK(std::abs(value - 150) <= 3);
    const Image grown = resized({1, 2, 1, {0, 100}}, {0, 0, 1, 2}, 1, 4);  // centres at -0.25, 0.25, 0.75, 1.25 pixels
    CHECK(grown.pixels == std::vector<uint8_t>{0, 25, 75, 100});
}

TEST_CASE("fit, center_crop, resize and random_resized_crop: size and place") {
    const Image wide = run(fit(4), numbered(4, 10));
    CHECK(wide.pixels == run(center_crop(4), numbered(4, 10)).pixels);
    CHECK(int{wide.at(0, 0)[0]} == 4);
    CHECK(run(fit(5), numbered(12, 3)).shape() == Shape{5, 5, 2});
    CHECK(run(resize(3, 9), numbered(4, 4)).shape() == Shape{3, 9, 2});
    CHECK(
        contains(error_of([] { run(center_crop(5), numbered(4, 10)); }), "expected images of at least 5x5, got 4x10"));
    for (uint64_t seed = 0; seed < 100; ++seed) {
        CHECK(run(random_resized_crop(6), numbered(10, 13), seed).shape() == Shape{6, 6, 2});
        CHECK(run(random_resized_crop(6), numbered(1, 15), seed).shape() == Shape{6, 6, 2});
    }
}

TEST_CASE("parse_transforms: steps by name") {
    const Shape shape{32, 32, 3};
    CHECK(parse_transforms("none", shape).empty());
    CHECK(parse_transforms("crop,flip,cutout,jitter,resized-crop", shape).size() == 5);
    const auto steps = parse_transforms("resized-crop:0.5,cutout:64", shape);
    REQUIRE(steps.size() == 2);
    CHECK(run(steps[1], plain_image(32, 32, {0})).pixels == std::vector<uint8_t>(1024, 127));
    const auto error = [&](const std::string& text) { return error_of([&] { parse_transforms(text, shape); }); };
    CHECK(contains(error("flop"),
                   "expected crop, flip, cutout, jitter or resized-crop, got 'flop'; did you mean 'flip'?"));
    CHECK(contains(error("crop:"), "expected a number after 'crop:', got 'crop:'"));
    CHECK(contains(error("crop:4x"), "expected a number"));
    CHECK(contains(error("flip,,crop"), "got ''"));
    CHECK(contains(error("crop:-1"), "expected a padding"));
    CHECK(contains(error("jitter:nan"), "expected a number"));
}

TEST_CASE("resized: a batch is scaled as its images are, and keeps fractions") {
    const Image image = numbered(6, 8);
    Tensor batch({2, 6, 8, image.channels});
    for (int64_t i = 0; i < batch.numel(); ++i)
        batch.mutable_data<float>()[i] = static_cast<float>(image.pixels[static_cast<size_t>(i % (batch.numel() / 2))]);
    for (const auto& [height, width] : {std::pair<int64_t, int64_t>{3, 4}, {5, 9}}) {
        const Image one = resized(image, {0, 0, 6, 8}, height, width);
        const Tensor all = resized(batch, height, width);
        REQUIRE(all.shape() == Shape{2, height, width, image.channels});
        for (int64_t i = 0; i < all.numel(); ++i)
            CHECK(std::abs(all.at(i) - one.pixels[static_cast<size_t>(i % (all.numel() / 2))]) <= 0.5);
    }
    CHECK(resized(batch, 6, 8).shares_storage(batch));
}
