#include "lathe/data/tar.h"

#include <cstdio>
#include <cstdlib>

#include "lathe/tests/data/test_files.h"
#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

namespace {

// Writes the right checksum into every block, as if each were a header: mutations rarely get one right.
std::string with_checksums(std::string archive) {
    constexpr size_t kBlock = 512, kChecksum = 148;
    for (size_t at = 0; at + kBlock <= archive.size(); at += kBlock) {
        unsigned sum = 8 * ' ', any = 0;
        for (size_t i = 0; i < kBlock; ++i) {
            const unsigned value = static_cast<unsigned char>(archive[at + i]);
            any |= value;
            if (i < kChecksum || i >= kChecksum + 8) sum += value;
        }
        if (any) std::snprintf(&archive[at + kChecksum], 8, "%06o", sum);
    }
    return archive;
}

void check_entries(Bytes bytes) {
    for (const data::TarEntry& entry : data::parse_tar(bytes, "fuzz"))
        if (entry.offset > bytes.size() || entry.size > bytes.size() - entry.offset) abort();
}

// A link to a/1.png.
std::string link(char type) {
    std::string header = testing::tar_header("b", 0, type);
    header.replace(157, 7, "a/1.png");
    return with_checksums(header);
}

}  // namespace

std::vector<std::string> seeds() {
    const std::string record = "21 path=long/name.png\n";
    std::string padded = record;
    padded.resize(512);
    return {testing::tar_of({{"a/", ""}, {"a/1.png", "one"}}),
            testing::tar_header("pax", record.size(), 'x') + padded + testing::tar_of({{"short", "1"}}),
            testing::tar_of({{"a/1.png", "one"}}).substr(0, 1024) + link('1') + link('2') + std::string(1024, '\0'),
            testing::tar_header("@LongLink", record.size(), 'L') + padded + testing::tar_of({{"short", "1"}})};
}

void read(Bytes bytes) {
    testing::error_of([&] { check_entries(bytes); });
    check_entries(testing::bytes_of(with_checksums({reinterpret_cast<const char*>(bytes.data()), bytes.size()})));
}

}  // namespace lathe::fuzz
