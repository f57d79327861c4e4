#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "lathe/data/cifar10.h"
#include "lathe/data/mnist.h"
#include "lathe/data/open.h"
#include "lathe/tests/temporary_folder.h"
#include "test_files.h"

using namespace lathe;
using namespace lathe::data;
using namespace lathe::testing;

namespace {

constexpr size_t kRecord = 3073, kRecords = 10000;

// Record i has label i % 10 and planes of i, i + 1, i + 2 (modulo 256), with the first red pixel 200.
std::string cifar_file() {
    std::string bytes;
    bytes.reserve(kRecord * kRecords);
    for (size_t i = 0; i < kRecords; ++i) {
        bytes += static_cast<char>(i % 10);
        for (size_t plane = 0; plane < 3; ++plane) bytes.append(1024, static_cast<char>(i + plane));
        bytes[bytes.size() - 3072] = static_cast<char>(200);
    }
    return bytes;
}

std::string idx_file(const std::vector<uint32_t>& shape, const std::string& values) {
    std::string bytes{'\0', '\0', '\x08', static_cast<char>(shape.size())};
    for (uint32_t extent : shape)
        for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
    return bytes + values;
}

}  // namespace

TEST_CASE("cifar10: reads the batch files that are there, plain or packed") {
    const TemporaryFolder root;
    const std::string file = cifar_file();
    write_file(root / "cifar-10-batches-bin/data_batch_2.bin", file);
    write_file(root / "cifar-10-batches-bin/data_batch_5.bin.gz", file);
    const Dataset train = cifar10(root.path, Split::train);
    CHECK(train.describe() == "cifar10 train: 20,000 images 32x32x3, 10 classes, from 2 of 5 batch files");
    CHECK(train.classes()[3] == "cat");
    CHECK(train.label(10007) == 7);
    Random random(0);
    const Image image = train.image(10007, random);
    CHECK(image.shape() == Shape{32, 32, 3});
    CHECK(int{image.at(0, 0)[0]} == 200);
    CHECK(int{image.at(0, 1)[0]} == 7);
    CHECK(int{image.at(0, 1)[1]} == 8);
    CHECK(int{image.at(31, 31)[2]} == 9);
    const Batch batch = train.batch({10007});
    CHECK(batch.target().at(0) == 7);
    CHECK(batch.input().at(5) == doctest::Approx((9 / 255.0 - 0.4465) / 0.2616));

    CHECK(contains(error_of([&] { cifar10(root.path, Split::test); }),
                   "expected test_batch.bin (plain or .gz), found none"));
    CHECK(contains(error_of([&] { cifar10(root / "nowhere", Split::train); }), "data_batch_1.bin to data_batch_5.bin"));
}

TEST_CASE("cifar10: truncated, oversized and mislabelled files") {
    const TemporaryFolder root;
    const std::string name = "cifar-10-batches-bin/test_batch.bin";
    const auto error = [&] { return error_of([&] { cifar10(root.path, Split::test); }); };
    std::string file = cifar_file();
    write_file(root / name, file + "x");
    CHECK(contains(error(), "test_batch.bin: expected at most 30730000 bytes, got more"));
    std::filesystem::resize_file(root / name, kRecord * 5000);
    CHECK(contains(error(), "expected 30730000 bytes (10000 records of 3073), got 15365000"));
    file[kRecord * 9999] = 10;
    write_file(root / name, file);
    CHECK(contains(error(), "test_batch.bin: expected labels from 0 to 9, got 10 in record 9999"));
    std::filesystem::resize_file(root / name, 0);
    CHECK(contains(error(), "got 0"));
    std::filesystem::remove(root / name);
    write_file(root / (name + ".gz"), cifar_file());
    std::filesystem::resize_file(root / (name + ".gz"), 1000);
    CHECK(contains(error(), "test_batch.bin.gz: the gzip file is truncated"));
    std::filesystem::remove(root / (name + ".gz"));
    std::filesystem::create_directory(root / name);
    CHECK(contains(error(), "test_batch.bin: cannot be read"));
    CHECK(contains(error_of([] { parse_cifar10(bytes_of("abc"), "x.bin"); }),
                   "x.bin: expected records of 3073 bytes, got 3"));
}

TEST_CASE("mnist: reads images and labels, refuses what does not fit together") {
    const TemporaryFolder root;
    const auto write = [&](const std::string& images, const std::string& labels) {
        write_file(root / "fashion-mnist/t10k-images-idx3-ubyte", images);
        write_file(root / "fashion-mnist/t10k-labels-idx1-ubyte.gz", labels);
    };
    const auto error = [&] { return error_of([&] { fashion_mnist(root.path, Split::test); }); };
    const std::string three = std::string(3 * 784 - 1, '\x10') + '\x80';
    write(idx_file({3, 28, 28}, three), idx_file({3}, "\x01\x02\x09"));
    const Dataset test = fashion_mnist(root.path, Split::test);
    CHECK(test.describe() == "fashion-mnist test: 3 images 28x28x1, 10 classes");
    CHECK(test.label(2) == 9);
    CHECK(test.batch({2}).input().at(783) == doctest::Approx((128 / 255.0 - 0.2860) / 0.3530));
    Collection collection("fashion-mnist", root.path);
    CHECK(collection.open(Split::test).size() == 3);

    write(idx_file({3, 28, 28}, three), idx_file({2}, "\x01\x02"));
    CHECK(contains(error(), "expected 3 labels, one per image, got 2"));
    CHECK(collection.open(Split::test, {.augment = "flip"}).size() == 3);  // read once
    write(idx_file({3, 28, 28}, three), idx_file({3}, "\x01\x0a\x02"));
    CHECK(contains(error(), "expected labels below 10, got 10 for image 1"));
    write(idx_file({3, 28, 28}, three.substr(1)), "");
    CHECK(contains(error(), "t10k-images-idx3-ubyte: expected 2352 values for [3, 28, 28], got 2351"));
    write(idx_file({3, 28, 28}, three + "x"), "");
    CHECK(contains(error(), "got 2353"));
    write(idx_file({12, 14, 14}, three), idx_file({12}, std::string(12, '\0')));
    CHECK(contains(error(), "expected images of 28x28, got 14x14"));
    write(idx_file({3, 784}, three), "");
    CHECK(contains(error(), "expected 3 axes, got 2"));
    CHECK(contains(error_of([&] { mnist(root.path, Split::train); }), "train-images-idx3-ubyte: no such file"));
}

TEST_CASE("parse_idx: headers that lie") {
    const auto error = [](const std::string& file) { return error_of([&] { parse_idx(bytes_of(file), "f"); }); };
    CHECK(contains(error(""), "f: expected an IDX header, got a file of 0 bytes"));
    CHECK(contains(error(idx_file({3}, "abc").substr(0, 6)), "got a file of 6 bytes"));
    CHECK(contains(error("\x89PNG...."), "f: expected an IDX file of bytes"));
    CHECK(contains(error(idx_file({0xffffffff, 0xffffffff, 0xffffffff}, "")), "the header claims more than"));
    CHECK(error(idx_file({0, 28, 28}, "")).empty());
}

TEST_CASE("real data: counts and statistics as published") {
    const char* root = std::getenv("LATHE_DATA");
    if (!root) {
        MESSAGE("skipped: LATHE_DATA is not set");
        return;
    }
    const auto expect = [](const Dataset& dataset, int64_t size, int64_t first_label, int64_t per_class) {
        CHECK(dataset.size() == size);
        CHECK(dataset.label(0) == first_label);
        std::vector<int64_t> counts(10);
        for (int64_t i = 0; i < dataset.size(); ++i) ++counts[dataset.label(i)];
        if (per_class > 0)
            for (int64_t count : counts) CHECK(count == per_class);
    };
    expect(mnist(root, Split::train), 60000, 5, 0);
    expect(mnist(root, Split::test), 10000, 7, 0);
    expect(cifar10(root, Split::test), 10000, 3, 1000);

    const Dataset train = cifar10(root, Split::train);
    CHECK(train.size() % 10000 == 0);
    CHECK(train.label(0) == 6);
    const int64_t count = 5000;
    std::vector<double> sum(3), squares(3);
    Random random(0);
    for (int64_t i = 0; i < count; ++i) {
        const Image image = train.image(i, random);
        for (size_t p = 0; p < image.pixels.size(); ++p) {
            sum[p % 3] += image.pixels[p] / 255.0;
            squares[p % 3] += (image.pixels[p] / 255.0) * (image.pixels[p] / 255.0);
        }
    }
    for (size_t c = 0; c < 3; ++c) {
        const double mean = sum[c] / (count * 1024), std = std::sqrt(squares[c] / (count * 1024) - mean * mean);
        CHECK(mean == doctest::Approx(train.normalization().mean[c]).epsilon(0.01));
        CHECK(std == doctest::Approx(train.normalization().std[c]).epsilon(0.01));
    }
}
