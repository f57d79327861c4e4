#include "lathe/data/tar.h"

#include <doctest/doctest.h>

#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

std::string padded(std::string text) { return text.resize((text.size() + 511) / 512 * 512), text; }
std::string error_for(const std::string& archive) { return error_of([&] { parse_tar(bytes_of(archive), "a.tar"); }); }

}  // namespace

TEST_CASE("parse_tar: files and folders where they are") {
    const std::string archive = tar_of({{"a/", ""}, {"./a/one.txt", "1"}, {"a/two.bin", std::string(700, 'x')}, {"b", ""}});
    const auto entries = parse_tar(bytes_of(archive), "a.tar");
    REQUIRE(entries.size() == 4);
    CHECK(entries[0].path == "a/");
    CHECK(entries[1].path == "a/one.txt");
    CHECK(archive.substr(entries[1].offset, entries[1].size) == "1");
    CHECK(archive.substr(entries[2].offset, entries[2].size) == std::string(700, 'x'));
    CHECK(entries[3].path == "b");
}

TEST_CASE("parse_tar: long names of GNU, pax and ustar; links left out") {
    const std::string path(150, 'p');
    const std::string record = "160 path=" + path + "\n";
    std::string prefixed = tar_header("file", 0, '0');
    prefixed.replace(345, 3, "dir");
    size_t sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(prefixed[i]);
    std::snprintf(&prefixed[148], 8, "%06zo", sum);
    const std::string archive = tar_header("@LongLink", path.size(), 'L') + padded(path) + tar_header("short", 1, '0') + padded("x") +
                                tar_header("pax", record.size(), 'x') + padded(record) + tar_header("short", 1, '0') + padded("y") +
                                tar_header("link", 0, '2') + prefixed + std::string(1024, '\0');
    const auto entries = parse_tar(bytes_of(archive), "a.tar");
    REQUIRE(entries.size() == 3);
    CHECK(entries[0].path == path);
    CHECK(archive[entries[0].offset] == 'x');
    CHECK(entries[1].path == path);
    CHECK(archive[entries[1].offset] == 'y');
    CHECK(entries[2].path == "dir/file");
}

TEST_CASE("parse_tar: damaged archives") {
    const std::string archive = tar_of({{"a/1.png", std::string(600, 'x')}});
    for (size_t size : {size_t{0}, size_t{100}, size_t{512}, size_t{1100}, size_t{1536}})
        CHECK(contains(error_for(archive.substr(0, size)), "a.tar: truncated"));
    std::string wrong = archive;
    wrong[3] = 'z';
    CHECK(contains(error_for(wrong), "wrong header checksum"));
    CHECK(contains(error_for(std::string(2000, 'g')), "a.tar: damaged tar archive"));
    CHECK(contains(error_for(tar_header("big", size_t{7} << 30, '0')), "expected 7516192768 more bytes, got 0"));
    CHECK(contains(error_for(tar_header("sparse", 0, 'S')), "sparse files in a tar are not supported"));
    CHECK(contains(error_for(tar_header("pax", 20, 'x') + padded("9999 path=short\n")), "pax record"));
}
