#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "lathe/core/files/file.h"

namespace lathe::data {

struct TarEntry {
    std::string path;           // without a leading "./"; that of a folder ends in '/'
    size_t offset = 0, size = 0;  // of the contents in the archive
};

// The files and folders of a tar archive (ustar, with the long names of GNU and pax), in its order; links and devices are
// left out. `name` is for messages. Error: not a tar archive, truncated, a header whose checksum is wrong.
std::vector<TarEntry> parse_tar(Bytes bytes, const std::string& name);

}  // namespace lathe::data
