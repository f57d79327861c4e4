#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "lathe/data/loader.h"
#include "lathe/data/transforms.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

// `count` images of 4x4x1 whose pixels are all i; the image `broken` cannot be read.
class Numbered : public Source {
public:
    explicit Numbered(int64_t count, int64_t broken = -1)
        : Source({"numbered", {4, 4, 1}, {"even", "odd"}, {}, ""}), count_(count), broken_(broken) {}
    int64_t size() const override { return count_; }
    int64_t label(int64_t i) const override { return i % 2; }
    Image image(int64_t i, Random&) const override {
        check(i != broken_, "image ", i, ": broken");
        return {4, 4, 1, std::vector<uint8_t>(16, static_cast<uint8_t>(i))};
    }

private:
    int64_t count_, broken_;
};

Dataset numbered(int64_t count, int64_t broken = -1) { return Dataset(std::make_shared<Numbered>(count, broken)); }

// All values of the rest of the epoch, one batch after the other, with a marker between them.
std::vector<float> drain(Loader& loader) {
    std::vector<float> values;
    Batch batch;
    while (loader.next(batch)) {
        const float* x = batch.input().data<float>();
        values.insert(values.end(), x, x + batch.input().numel());
        for (int64_t i = 0; i < batch.target().numel(); ++i) values.push_back(static_cast<float>(batch.target().at(i)));
        values.push_back(-1);
    }
    return values;
}

std::vector<float> epoch(const Dataset& dataset, LoaderOptions options, int64_t number, int64_t first_batch = 0) {
    Loader loader(dataset, options);
    loader.start(number, first_batch);
    return drain(loader);
}

}  // namespace

TEST_CASE("loader: the same batches for any number of workers, other ones in another epoch") {
    const Dataset dataset = numbered(101).augmented(random_crop(4, 2), random_flip(), color_jitter(0.5, 0.5));
    const auto expected = epoch(dataset, {.batch = 7, .shuffle = true, .seed = 3, .workers = 0}, 5);
    CHECK(expected.size() == 101 * 17 + 15);
    for (int workers : {1, 2, 5}) {
        Loader loader(dataset, {.batch = 7, .shuffle = true, .seed = 3, .workers = workers});
        loader.start(4);
        CHECK(drain(loader) != expected);
        loader.start(5);
        CHECK(drain(loader) == expected);
        CHECK(loader.wait_seconds() >= 0);
    }
    CHECK(epoch(dataset, {.batch = 7, .shuffle = true, .seed = 4}, 5) != expected);
}

TEST_CASE("loader: an epoch resumed in the middle goes on with the same batches") {
    const Dataset dataset = numbered(50).augmented(random_crop(4, 2));
    const LoaderOptions options{.batch = 8, .shuffle = true, .seed = 1, .workers = 2};
    const auto whole = epoch(dataset, options, 2);
    const auto rest = epoch(dataset, options, 2, 3);
    CHECK(rest.size() == whole.size() - 3 * (8 * 17 + 1));
    CHECK(std::equal(rest.begin(), rest.end(), whole.end() - static_cast<int64_t>(rest.size())));
    CHECK(epoch(dataset, options, 2, 7).empty());
}

TEST_CASE("loader: every image once, the last batch short or left out") {
    for (bool drop_last : {false, true}) {
        Loader loader(numbered(20), {.batch = 8, .shuffle = true, .drop_last = drop_last});
        CHECK(loader.batches() == (drop_last ? 2 : 3));
        loader.start(0);
        std::vector<int> seen(20);
        Batch batch;
        int64_t images = 0;
        while (loader.next(batch)) {
            images += batch.target().numel();
            for (int64_t i = 0; i < batch.target().numel(); ++i) {
                const auto number = std::lround(batch.input().at(16 * i) * 255);
                ++seen[number];
                CHECK(batch.target().at(i) == number % 2);
            }
        }
        CHECK(images == (drop_last ? 16 : 20));
        CHECK(*std::max_element(seen.begin(), seen.end()) == 1);
    }
}

TEST_CASE("loader: a single example that is left over may join the batch before") {
    const auto sizes = [](int64_t examples, int64_t batch) {
        Loader loader(numbered(examples), {.batch = batch, .shuffle = true, .join_one = true});
        std::vector<int64_t> found;
        loader.start(0);
        for (Batch next; loader.next(next);) {
            found.push_back(next.size());
        }
        CHECK(loader.batches() == static_cast<int64_t>(found.size()));
        return found;
    };
    CHECK(sizes(17, 8) == std::vector<int64_t>{8, 9});
    CHECK(sizes(18, 8) == std::vector<int64_t>{8, 8, 2});
    CHECK(sizes(16, 8) == std::vector<int64_t>{8, 8});
    CHECK(sizes(1, 8) == std::vector<int64_t>{1});
    CHECK(sizes(3, 1) == std::vector<int64_t>{1, 1, 1});
}

TEST_CASE("loader: an image that cannot be read surfaces in next(), at its batch") {
    for (int workers : {0, 1, 3}) {
        Loader loader(numbered(40, 25), {.batch = 10, .workers = workers});
        loader.start(0);
        Batch batch;
        CHECK(loader.next(batch));
        CHECK(loader.next(batch));
        CHECK(error_of([&] { loader.next(batch); }) == "image 25: broken");
        CHECK(error_of([&] { loader.next(batch); }) == "image 25: broken");
        loader.start(1, 3);
        CHECK(loader.next(batch));
        CHECK_FALSE(loader.next(batch));
    }
}

TEST_CASE("loader: dropped at any moment, it neither hangs nor crashes") {
    for (int round = 0; round < 30; ++round) {
        Loader loader(numbered(200), {.batch = 3, .shuffle = true, .workers = 1 + round % 4});
        loader.start(0);
        Batch batch;
        for (int i = 0; i < round % 7; ++i) loader.next(batch);
        if (round % 2) loader.start(1);
    }
}

TEST_CASE("loader: settings that make no sense") {
    CHECK(contains(error_of([] { Loader(numbered(0)); }), "expected enough examples for a batch of 1, got 0"));
    CHECK(
        contains(error_of([] { Loader(numbered(5), {.batch = 0}); }), "expected batches of at least 1 example, got 0"));
    CHECK(contains(error_of([] { Loader(numbered(5), {.batch = 8, .drop_last = true}); }),
                   "expected enough examples for a batch of 8, got 5"));
    CHECK(contains(error_of([] { Loader(numbered(5), {.workers = -1}); }), "expected at least 0 workers, got -1"));
    Loader loader(numbered(5));
    Batch batch;
    CHECK_FALSE(loader.next(batch));
    CHECK(contains(error_of([&] { loader.start(0, 2); }), "expected to start at a batch up to 1, got 2"));
}

TEST_CASE("loader: reads no further ahead than 33 batches, and goes on when a quarter of them is left") {
    std::atomic<int64_t> read{0};
    const auto count = [&](Image image, Random&) {
        ++read;
        return image;
    };
    const Dataset dataset = numbered(400).augmented(count);
    read = 0;  // augmented() tried it
    Loader loader(dataset, {.batch = 4});
    const auto reads = [&](int64_t expected) {
        for (int i = 0; i < 2000 && read < expected; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        return read == expected;
    };
    loader.start(0);
    CHECK(reads(33 * 4));
    Batch batch;
    for (int i = 0; i < 24; ++i) loader.next(batch);
    CHECK(reads(33 * 4));
    loader.next(batch);
    CHECK(reads((33 + 25) * 4));
}
