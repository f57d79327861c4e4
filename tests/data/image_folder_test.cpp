#include "lathe/data/image_folder.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <set>

#include "lathe/data/open.h"
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
    const Both both({{"train/bee/b.png", picture(20)},
                     {"train/bee/a.BMP", encode_bmp(plain_image(9, 9, {10, 10, 10}))},
                     {"train/ant/x.png", picture(30, 80, 20)},
                     {"train/ant/notes.txt", "?"},
                     {"train/.hidden/x.png", "?"},
                     {"val/bee/c.png", picture(40)},
                     {"README", "?"}});
    for (const std::string& path : both.paths) {
        const Dataset train = image_folder(path, Split::train, {.size = 8});
        CHECK(train.describe() ==
              "folder:" + path + " train: 3 images 8x8x3, 2 classes, 1 other file passed over (.txt 1)");
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
    for (int i = 0; i < 200; ++i)
        files.push_back(
            {"pets/" + std::string(i < 100 ? "cat" : "dog") + "/deep/" + std::to_string(i) + ".png", picture(i)});
    const Both both(files);
    std::vector<int> of_folder;
    for (const std::string& path : both.paths) {
        const auto train = first_pixels(image_folder(path, Split::train, {.test_share = 0.3}));
        const Dataset test = image_folder(path, Split::test, {.test_share = 0.3});
        const auto values = first_pixels(test);
        CHECK(contains(test.describe(), " images 64x64x3, 2 classes, 30% of the images kept for testing"));
        std::set<int> all(train.begin(), train.end());
        all.insert(values.begin(), values.end());
        CHECK(all.size() == 200);
        CHECK(train.size() + values.size() == 200);
        const auto cats = std::count_if(values.begin(), values.end(), [](int v) { return v < 100; });
        CHECK(std::abs(static_cast<double>(cats) - 30) <
              14);  // three standard deviations of a share that each image draws alone
        CHECK(std::abs(static_cast<double>(values.size()) - 60) < 20);
        CHECK(first_pixels(image_folder(path, Split::test, {.test_share = 0.3})) == values);
        CHECK(first_pixels(image_folder(path, Split::test, {.test_share = 0.3, .seed = 1})) != values);
        if (of_folder.empty()) of_folder = values;
        CHECK(values == of_folder);
    }
}

TEST_CASE("image_folder: a test image stays one when the folder grows or loses images") {
    Files files;
    for (int i = 0; i < 120; ++i)
        files.push_back({std::string(i % 2 ? "cat/" : "dog/") + std::to_string(i) + ".png", picture(i)});
    const auto tests_of = [](const Files& some) {
        const Both both(some);
        const std::vector<int> pixels = first_pixels(image_folder(both.paths[0], Split::test));
        return std::set<int>(pixels.begin(), pixels.end());
    };
    const std::set<int> all = tests_of(files);
    for (int64_t count : {20, 40, 90})
        for (int value : tests_of({files.begin(), files.begin() + count})) CHECK(all.count(value) == 1);
    files.push_back({"wasp/1.png", picture(201)}), files.push_back({"ant/1.png", picture(202)}),
        files.push_back({"ant/2.png", picture(203)});
    std::set<int> more = tests_of(files);
    for (int value : {201, 202, 203}) more.erase(value);
    CHECK(more == all);
}

TEST_CASE(
    "image_folder: splits are known by their usual names, in any case, and wrapped folders with whatever lies beside "
    "them") {
    for (const auto& [train, test] : std::vector<std::pair<std::string, std::string>>{{"train", "val"},
                                                                                      {"Training", "VALIDATION"},
                                                                                      {"TRAIN", "valid"},
                                                                                      {"train", "dev"},
                                                                                      {"training", "Testing"},
                                                                                      {"train", "test"}}) {
        CAPTURE(test);
        const Both both({{"set/README.md", "?"},
                         {"set/labels.csv", "?"},
                         {"set/" + train + "/ant/1.png", picture(1)},
                         {"set/" + train + "/bee/2.png", picture(2)},
                         {"set/" + test + "/bee/3.png", picture(3)},
                         {"@eaDir/x/y.png", "?"},
                         {"__pycache__/a/b.png", "?"},
                         {"lost+found/", ""},
                         {"set/@eaDir/1.png/thumb.jpg", "?"},
                         {".Trash/a/b.png", "?"},
                         {"set/" + train + "/__MACOSX/1.png", "?"},
                         {"Thumbs.db", "?"},
                         {"set/" + train + "/ant/.1.png", "?"}});
        for (const std::string& path : both.paths) {
            CHECK(image_folder(path, Split::train).describe() ==
                  "folder:" + path + " train: 2 images 64x64x3, 2 classes");
            CHECK(first_pixels(image_folder(path, Split::test)) == std::vector<int>{3});
        }
    }
    // A class may be called "train".
    Files vehicles;
    for (int i = 0; i < 60; ++i)
        vehicles.push_back({std::string(i % 2 ? "bus/" : "train/") + std::to_string(i) + ".png", picture(i)});
    CHECK(image_folder(Both(vehicles).paths[0], Split::train).classes() == std::vector<std::string>{"bus", "train"});
    const Both three({{"train/a/1.png", picture(1)},
                      {"train/b/2.png", picture(2)},
                      {"val/a/3.png", picture(3)},
                      {"test/a/4.png", picture(4)}});
    for (const std::string& path : three.paths) {
        CHECK(ImageFolder(path).splits() == std::vector<Split>{Split::train, Split::validation, Split::test});
        CHECK(first_pixels(image_folder(path, Split::validation)) == std::vector<int>{3});
        CHECK(first_pixels(image_folder(path, Split::test)) == std::vector<int>{4});
    }
    const ImageFolder archive(three.paths[1]);
    std::filesystem::remove(three.paths[1]);  // read once, for all splits
    CHECK(first_pixels(archive.open(Split::train)) == std::vector<int>{1, 2});
    CHECK(first_pixels(archive.open(Split::test)) == std::vector<int>{4});
    const Both two({{"train/a/1.png", picture(1)}, {"train/b/2.png", picture(2)}, {"val/a/3.png", picture(3)}});
    for (const std::string& path : two.paths) {
        CHECK(ImageFolder(path).splits() == std::vector<Split>{Split::train, Split::validation});
        CHECK(first_pixels(image_folder(path, Split::test)) == std::vector<int>{3});
    }
    CHECK(ImageFolder(Both(vehicles).paths[0]).splits() == std::vector<Split>{Split::train, Split::test});
    CHECK(contains(error_of([&] { image_folder(Both(vehicles).paths[0], Split::validation); }),
                   "expected folders train/ and val/, found none"));
}

TEST_CASE("image_folder: anomalies to test on are further classes, where they are allowed") {
    const Both both({{"train/good/1.png", picture(1)},
                     {"test/cracked/2.png", picture(2)},
                     {"test/good/3.png", picture(3)},
                     {"test/dirty/4.png", picture(4)}});
    for (const std::string& path : both.paths) {
        CHECK(contains(error_of([&] { image_folder(path, Split::test); }),
                       "class folder test/cracked has no counterpart in train/"));
        const Dataset test = image_folder(path, Split::test, {.anomalies = true});
        CHECK(test.classes() == std::vector<std::string>{"good", "cracked", "dirty"});
        CHECK(first_pixels(test) == std::vector<int>{3, 2, 4});
        CHECK(test.label(2) == 2);
        CHECK(image_folder(path, Split::train, {.anomalies = true}).classes() == std::vector<std::string>{"good"});
    }
}

TEST_CASE("image_folder: what was passed over is counted, and a single class said") {
    const Both both({{"train/ant/1.jfif", encode_jpeg(plain_image(8, 8, {50, 50, 50}))},
                     {"train/ant/2.webp", "?"},
                     {"train/ant/3.WEBP", "?"},
                     {"train/ant/4.tif", "?"},
                     {"train/ant/LICENSE", "?"},
                     {"val/ant/1.png", picture(1)},
                     {"stray.png", picture(1)}});
    for (const std::string& path : both.paths) {
        const Dataset train = image_folder(path, Split::train);
        CHECK(contains(train.describe(),
                       "1 image 64x64x3, 1 class, 1 in no class folder passed over, 4 other files passed over "
                       "(no suffix 1, .tif 1, .webp 2), a single class"));
    }
}

TEST_CASE("image_folder: grey networks get grey images, and links are followed, but not in circles") {
    Files files;
    for (int i = 0; i < 40; ++i)
        files.push_back({std::string(i % 2 ? "a/" : "b/") + std::to_string(i) + ".png",
                         encode_png(plain_image(9, 9, {255, 0, 0}))});
    const Both both(files);
    CHECK(image_folder(both.paths[0], Split::train, {.channels = 1}).batch({0}).input().shape() == Shape{1, 64, 64, 1});
    CHECK(first_pixels(image_folder(both.paths[0], Split::train, {.channels = 1})).front() == 76);  // 0.299 red
    const Dataset opened = open("folder:" + both.paths[1], "", Split::train, {.size = 32, .channels = 1});
    CHECK(opened.image_shape() == Shape{32, 32, 1});
    const int64_t before = image_folder(both.paths[0], Split::train).size();
    std::filesystem::create_directory_symlink("..", both.paths[0] + "/a/up");
    std::filesystem::create_symlink("nowhere.png", both.paths[0] + "/a/lost.png");
    CHECK(image_folder(both.paths[0], Split::train).size() == before);
    std::filesystem::create_directory_symlink("a", both.paths[0] + "/c");
    CHECK(image_folder(both.paths[0], Split::train).classes().size() == 3);
}

TEST_CASE("image_folder: a small file that unpacks to very much is given up early") {
    const TemporaryFolder folder;
    write_file(folder / "zeros.tar.gz",
               tar_header("a/1.png", size_t{600} << 20, '0') + std::string(size_t{300} << 20, '\0'));
    CHECK(std::filesystem::file_size(folder / "zeros.tar.gz") < 4 << 20);
    CHECK(contains(error_of([&] { image_folder(folder / "zeros.tar.gz", Split::train); }),
                   "zeros.tar.gz: expected at most "));
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
    for (const std::string& error : errors({{"train/ant/x.png", picture(1)}, {"extra/wasp/x.png", picture(1)}}))
        CHECK(contains(error, "expected val/ or test/ beside train/, got other folders"));
    for (const std::string& error : errors({{"val/ant/x.png", picture(1)}, {"test/wasp/x.png", picture(1)}}))
        CHECK(contains(error, "expected train/ beside val/, found none"));
    for (const std::string& error :
         errors({{"train/ant/x.png", picture(1)}, {"val/ant/x.png", picture(1)}, {"dev/ant/x.png", picture(1)}}))
        CHECK(contains(error, "expected one folder of a kind, got dev/ and val/"));
    for (const std::string& error : errors({{"ant/x.png", picture(1)}, {"bee/y.png", picture(1)}}))
        CHECK(contains(error, "for testing, chosen by their names"));
    for (const std::string& error : errors({{"x.png", picture(1)}}))
        CHECK(contains(error, "expected a folder of images for each class, found none"));
    for (const std::string& error : errors({{"train/ant/a.png", picture(1)},
                                            {"train/ant/b.png", picture(1).substr(0, 60)},
                                            {"train/bee/c.png", "text"},
                                            {"val/bee/d.png", picture(1)}}))
        CHECK(contains(error, ".png: "));
    CHECK(contains(error_of([] { image_folder("/nowhere/at/all", Split::train); }), "/nowhere/at/all: cannot be read"));
    const TemporaryFolder folder;
    CHECK(contains(error_of([&] { image_folder(folder.path, Split::train); }), "found none"));
    write_file(folder / "x.tar", "not an archive");
    CHECK(contains(error_of([&] { image_folder(folder / "x.tar", Split::train); }),
                   "x.tar: truncated, or not a tar archive"));
    CHECK(contains(error_of([&] { image_folder(folder.path, Split::train, {.channels = 4}); }),
                   "expected 1 or 3 channels, got 4"));
    CHECK(contains(error_of([&] { image_folder(folder.path, Split::train, {.test_share = 1}); }),
                   "expected a test share"));
}

TEST_CASE("image_folder: ants and bees") {
    const char* root = std::getenv("LATHE_DATA");
    if (!root) {
        MESSAGE("skipped: LATHE_DATA is not set");
        return;
    }
    const std::string path = std::string(root) + "/hymenoptera/hymenoptera.tar";
    const Dataset train = image_folder(path, Split::train, {.size = 32}),
                  test = image_folder(path, Split::test, {.size = 32});
    CHECK(train.classes() == std::vector<std::string>{"ants", "bees"});
    CHECK(train.size() == 244);
    CHECK(test.size() == 153);
    CHECK(train.label(122) == 0);
    CHECK(train.label(123) == 1);
    Random random(0);
    for (int64_t i = 0; i < train.size(); ++i) CHECK(train.image(i, random).shape() == Shape{32, 32, 3});
}
