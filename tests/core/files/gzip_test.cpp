#include "lathe/core/files/gzip.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "lathe/tests/data/test_files.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;

TEST_CASE("read_unpacked: damaged packed files and the limit on size") {
    const TemporaryFolder folder;
    write_file(folder / "good.gz", std::string(100000, 'a'));
    CHECK(read_unpacked(folder / "good.gz", 100000).size() == 100000);
    CHECK(contains(error_of([&] { read_unpacked(folder / "good.gz", 99999); }),
                   "expected at most 99999 bytes, got more"));
    write_file(folder / "plain", "not packed");
    std::filesystem::rename(folder / "plain", folder / "fake.gz");
    CHECK(contains(error_of([&] { read_unpacked(folder / "fake.gz", 100); }),
                   "expected a gzip file, got something else"));
    std::fstream file(folder / "good.gz", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-6, std::ios::end);  // inside the checksum
    file.put('x');
    file.close();
    CHECK(contains(error_of([&] { read_unpacked(folder / "good.gz", 100000); }), "good.gz: the gzip file is damaged"));
    CHECK(contains(error_of([&] { read_unpacked(folder / "none", 100); }), "none: cannot be read"));
}
