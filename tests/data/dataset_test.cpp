#include "lathe/data/dataset.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/data/open.h"
#include "lathe/data/in_memory.h"
#include "lathe/data/transforms.h"
#include "lathe/tests/temporary_folder.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

// Image i is 2x2 with red i, green 100, blue 200.
Dataset small(int64_t count) {
    InMemoryImages images;
    for (int64_t i = 0; i < count; ++i) {
        const auto pixels = plain_image(2, 2, {static_cast<uint8_t>(i), 100, 200}).pixels;
        images.pixels.insert(images.pixels.end(), pixels.begin(), pixels.end());
        images.labels.push_back(static_cast<uint8_t>(i % 3));
    }
    return Dataset(std::make_shared<InMemorySource>(DatasetInfo{"small", {2, 2, 3}, {"a", "b", "c"}, {}, ""}, std::move(images)));
}

int64_t red_of(const Dataset& dataset, int64_t i) {
    Random random(0);
    return dataset.image(i, random).pixels[0];
}

}  // namespace

TEST_CASE("dataset: take, sample and both together name the right images") {
    const Dataset all = small(100);
    const Dataset middle = all.take(40, 20), few = middle.sample(7, 3);
    CHECK(middle.size() == 20);
    CHECK(red_of(middle, 5) == 45);
    CHECK(middle.label(5) == 0);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < few.size(); ++i) {
        seen.insert(red_of(few, i));
        CHECK(few.label(i) == red_of(few, i) % 3);
    }
    CHECK(seen.size() == 7);
    CHECK(red_of(middle.sample(7, 3), 0) == red_of(few, 0));
    const Dataset others = middle.without_sample(7, 3);
    CHECK(others.size() == 13);
    for (int64_t i = 0; i < others.size(); ++i) {
        CHECK(seen.insert(red_of(others, i)).second);
        CHECK((i == 0 || red_of(others, i) > red_of(others, i - 1)));
    }
    CHECK(seen.size() == 20);
    CHECK(*seen.begin() == 40);
    CHECK(*seen.rbegin() == 59);
    CHECK(all.sample(1000).size() == 100);
    CHECK(contains(error_of([&] { all.take(90, 11); }), "small: expected a range inside [0, 100), got 11 from 90"));
    CHECK(contains(error_of([&] { all.label(100); }), "expected an image index below 100, got 100"));
    CHECK(contains(error_of([&] { all.batch({-1}); }), "got -1"));
}

TEST_CASE("dataset: normalisation per channel, one for all, none") {
    const Dataset all = small(10);
    const auto first = [](const Dataset& d) {
        const Batch batch = d.batch({5});
        return std::vector<double>{batch.x.at(0), batch.x.at(1), batch.x.at(2)};
    };
    CHECK(first(all)[1] == doctest::Approx(100 / 255.0));
    const auto normal = first(all.with_normalization(parse_normalization("0.1,0.2,0.3", "0.5")));
    CHECK(normal[0] == doctest::Approx((5 / 255.0 - 0.1) / 0.5));
    CHECK(normal[1] == doctest::Approx((100 / 255.0 - 0.2) / 0.5));
    CHECK(normal[2] == doctest::Approx((200 / 255.0 - 0.3) / 0.5));
    CHECK(all.with_normalization(parse_normalization("none", "0.5")).normalization() == Normalization{{0, 0, 0}, {0.5f, 0.5f, 0.5f}});
    CHECK(all.with_normalization({}).normalization() == Normalization{});
    const Normalization parsed = parse_normalization("0.4914,0.4822,0.4465", "none");
    CHECK(parsed.mean_text() == "0.4914,0.4822,0.4465");
    CHECK(parsed.std_text() == "none");
    CHECK(parse_normalization(parsed.mean_text(), parsed.std_text()) == parsed);

    const auto error = [&](const std::string& mean, const std::string& std) {
        return error_of([&] { all.with_normalization(parse_normalization(mean, std)); });
    };
    CHECK(contains(error("1,2", "none"), "mean: expected 3 values, one per channel, got 2"));
    CHECK(contains(error("none", "1,0,1"), "std: expected positive numbers, got 0"));
    CHECK(contains(error("1,x,2", "1"), "mean: expected numbers with commas between them or 'none', got '1,x,2'"));
    CHECK(contains(error("1,2,", "1"), "mean: expected numbers"));
    CHECK(contains(error("", "1"), "mean: expected numbers"));
    CHECK(contains(error("inf", "1"), "mean: expected finite numbers"));
}

TEST_CASE("dataset: augmentation follows from the seed and the index, and sets the shape") {
    const Dataset augmented = small(50).augmented(resize(6, 6), random_crop(4), color_jitter(0.5, 0));
    CHECK(augmented.image_shape() == Shape{4, 4, 3});
    const Batch one = augmented.batch({3, 4}, 9), two = augmented.batch({4, 3}, 9);
    CHECK(one.x.shape() == Shape{2, 4, 4, 3});
    CHECK(one.x.at(0) == two.x.at(48));
    CHECK(one.x.at(48) == two.x.at(0));
    CHECK(augmented.batch({3}, 10).x.at(0) != one.x.at(0));
    CHECK(contains(error_of([] { small(1).augmented(random_crop(5)); }), "random_crop: expected images of at least 5 pixels"));
}

TEST_CASE("packed: pixels and labels must fit together") {
    const auto error = [](InMemoryImages images) {
        return error_of([&] { InMemorySource(DatasetInfo{"p", {1, 1, 1}, {"a", "b"}, {}, ""}, std::move(images)); });
    };
    CHECK(contains(error({{1, 2}, {0}}), "p: expected 1 pixel values for 1 labels, got 2"));
    CHECK(contains(error({{1, 2}, {0, 2}}), "p: expected labels below 2, got 2 for image 1"));
}

TEST_CASE("open: datasets by name") {
    CHECK(data::open("shapes", "", Split::train, {.count = 30}).size() == 30);
    const TemporaryFolder folder;
    for (const char* name : {"set/a/1.png", "set/b/1.png"}) write_file(folder / name, encode_png(plain_image(40, 30, {1, 2, 3})));
    const Dataset dataset = data::open("folder:" + folder / "set", "", Split::train, {.size = 16, .augment = "usual"});
    CHECK(dataset.image_shape() == Shape{16, 16, 3});
    CHECK(dataset.size() == 2);
    CHECK(dataset.batch({0, 1}).x.shape() == Shape{2, 16, 16, 3});

    const auto error = [](const std::string& name, const std::string& root) {
        return error_of([&] { data::open(name, root, Split::train); });
    };
    CHECK(contains(error("cifar", "/x"), "unknown data 'cifar': expected shapes, cifar10, mnist, fashion-mnist or folder:PATH; did you mean 'cifar10'?"));
    CHECK(contains(error("mnist", ""), "mnist: expected a data root"));
    CHECK(contains(error("cifar10", "/x"), "/x/cifar-10-batches-bin: expected data_batch_1.bin"));
    CHECK(contains(error("folder:", ""), "cannot be read"));
    CHECK(contains(error_of([] { data::open("shapes", "", Split::train, {.count = 10, .augment = "spin"}); }), "got 'spin'"));
}
