#include "lathe/data/shapes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>

#include "lathe/core/fnv1a.h"

using namespace lathe;
using namespace lathe::data;

namespace {

constexpr int64_t kInputs = 32 * 32 * 3, kClasses = 10;

// Softmax regression on the pixels, trained by plain gradient descent one image at a time.
class LinearClassifier {
public:
    void learn(const float* x, int64_t label, float rate) {
        std::array<float, kClasses> p = scores(x);
        const float top = *std::max_element(p.begin(), p.end());
        float sum = 0;
        for (float& value : p) sum += value = std::exp(value - top);
        for (int64_t k = 0; k < kClasses; ++k) {
            const float step = rate * (p[k] / sum - (k == label));
            for (int64_t i = 0; i < kInputs; ++i) weight_[k * kInputs + i] -= step * x[i];
        }
    }
    int64_t predict(const float* x) const {
        const auto p = scores(x);
        return std::max_element(p.begin(), p.end()) - p.begin();
    }

private:
    std::array<float, kClasses> scores(const float* x) const {
        std::array<float, kClasses> out{};
        for (int64_t k = 0; k < kClasses; ++k) {
            float partial[16] = {};  // lets the compiler use vectors
            for (int64_t i = 0; i < kInputs; i += 16)
                for (int64_t j = 0; j < 16; ++j) partial[j] += weight_[k * kInputs + i + j] * x[i + j];
            for (float value : partial) out[k] += value;
        }
        return out;
    }
    std::vector<float> weight_ = std::vector<float>(kClasses * kInputs);
};

Batch all_of(const Dataset& dataset) { return dataset.batch(permutation(dataset.size(), Random(0))); }

}  // namespace

TEST_CASE("shapes: each picture follows from seed, split and index, whoever asks for it first") {
    const Dataset one = shapes(Split::train, {.count = 600, .seed = 7}),
                  many = shapes(Split::train, {.count = 700, .seed = 7});
    std::vector<Batch> batches(3);
    std::vector<std::thread> askers;
    for (Batch& batch : batches) askers.emplace_back([&] { batch = all_of(many); });
    for (std::thread& asker : askers) asker.join();
    for (const Batch& batch : batches) {
        const float* const values = batch.input().data<float>();
        CHECK(std::equal(values, values + batch.input().numel(), batches[0].input().data<float>()));
    }
    const Dataset test = shapes(Split::test, {.count = 600, .seed = 7}),
                  other = shapes(Split::train, {.count = 600, .seed = 8});
    Random random(0);
    for (int64_t i = 0; i < 600; ++i) {
        const auto pixels = one.image(i, random).pixels;
        CHECK(many.image(i, random).pixels == pixels);
        CHECK(test.image(i, random).pixels != pixels);
        CHECK(other.image(i, random).pixels != pixels);
        CHECK(one.label(i) == i % 10);
    }
    CHECK(one.describe() == "shapes train: 600 images 32x32x3, 10 classes");
}

// GCC and Clang on x86-64 and GCC for arm64 make these.
TEST_CASE("shapes: the same pictures on every machine, by any compiler") {
    const Dataset images = shapes(Split::test, {.count = 300, .seed = 1});
    Random random(0);
    uint64_t hash = fnv1a("");
    for (int64_t i = 0; i < images.size(); ++i) {
        const std::vector<uint8_t> pixels = images.image(i, random).pixels;
        hash = fnv1a({reinterpret_cast<const char*>(pixels.data()), pixels.size()}, hash);
    }
    CHECK(hash == 49409835538399850u);
}

TEST_CASE("shapes: normalised to about mean 0 and standard deviation 1") {
    const Batch batch = all_of(shapes(Split::test, {.count = 500}));
    const float* x = batch.input().data<float>();
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < batch.input().numel(); ++i) sum += x[i], squares += x[i] * x[i];
    const double mean = sum / batch.input().numel();
    CHECK(std::abs(mean) < 0.1);
    CHECK(squares / batch.input().numel() - mean * mean == doctest::Approx(1).epsilon(0.1));
}

TEST_CASE("shapes: too hard for a linear classifier") {
    const Batch train = all_of(shapes(Split::train, {.count = 3000})),
                test = all_of(shapes(Split::test, {.count = 1000}));
    LinearClassifier classifier;
    for (int epoch = 0; epoch < 2; ++epoch)
        for (int64_t i = 0; i < 3000; ++i)
            classifier.learn(train.input().data<float>() + i * kInputs, train.target().data<int32_t>()[i], 1e-4f);
    const auto accuracy = [&](const Batch& batch) {
        int64_t correct = 0;
        for (int64_t i = 0; i < batch.target().numel(); ++i)
            correct +=
                classifier.predict(batch.input().data<float>() + i * kInputs) == batch.target().data<int32_t>()[i];
        return static_cast<double>(correct) / static_cast<double>(batch.target().numel());
    };
    CHECK(accuracy(train) > 0.2);  // it does learn what it sees
    CHECK(accuracy(test) < 0.6);
    MESSAGE("test accuracy of a linear classifier: ", accuracy(test));
}
