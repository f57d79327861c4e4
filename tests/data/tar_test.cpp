#include "lathe/data/tar.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>

#include "lathe/tests/temporary_folder.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

std::string padded(std::string text) { return text.resize((text.size() + 511) / 512 * 512), text; }

// What its files hold, by their paths.
std::map<std::string, std::string> unpacked(const std::string& archive) {
    std::map<std::string, std::string> files;
    for (const TarEntry& entry : parse_tar(bytes_of(archive), "a.tar"))
        if (!entry.path.ends_with('/')) files[entry.path] = archive.substr(entry.offset, entry.size);
    return files;
}

std::string error_for(const std::string& archive) { return error_of([&] { parse_tar(bytes_of(archive), "a.tar"); }); }

}  // namespace

TEST_CASE("parse_tar: files and folders where they are") {
    const std::string archive =
        tar_of({{"a/", ""}, {"./a/one.txt", "1"}, {"a/two.bin", std::string(700, 'x')}, {"b", ""}});
    const auto entries = parse_tar(bytes_of(archive), "a.tar");
    REQUIRE(entries.size() == 4);
    CHECK(entries[0].path == "a/");
    CHECK(entries[1].path == "a/one.txt");
    CHECK(archive.substr(entries[1].offset, entries[1].size) == "1");
    CHECK(archive.substr(entries[2].offset, entries[2].size) == std::string(700, 'x'));
    CHECK(entries[3].path == "b");
}

TEST_CASE("parse_tar: names as tar unpacks them, the last of one name") {
    const std::string archive =
        tar_of({{"./", ""}, {"./b//./c", "old"}, {"/d", "2"}, {"../out", "x"}, {"e/../../f", "x"}, {"b/c", "new"}});
    CHECK(unpacked(archive) == std::map<std::string, std::string>{{"b/c", "new"}, {"d", "2"}});
}

TEST_CASE("parse_tar: long names of GNU, pax and ustar") {
    const std::string path(150, 'p'), other(150, 'q');
    const std::string record = "160 path=" + other + "\n";
    std::string prefixed = tar_header("file", 0, '0');
    prefixed.replace(345, 3, "dir");
    size_t sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(prefixed[i]);
    std::snprintf(&prefixed[148], 8, "%06zo", sum);
    const std::string archive = tar_header("@LongLink", path.size(), 'L') + padded(path) + tar_header("short", 1, '0') +
                                padded("x") + tar_header("pax", record.size(), 'x') + padded(record) +
                                tar_header("short", 1, '0') + padded("y") + tar_header("device", 0, '3') + prefixed +
                                std::string(1024, '\0');
    CHECK(unpacked(archive) == std::map<std::string, std::string>{{"dir/file", ""}, {path, "x"}, {other, "y"}});
}

TEST_CASE("parse_tar: every way of packing gives what tar unpacks") {
    const TemporaryFolder folder;
    const std::string in = folder / "in";
    write_file(in + "/train/ant/1.png", "one");
    write_file(in + "/train/ant/2.png", std::string(2000, '2'));
    write_file(in + "/train/bee/" + std::string(120, 'n') + ".png", "long");
    write_file(in + "/shared/3.png", "three");
    const std::string links = "cd " + in +
                              " && ln train/ant/1.png train/bee/hard.png && ln -s ../ant/2.png train/bee/soft.png && "
                              "ln -s soft.png train/bee/chain.png && "
                              "ln -s ../shared train/wasp && ln -s /etc/hostname train/out && ln -s nowhere train/lost "
                              "&& ln -s .. train/up && "
                              "ln train/bee/soft.png train/bee/hard-to-soft.png && ln -s " +
                              std::string(120, 'n') + ".png train/bee/to-long.png";
    REQUIRE(std::system(links.c_str()) == 0);
    const std::string tar = folder / "x.tar", from = " -C " + in + " ";
    for (const std::string& how :
         {"tar -cf " + tar + from + ".", "tar -cf " + tar + from + "train shared",
          "tar --format=gnu -cf " + tar + from + ".", "tar --format=pax -cf " + tar + from + ".",
          "tar -cf " + tar + from + "train shared && tar -rf " + tar + from + "train shared"}) {
        CAPTURE(how);
        REQUIRE(std::system((how + " 2>/dev/null").c_str()) == 0);
        const std::map<std::string, std::string> expected{{"train/ant/1.png", "one"},
                                                          {"train/ant/2.png", std::string(2000, '2')},
                                                          {"train/bee/" + std::string(120, 'n') + ".png", "long"},
                                                          {"train/bee/hard.png", "one"},
                                                          {"train/bee/soft.png", std::string(2000, '2')},
                                                          {"train/bee/chain.png", std::string(2000, '2')},
                                                          {"train/bee/hard-to-soft.png", std::string(2000, '2')},
                                                          {"train/bee/to-long.png", "long"},
                                                          {"train/wasp/3.png", "three"},
                                                          {"shared/3.png", "three"}};
        CHECK(unpacked(read_text_file(tar)) == expected);
    }
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
    CHECK(contains(error_for(tar_header("link", 0, '1') + std::string(1024, '\0')),
                   "a.tar: link is a link to , which is not there"));
    const std::string record = "22 GNU.sparse.major=1\n";
    CHECK(contains(error_for(tar_header("pax", record.size(), 'x') + padded(record)),
                   "sparse files in a tar are not supported"));
    CHECK(contains(error_for(tar_header("pax", 20, 'x') + padded("9999 path=short\n")), "pax record"));
}
