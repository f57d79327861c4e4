#include "test_files.h"

#include <zlib.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>

#define STB_IMAGE_WRITE_STATIC
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

namespace lathe::testing {

namespace {

void append(void* text, void* data, int size) {
    static_cast<std::string*>(text)->append(static_cast<char*>(data), size);
}

}  // namespace

void write_file(const std::string& path, const std::string& contents) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    if (path.ends_with(".gz")) {
        gzFile file = gzopen(path.c_str(), "wb1");
        gzwrite(file, contents.data(), static_cast<unsigned>(contents.size()));
        gzclose(file);
    } else {
        std::ofstream(path, std::ios::binary) << contents;
    }
}

std::string encode_png(const data::Image& image) {
    std::string out;
    stbi_write_png_to_func(append, &out, image.width, image.height, image.channels, image.pixels.data(), 0);
    return out;
}

std::string encode_bmp(const data::Image& image) {
    std::string out;
    stbi_write_bmp_to_func(append, &out, image.width, image.height, image.channels, image.pixels.data());
    return out;
}

std::string encode_jpeg(const data::Image& image) {
    std::string out;
    stbi_write_jpg_to_func(append, &out, image.width, image.height, image.channels, image.pixels.data(), 95);
    return out;
}

namespace {

std::string number_of(uint32_t value, bool little_endian = false, int bytes = 4) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * (little_endian ? i : bytes - 1 - i));
    return text;
}

}  // namespace

std::string png_chunk(const std::string& type, const std::string& contents) {
    const std::string summed = type + contents;
    const auto sum = crc32(0, reinterpret_cast<const Bytef*>(summed.data()), static_cast<uInt>(summed.size()));
    return number_of(static_cast<uint32_t>(contents.size())) + summed + number_of(static_cast<uint32_t>(sum));
}

std::string with_png_checksums(std::string png) {
    for (size_t at = 8; at + 12 <= png.size();) {
        size_t size = 0;
        for (size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(png[at + i]);
        if (size > png.size() - at - 12) break;
        png.replace(at, size + 12, png_chunk(png.substr(at + 4, 4), png.substr(at + 8, size)));
        at += size + 12;
    }
    return png;
}

std::string exif_block(int orientation, bool little_endian) {
    const auto word = [&](uint32_t value) { return number_of(value, little_endian, 2); };
    const auto number = [&](uint32_t value) { return number_of(value, little_endian); };
    return (little_endian ? "II" : "MM") + word(42) + number(8) + word(2) + word(0x0100) + word(4) + number(1) +
           number(7) + word(0x0112) + word(3) + number(1) + word(static_cast<uint32_t>(orientation)) + word(0) +
           number(0);
}

data::Image plain_image(int64_t height, int64_t width, std::vector<uint8_t> color) {
    data::Image image = data::blank_image(height, width, static_cast<int64_t>(color.size()));
    for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = color[i % color.size()];
    return image;
}

std::string tar_header(const std::string& path, size_t size, char type) {
    std::string block(512, '\0');
    path.copy(block.data(), 100);
    std::snprintf(&block[100], 8, "%07o", 0644);
    std::snprintf(&block[124], 12, "%011zo", size);
    std::memcpy(&block[148], "        ", 8);
    block[156] = type;
    std::memcpy(&block[257], "ustar\0" "00", 8);
    unsigned sum = 0;
    for (char c : block) sum += static_cast<unsigned char>(c);
    std::snprintf(&block[148], 8, "%06o", sum);
    return block;
}

std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files) {
    std::string archive;
    for (const auto& [path, contents] : files) {
        archive += tar_header(path, contents.size(), path.ends_with('/') ? '5' : '0') + contents;
        archive.resize((archive.size() + 511) / 512 * 512);
    }
    return archive + std::string(1024, '\0');
}

}  // namespace lathe::testing
