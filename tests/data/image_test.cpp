#include "lathe/data/image.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "lathe/data/exif.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

Image gradient(int64_t height, int64_t width) {
    Image image = blank_image(height, width, 3);
    for (int64_t y = 0; y < height; ++y)
        for (int64_t x = 0; x < width; ++x)
            for (int64_t c = 0; c < 3; ++c) image.at(y, x)[c] = static_cast<uint8_t>(4 * x + 2 * y + 40 * c);
    return image;
}

Image decode(const std::string& file, int64_t channels = 3) { return parse_image(bytes_of(file), "f", channels); }
std::string error_for(const std::string& file) { return error_of([&] { decode(file); }); }

}  // namespace

TEST_CASE("parse_image: PNG and BMP give back the pixels, JPEG nearly") {
    const Image image = gradient(21, 34);
    for (const std::string& file : {encode_png(image), encode_bmp(image)}) {
        const Image decoded = decode(file);
        CHECK(decoded.shape() == image.shape());
        CHECK(decoded.pixels == image.pixels);
    }
    const Image decoded = decode(encode_jpeg(image));
    REQUIRE(decoded.shape() == image.shape());
    int worst = 0;
    for (size_t i = 0; i < image.pixels.size(); ++i)
        worst = std::max(worst, std::abs(decoded.pixels[i] - image.pixels[i]));
    CHECK(worst <= 12);
}

TEST_CASE("parse_image: as many channels as asked for") {
    const Image grey = decode(encode_png(plain_image(3, 5, {255, 0, 0})), 1);
    CHECK(grey.shape() == Shape{3, 5, 1});
    CHECK(int{grey.pixels[7]} == 76);  // 0.299 red
    const Image color = decode(encode_png(plain_image(3, 5, {90, 128})));  // grey with transparency
    CHECK(color.shape() == Shape{3, 5, 3});
    CHECK(int{color.pixels[20]} == 90);
}

TEST_CASE("parse_image: every truncation is an error") {
    const Image image = gradient(19, 23);
    for (const std::string& file : {encode_png(image), encode_bmp(image), encode_jpeg(image)})
        for (size_t size :
             {size_t{0}, size_t{1}, size_t{10}, size_t{60}, file.size() / 2, file.size() - 30, file.size() - 5})
            CHECK(contains(error_for(file.substr(0, size)), "f: "));
    const std::string jpeg = encode_jpeg(image);
    CHECK(error_for(jpeg.substr(0, jpeg.size() - 30)) == "f: the image is truncated");
}

TEST_CASE("parse_image: files that are no image, or claim too much") {
    CHECK(contains(error_for("hello, world, this is text"), "f: expected a PNG, JPEG or BMP image"));
    std::string png = encode_png(gradient(8, 8));
    for (size_t at : {size_t{18}, size_t{22}}) png.replace(at, 2, "\x17\x70");
    CHECK(contains(error_for(with_png_checksums(png)), "f: the image is truncated (6000x6000 pixels in "));
    for (size_t at : {size_t{18}, size_t{22}}) png.replace(at, 2, "\x3a\x98");
    CHECK(
        contains(error_for(with_png_checksums(png)), "f: expected an image of 1 to 134217728 pixels, got 15000x15000"));
    png = encode_png(gradient(8, 8));
    png[41] = 0x07;  // no deflate stream
    CHECK(contains(error_for(with_png_checksums(png)), "f: the image is damaged (bad "));
    std::string jpeg = encode_jpeg(gradient(8, 8)), scans = jpeg;
    for (int i = 0; i < 300; ++i) scans.insert(scans.size() - 2, std::string("\xff\xda\0\2", 4));
    CHECK(contains(error_for(scans), "f: expected a JPEG of at most 200 scans"));
    jpeg[jpeg.find("\xff\xc4") + 6] = '\xf0';
    CHECK(contains(error_for(jpeg), "f: the image is damaged (a Huffman table of "));
    CHECK(contains(error_of([] { read_image("/nowhere/x.png"); }), "/nowhere/x.png"));
    CHECK(has_image_suffix("a/B.JPeG"));
    CHECK(has_image_suffix("a/b.jfif"));
    CHECK_FALSE(has_image_suffix("a/b.gif"));
}

TEST_CASE("parse_image: a few bytes that unpack to much more than the image are refused") {
    std::string png = encode_png(plain_image(800, 800, {0, 0, 0}));  // 2 MB of zeros in a small file
    for (size_t at : {size_t{16}, size_t{20}}) png.replace(at, 4, std::string("\0\0\0\1", 4));  // that claims 1x1
    CHECK(contains(error_for(with_png_checksums(png)), "f: the image is damaged (outofmem)"));
}

TEST_CASE("parse_image: a flipped bit anywhere in a PNG is seen") {
    const std::string png = encode_png(gradient(9, 7));
    for (size_t i = 0; i < 8 * png.size(); ++i) {
        std::string flipped = png;
        flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << i % 8));
        CHECK(contains(error_for(flipped), "f: "));
    }
}

TEST_CASE("parse_image: pictures taken with a turned camera are turned upright, from all eight sides") {
    const std::vector<std::string> seen{"abc/def",  "cba/fed",  "fed/cba",  "def/abc",
                                        "ad/be/cf", "da/eb/fc", "fc/eb/da", "cf/be/ad"};
    Image stored = blank_image(2, 3, 1);
    for (size_t i = 0; i < 6; ++i) stored.pixels[i] = static_cast<uint8_t>('a' + i);
    const std::string png = encode_png(stored), jpeg = encode_jpeg(gradient(16, 24));
    for (int orientation = 1; orientation <= 8; ++orientation)
        for (bool little : {true, false}) {
            CAPTURE(orientation);
            const std::string exif = exif_block(orientation, little);
            const Image image = decode(png.substr(0, 33) + png_chunk("eXIf", exif) + png.substr(33), 1);
            std::string rows;
            for (int64_t y = 0; y < image.height; ++y)
                rows += (y ? "/" : "") + std::string(image.at(y, 0), image.at(y, 0) + image.width);
            CHECK(rows == seen[static_cast<size_t>(orientation - 1)]);

            const size_t size = exif.size() + 8;
            const std::string segment = std::string("\xff\xe1") + static_cast<char>(size >> 8) +
                                        static_cast<char>(size) + std::string("Exif\0\0", 6) + exif;
            CHECK(decode("\xff\xd8" + segment + jpeg.substr(2)).pixels == upright(decode(jpeg), orientation).pixels);
        }
    CHECK(exif_orientation(bytes_of("")) == 1);
    CHECK(exif_orientation(bytes_of(exif_block(9, true))) == 1);
    CHECK(exif_orientation(bytes_of(exif_block(0, false))) == 1);
    for (size_t cut = 0; cut < 34; ++cut) CHECK(exif_orientation(bytes_of(exif_block(6, true).substr(0, cut))) >= 1);
    CHECK(exif_orientation(bytes_of("II*\0\xff\xff\xff\xff")) == 1);  // a directory beyond the end
}

TEST_CASE("parse_image: the photographs of today's cameras") {
    CHECK(decode(encode_bmp(plain_image(8000, 4200, {10, 20, 30})), 1).shape() == Shape{8000, 4200, 1});
    CHECK(contains(error_for(encode_png(plain_image(8000, 4200, {10}))),
                   "f: expected a photograph of so many pixels (4200x8000) to have more than "));
}
