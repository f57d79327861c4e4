#include "lathe/compress/quantize/kmeans.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "lathe/core/random.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tools/labs/tensors.h"

using namespace lathe;
using namespace lathe::compress;
using namespace lathe::testing;
namespace lab2 = lathe::tools::lab2;

namespace {

// The sum of squares when every value goes to its cluster's centroid.
double error_of(const Clusters& clusters, const Tensor& values) {
    double sum = 0;
    for (int64_t i = 0; i < values.numel(); ++i) {
        const auto x = static_cast<float>(values.at(i));
        sum += std::pow(x - clusters.centroids[clusters.of(x)], 2);
    }
    return sum;
}

// The least sum of squares of all ways to give each value one of k clusters.
double brute_force(const std::vector<float>& values, int64_t k) {
    int64_t ways = 1;
    for (size_t i = 0; i < values.size(); ++i) ways *= k;
    double best = std::numeric_limits<double>::infinity();
    for (int64_t way = 0; way < ways; ++way) {
        double times[4] = {}, sum[4] = {}, squares = 0;
        int64_t rest = way;
        for (float x : values) {
            times[rest % k] += 1, sum[rest % k] += x, squares += static_cast<double>(x) * x;
            rest /= k;
        }
        for (int64_t j = 0; j < k; ++j) squares -= times[j] > 0 ? sum[j] * sum[j] / times[j] : 0;
        best = std::min(best, squares);
    }
    return best;
}

}  // namespace

TEST_CASE("k-means: the optimum of the lab's tensor, every time") {
    const Clusters found = kmeans(lab2::weights(), {.clusters = 4});
    CHECK(found.sse <= 0.079221535);
    CHECK(error_of(found, lab2::weights()) == doctest::Approx(found.sse));
    REQUIRE(found.centroids.size() == 4);
    const double expected[] = {-0.436857, -0.149663, 0.104550, 0.310517};
    for (size_t j = 0; j < 4; ++j) CHECK(found.centroids[j] == doctest::Approx(expected[j]).epsilon(1e-5));
    std::string labels;
    for (int64_t i = 0; i < 25; ++i)
        labels += static_cast<char>('0' + found.of(static_cast<float>(lab2::weights().at(i))));
    CHECK(labels == "0230313102301201101321031");
}

TEST_CASE("k-means: exact is what trying all ways gives, on 500 small tensors") {
    Random random(1);
    for (int i = 0; i < 500; ++i) {
        const int64_t count = 1 + random.below(8), k = 1 + random.below(3);
        std::vector<float> values;
        for (int64_t n = 0; n < count; ++n)  // some of them equal
            values.push_back(static_cast<float>(i % 3 ? random.normal() : static_cast<double>(random.below(5))));
        const Tensor tensor = Tensor::of<float>({count}, values);
        const Clusters found = kmeans(tensor, {.clusters = k});
        CAPTURE(i);
        CHECK(found.sse == doctest::Approx(brute_force(values, k)).epsilon(1e-9));
        CHECK(error_of(found, tensor) == doctest::Approx(found.sse).epsilon(1e-9));
    }
}

TEST_CASE("k-means: exact where places for borders are ruled out is plain dynamic programming") {
    // Beyond 256 values ranges come into play. Values in lumps make flat and steep places.
    for (uint64_t seed : {1, 2, 3}) {
        Random random(seed);
        constexpr int64_t kCount = 1500;
        std::vector<float> values;
        for (int64_t i = 0; i < kCount; ++i) {
            const double beside = random.normal() * 0.05;
            values.push_back(static_cast<float>(beside + static_cast<double>(random.below(seed == 1 ? 1 : 7))));
        }
        const Tensor tensor = Tensor::of<float>({kCount}, values);
        std::sort(values.begin(), values.end());
        std::vector<double> sum{0}, squares{0};
        for (float x : values)
            sum.push_back(sum.back() + x), squares.push_back(squares.back() + static_cast<double>(x) * x);
        const auto cost = [&](size_t a, size_t b) {
            return squares[b] - squares[a] - (sum[b] - sum[a]) * (sum[b] - sum[a]) / static_cast<double>(b - a);
        };
        std::vector<double> least(kCount + 1, std::numeric_limits<double>::infinity());
        least[0] = 0;
        for (int64_t k = 1; k <= 16; ++k) {
            for (size_t end = kCount; end > 0; --end) {
                double best = std::numeric_limits<double>::infinity();
                for (size_t begin = 0; begin < end; ++begin) best = std::min(best, least[begin] + cost(begin, end));
                least[end] = best;
            }
            least[0] = std::numeric_limits<double>::infinity();
            CAPTURE(k);
            CHECK(kmeans(tensor, {.clusters = k}).sse == doctest::Approx(least[kCount]).epsilon(1e-8));
        }
    }
}

TEST_CASE("k-means: from every beginning Lloyd ends no better than exact, and the same from the same seed") {
    const Tensor values = random_tensor({4000}, 7);
    const double best = kmeans(values, {.clusters = 16}).sse;
    for (const std::string& name : kmeans_init_names()) {
        CAPTURE(name);
        const KMeansOptions options{.clusters = 16, .init = kmeans_init_of(name), .seed = 5};
        const Clusters found = kmeans(values, options), again = kmeans(values, options);
        CHECK(found.centroids == again.centroids);
        CHECK(found.sse >= best * (1 - 1e-9));
        CHECK(found.sse < best * 1.25);
        CHECK(error_of(found, values) == doctest::Approx(found.sse).epsilon(1e-6));
        CHECK(std::is_sorted(found.centroids.begin(), found.centroids.end()));
    }
    CHECK(kmeans(values, {.clusters = 16, .init = KMeansInit::random, .seed = 1}).centroids !=
          kmeans(values, {.clusters = 16, .init = KMeansInit::random, .seed = 2}).centroids);
    CHECK(message_of([] { kmeans_init_of("kmeans++"); }).ends_with("did you mean 'k-means++'?"));
}

TEST_CASE("k-means: masked values, few values, none, and what is no number") {
    const Tensor values = Tensor::of<float>({6}, {5, 1, 100, 1, 2, -7});
    const Tensor keep = Tensor::of<uint8_t>({6}, {1, 1, 0, 1, 1, 0});
    const Clusters found = kmeans(values, {.clusters = 2}, keep);
    REQUIRE(found.centroids.size() == 2);
    CHECK(found.centroids[0] == doctest::Approx(4.0 / 3));
    CHECK(found.centroids[1] == doctest::Approx(5));
    CHECK(found.of(-7) == 0);
    CHECK(found.of(100) == 1);
    for (const std::string& name : kmeans_init_names()) {
        const Clusters all = kmeans(values, {.clusters = 8, .init = kmeans_init_of(name)});
        CHECK(all.centroids.size() == 5);
        CHECK(all.sse == 0);
        CHECK(kmeans(Tensor::zeros({0}), {.init = kmeans_init_of(name)}).centroids.empty());
        CHECK(kmeans(Tensor::full({9}, 3), {.init = kmeans_init_of(name)}).centroids == std::vector<double>{3});
    }
    CHECK(message_of([&] { kmeans(values, {.clusters = 0}); }) == "k-means: expected at least 1 cluster, got 0");
    CHECK(message_of([&] { kmeans(Tensor::of<float>({2}, {1, std::nanf("")}), {}); }) ==
          "k-means: expected finite values, got nan");
    CHECK(message_of([&] { kmeans(values, {}, Tensor::full({5}, 1, DType::u8)); }) ==
          "k-means: expected a mask of shape [6], got [5]");
}
