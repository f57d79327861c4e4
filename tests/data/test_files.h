#pragma once
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/files/file.h"
#include "lathe/data/image.h"
#include "lathe/tests/error_of.h"

namespace lathe::testing {

// Writes a file and the folders above it, packed when it is named .gz.
void write_file(const std::string& path, const std::string& contents);

std::string encode_png(const data::Image& image);
std::string encode_bmp(const data::Image& image);
std::string encode_jpeg(const data::Image& image);
std::string png_chunk(const std::string& type, const std::string& contents);
std::string with_png_checksums(std::string png);  // the right ones in every chunk
std::string exif_block(int orientation, bool little_endian);
data::Image plain_image(int64_t height, int64_t width, std::vector<uint8_t> color);  // one color all over

// A ustar archive of (path, contents); a path that ends in '/' is a folder.
std::string tar_of(const std::vector<std::pair<std::string, std::string>>& files);
std::string tar_header(const std::string& path, size_t size, char type);

inline Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }
inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace lathe::testing
