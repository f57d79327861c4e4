#include "lathe/data/tar.h"

#include "lathe/tests/data/test_files.h"
#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

std::vector<std::string> seeds() {
    const std::string record = "21 path=long/name.png\n";
    std::string padded = record;
    padded.resize(512);
    return {testing::tar_of({{"a/", ""}, {"a/1.png", "one"}}),
            testing::tar_header("pax", record.size(), 'x') + padded + testing::tar_of({{"short", "1"}}),
            testing::tar_header("@LongLink", record.size(), 'L') + padded + testing::tar_of({{"short", "1"}})};
}

void read(Bytes bytes) { data::parse_tar(bytes, "fuzz"); }

}  // namespace lathe::fuzz
