#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include "lathe/core/files/file.h"

namespace lathe::data {

struct TarEntry {
    std::string path;             // as unpacked: "a/b.png"; that of a folder ends in '/'
    size_t offset = 0, size = 0;  // of the contents in the archive
};

// The files and folders that unpacking a tar archive gives (ustar, with the long names of GNU and pax), by their paths:
// of members of one name the last counts, links inside the archive have what they point at, and devices and links that
// lead out of it or nowhere are left out. `name` is for messages. Error: not a tar archive, truncated, a header whose
// checksum is wrong, a hard link to what is not there, sparse files.
std::vector<TarEntry> parse_tar(Bytes bytes, const std::string& name);

}  // namespace lathe::data
