#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "lathe/core/files/file.h"

namespace lathe {

// `path` when that file exists, else `path`.gz when that one does, else "".
std::string find_plain_or_gz(const std::string& path);

// The whole file, unpacked when it is gzip. Error: missing or unreadable, damaged or truncated gzip, more than
// max_bytes when unpacked (so that a small hostile file cannot fill the memory).
std::vector<std::byte> read_unpacked(const std::string& path, size_t max_bytes);

// The same of the first `count` bytes alone, or of all if there are fewer. The rest may be damaged.
std::vector<std::byte> read_unpacked_start(const std::string& path, size_t count);

// The parts, one after the other, as a gzip file; equal parts give equal bytes.
std::vector<std::byte> packed_gzip(std::span<const Bytes> parts);

}  // namespace lathe
