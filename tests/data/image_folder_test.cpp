#include "lathe/data/image_folder.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "lathe/data/transforms.h"
#include "lathe/tests/temporary_folder.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

std::string picture(uint8_t value, int64_t height = 10, int64_t width = 14) {
    return encode_png(plain_image(height, width, {value, value, value}));
}

// The same files as a folder and as an archive.
struct Both {
    explicit Both(const Files& files) {
        for (const auto& [path, contents] : files)
            if (path.ends_with('/'))
                std::filesystem::create_directories(folder / ("set/" + path));
            else
                write_file(folder / ("set/" + path), contents);
        write_file(folder / "set.tar", tar_of(files));
        paths = {folder / "set", folder / "set.tar"};
    }
    const TemporaryFolder folder;
    std::vector<std::string> paths;
};

std::vector<int> first_pixels(const Dataset& dataset) {
    std::vector<int> values;
    Random random(0);
    for (int64_t i = 0; i < dataset.size(); ++i) values.push_back(dataset.image(i, random).pixels[0]);
    return values;
}

}  // namespace

TEST_CASE("image_folder: train/ and val/ are the splits, sorted folders the classes") {
    const Both both({{"train/bee/b.png", picture(20)}, {"train/bee/a.BMP", encode_bmp(plain_image(9, 9, {10, 10, 10}))},
                     {"train/ant/x.png", picture(30, 80, 20)}, {"train/ant/notes.txt", "?"}, {"train/.hidden/x.png", "?"},
                     {"val/bee/c.png", picture(40)}, {"README", "?"}});
    for (const std::string& path : both.paths) {
        const Dataset train = image_folder(path, Split::train, {.size = 8});
        CHECK(train.describe() == "folder:" + path + " train: 3 images 8x8x3, 2 classes");
        CHECK(train.classes() == std::vector<std::string>{"ant", "bee"});
        CHECK(first_pixels(train) == std::vector<int>{30, 10, 20});
        CHECK(train.label(0) == 0);
        CHECK(train.label(2) == 1);
        CHECK(train.batch({0, 1, 2}).input().shape() == Shape{3, 8, 8, 3});
        const Dataset test = image_folder(path, Split::test, {.size = 8, .channels = 1});
        CHECK(first_pixels(test) == std::vector<int>{40});
        CHECK(test.label(0) == 1);
        CHECK(test.image_shape() == Shape{8, 8, 1});
    }
}

TEST_CASE("image_folder: without splits a share of each class is kept for testing, also below one common folder") {
    Files files;
    for (int i = 0; i < 20; ++i) files.push_back({"pets/" + std::string(i < 10 ? "cat" : "dog") + "/deep/" + std::to_string(i) + ".png", picture(i)});
    files.push_back({"pets/only/1.png", picture(99)});
    const Both both(files);
    for (const std::string& path : both.paths) {
        const auto train = first_pixels(image_folder(path, Split::train, {.test_share = 0.3}));
        const Dataset test = image_folder(path, Split::test, {.test_share = 0.3});
        const auto values = first_pixels(test);
        CHECK(contains(test.describe(), "6 images 64x64x3, 3 classes, 30% of the images kept for testing"));
        CHECK(train.size() == 15);
        std::set<int> all(train.begin(), train.end());
        all.insert(values.begin(), values.end());
        CHECK(all.size() == 21);
        CHECK(std::count_if(values.begin(), values.end(), [](int v) { return v < 10; }) == 3);
        CHECK(first_pixels(image_folder(path, Split::test, {.test_share = 0.3})) == values);
        CHECK(first_pixels(image_folder(path, Split::test, {.test_share = 0.3, .seed = 1})) != values);
    }
}

TEST_CASE("image_folder: what is wrong with a set is said") {
    const auto errors = [](const Files& files) {
        const Both both(files);
        std::vector<std::string> said;
        for (const std::string& path : both.paths)
            said.push_back(error_of([&] {
                const Dataset train = image_folder(path, Split::train), test = image_folder(path, Split::test);
                first_pixels(train);
            }));
        return said;
    };
    for (const std::string& error : errors({{"ant/x.png", picture(1)}, {"bee/", ""}}))
        CHECK(contains(error, "class folder bee holds no PNG, JPEG or BMP image"));
    for (const std::string& error : errors({{"train/ant/x.png", picture(1)}, {"val/wasp/x.png", picture(1)}}))
        CHECK(contains(error, "class folder val/wasp has no counterpart in train/"));
    for (const std::string& error : errors({{"x.png", picture(1)}}))
        CHECK(contains(error, "expected a folder of images for each class, found none"));
    for (const std::string& error : errors({{"ant/a.png", picture(1)}, {"ant/b.png", picture(1).substr(0, 60)}, {"bee/c.png", "text"}}))
        CHECK(contains(error, ".png: "));
    CHECK(contains(error_of([] { image_folder("/nowhere/at/all", Split::train); }), "/nowhere/at/all: cannot be read"));
    const TemporaryFolder folder;
    CHECK(contains(error_of([&] { image_folder(folder.path, Split::train); }), "found none"));
    write_file(folder / "x.tar", "not an archive");
    CHECK(contains(error_of([&] { image_folder(folder / "x.tar", Split::train); }), "x.tar: truncated, or not a tar archive"));
    CHECK(contains(error_of([&] { image_folder(folder.path, Split::train, {.channels = 4}); }), "expected 1 or 3 channels, got 4"));
    CHECK(contains(error_of([&] { image_folder(folder.path, Split::train, {.test_share = 1}); }), "expected a test share"));
}

TEST_CASE("image_folder: ants and bees") {
    const char* root = std::getenv("LATHE_DATA");
    if (!root) {
        MESSAGE("skipped: LATHE_DATA is not set");
        return;
    }
    const std::string path = std::string(root) + "/hymenoptera/hymenoptera.tar";
    const Dataset train = image_folder(path, Split::train, {.size = 32}), test = image_folder(path, Split::test, {.size = 32});
    CHECK(train.classes() == std::vector<std::string>{"ants", "bees"});
    CHECK(train.size() == 244);
    CHECK(test.size() == 153);
    CHECK(train.label(122) == 0);
    CHECK(train.label(123) == 1);
    Random random(0);
    for (int64_t i = 0; i < train.size(); ++i) CHECK(train.image(i, random).shape() == Shape{32, 32, 3});
}
