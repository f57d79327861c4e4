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
    return Dataset(
        std::make_shared<InMemorySource>(DatasetInfo{"small", {2, 2, 3}, {"a", "b", "c"}, {}, ""}, std::move(images)));
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
    CHECK(contains(error_of([&] { all.label(100); }), "expected an index below 100, got 100"));
    CHECK(contains(error_of([&] { all.batch({-1}); }), "got -1"));
}

TEST_CASE("dataset: normalisation per channel, one for all, none") {
    const Dataset all = small(10);
    const auto first = [](const Dataset& d) {
        const Batch batch = d.batch({5});
        return std::vector<double>{batch.input().at(0), batch.input().at(1), batch.input().at(2)};
    };
    CHECK(first(all)[1] == doctest::Approx(100 / 255.0));
    const auto normal = first(all.with_normalization(parse_normalization("0.1,0.2,0.3", "0.5")));
    CHECK(normal[0] == doctest::Approx((5 / 255.0 - 0.1) / 0.5));
    CHECK(normal[1] == doctest::Approx((100 / 255.0 - 0.2) / 0.5));
    CHECK(normal[2] == doctest::Approx((200 / 255.0 - 0.3) / 0.5));
    CHECK(all.with_normalization(parse_normalization("none", "0.5")).normalization() ==
          Normalization{{0, 0, 0}, {0.5f, 0.5f, 0.5f}});
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
    CHECK(one.input().shape() == Shape{2, 4, 4, 3});
    CHECK(one.input().at(0) == two.input().at(48));
    CHECK(one.input().at(48) == two.input().at(0));
    CHECK(augmented.batch({3}, 10).input().at(0) != one.input().at(0));
    CHECK(contains(error_of([] { small(1).augmented(random_crop(5)); }),
                   "random_crop: expected images of at least 5 pixels"));
}

TEST_CASE("dataset: tensors of any types and shapes are examples, too") {
    const Tensor x = Tensor::of<float>({4, 2}, {0, 1, 2, 3, 4, 5, 6, 7}), y = Tensor::of<int32_t>({4}, {0, 10, 20, 30});
    const Dataset all({.name = "rows"}, {.inputs = {x, y}, .targets = {y}});
    CHECK(all.describe() == "rows: 4 examples, 2 inputs, 1 target");
    CHECK(all.example_bytes() == 16);
    const Batch batch = all.take(1, 3).batch({2, 0});
    CHECK(batch.size() == 2);
    CHECK(batch.inputs[0].shape() == Shape{2, 2});
    CHECK(batch.inputs[0].at(0) == 6);
    CHECK(batch.inputs[0].at(3) == 3);
    CHECK(batch.target().dtype() == DType::i32);
    CHECK(batch.target().at(1) == 10);
    CHECK(batch.rows(1, 1).target().at(0) == 10);
    CHECK(contains(error_of([&] { batch.input(); }), "batch: expected one input, got 2"));
    CHECK(contains(error_of([&] { all.label(0); }), "rows: label is for images, these are tensors"));
    CHECK(contains(error_of([&] { all.augmented(random_flip()); }), "augmentation is for images"));
    CHECK(contains(error_of([&] { all.batch({4}); }), "expected an index below 4, got 4"));
    CHECK(contains(error_of([&] { Dataset({.name = "rows"}, {.inputs = {x}, .targets = {Tensor::zeros({3})}}); }),
                   "rows: expected 4 examples along axis 0 of every tensor, got [3]"));
    CHECK(contains(error_of([&] { Dataset({.name = "rows"}, {}); }), "rows: expected an input, got none"));
}

TEST_CASE("dataset: the side of a held-out image follows from its key and the seed alone") {
    const auto reds = [](const Dataset& dataset) {
        std::set<int64_t> found;
        for (int64_t i = 0; i < dataset.size(); ++i) found.insert(red_of(dataset, i));
        return found;
    };
    const auto [train, validation] = small(200).hold_out(0.1, 3);
    const std::set<int64_t> held_out = reds(validation);
    CHECK(held_out.size() == static_cast<size_t>(validation.size()));
    CHECK(validation.size() >= 10);
    CHECK(validation.size() <= 30);
    CHECK(train.size() + validation.size() == 200);
    for (int64_t red : reds(train)) CHECK(held_out.count(red) == 0);
    for (int64_t i = 1; i < train.size(); ++i) CHECK(red_of(train, i) > red_of(train, i - 1));

    // More images, or fewer, in another place of the list: those of before stay where they were.
    for (const Dataset& other : {small(250), small(200).sample(120, 1), small(200).take(50, 100)}) {
        const std::set<int64_t> all = reds(other), again = reds(other.hold_out(0.1, 3).second);
        for (int64_t red : all)
            if (red < 200) CHECK(again.count(red) == held_out.count(red));
    }
    CHECK(reds(small(200).hold_out(0.1, 4).second) != held_out);
    const std::set<int64_t> more = reds(small(200).hold_out(0.3, 3).second);
    for (int64_t red : held_out) CHECK(more.count(red) == 1);

    const Dataset rows({.name = "rows"}, {.inputs = {Tensor::zeros({50, 1})}});
    CHECK(rows.hold_out(0.5).first.size() + rows.hold_out(0.5).second.size() == 50);
    CHECK(contains(error_of([] { small(3).hold_out(0.01); }),
                   "small: of 3 examples, a share of 0.01 held out leaves 3 and 0"));
    CHECK(contains(error_of([] { small(3).hold_out(1); }), "expected a share between 0 and 1 to hold out, got 1"));
}

TEST_CASE(
    "dataset: with_classes counts labels along other classes, by name; the fingerprint tells which examples these "
    "are") {
    const Dataset three = small(9);
    const Dataset moved = three.with_classes({"c", "x", "a", "b"});
    CHECK(moved.classes() == std::vector<std::string>{"c", "x", "a", "b"});
    for (int64_t i = 0; i < 9; ++i) CHECK(moved.label(i) == std::vector<int64_t>{2, 3, 0}[static_cast<size_t>(i % 3)]);
    CHECK(moved.take(4, 2).batch({0, 1}).target().at(1) == 0);
    const Dataset back = moved.take(0, 9).with_classes({"b", "x", "c", "a"});
    for (int64_t i = 0; i < 9; ++i) CHECK(back.label(i) == std::vector<int64_t>{3, 0, 2}[static_cast<size_t>(i % 3)]);
    CHECK(contains(error_of([&] {
                       three.with_classes({"a", "c"});
                   }),
                   "small: class 'b' is none of those expected: a, c"));
    CHECK(contains(three.with_note("said").describe(), "3 classes, said"));

    CHECK(moved.fingerprint() == three.fingerprint());
    CHECK(three.augmented(random_flip()).fingerprint() == three.fingerprint());
    CHECK(small(10).fingerprint() != three.fingerprint());
    CHECK(three.sample(9, 1).fingerprint() != three.fingerprint());
    const Dataset renamed(
        std::make_shared<InMemorySource>(DatasetInfo{"small", {2, 2, 3}, {"a", "b", "d"}, {}, ""},
                                         InMemoryImages{std::vector<uint8_t>(9 * 12), {0, 1, 2, 0, 1, 2, 0, 1, 2}}));
    CHECK(renamed.fingerprint() != three.fingerprint());
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
    for (const char* name : {"set/train/a/1.png", "set/train/b/1.png", "set/test/a/1.png", "set/test/b/1.png"})
        write_file(folder / name, encode_png(plain_image(40, 30, {1, 2, 3})));
    const Dataset dataset = data::open("folder:" + folder / "set", "", Split::train, {.size = 16, .augment = "usual"});
    CHECK(dataset.image_shape() == Shape{16, 16, 3});
    CHECK(dataset.size() == 2);
    CHECK(dataset.batch({0, 1}).input().shape() == Shape{2, 16, 16, 3});

    const auto error = [](const std::string& name, const std::string& root) {
        return error_of([&] { data::open(name, root, Split::train); });
    };
    CHECK(contains(error("cifar", "/x"),
                   "unknown data 'cifar': expected shapes, cifar10, mnist, fashion-mnist or folder:PATH; did you mean "
                   "'cifar10'?"));
    CHECK(contains(error("mnist", ""), "mnist: expected a data root"));
    CHECK(contains(error("cifar10", "/x"), "/x/cifar-10-batches-bin: expected data_batch_1.bin"));
    CHECK(contains(error("folder:", ""), "folder"));
    CHECK(contains(error_of([] { data::open("shapes", "", Split::train, {.count = 10, .augment = "spin"}); }),
                   "got 'spin'"));
}
