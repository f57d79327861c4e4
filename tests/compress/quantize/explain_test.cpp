#include "lathe/compress/quantize/explain.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "lathe/tests/compress/quantize/images.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

TEST_CASE("explain: the place with the fewest bits or the outlier comes first, with a fix that was measured") {
    const auto model = random_model(3);
    const data::Dataset images = random_examples(32, {8, 8, 3}, 5);
    const Explanation even = explain_quantization(*model, images, {}, 0);
    CHECK(even.images == 32);
    CHECK(even.places.size() == 34);
    for (const auto& place : even.places) {
        CHECK(place.output >= even.output - 6);
        CHECK(place.fix.empty());
    }
    CHECK(std::is_sorted(even.places.begin(), even.places.end(),
                         [](const auto& a, const auto& b) { return a.output < b.output; }));

    const Explanation coarse = explain_quantization(*model, images, {.layers = {{"block3.conv1", 2}}}, 3);
    CHECK(coarse.places[0].name == "block3.conv1.weight");
    CHECK(coarse.places[0].is_weight);
    CHECK(coarse.places[0].fix.find("bits") != std::string::npos);
    CHECK(coarse.places[0].fixed_output >= coarse.places[0].output + 3);
    CHECK(coarse.places[0].clipping > 0);
    CHECK(coarse.str().find("cheapest fix") != std::string::npos);

    // One weight of a layer far beyond the others spoils a single scale, not one for each channel.
    model->named_parameters("block2.weight")[0].second->mutable_value().mutable_data<float>()[5] = 40;
    const Explanation single = explain_quantization(*model, images, {.per_channel = false}, 3);
    const auto spoilt = std::find_if(single.places.begin(), single.places.end(),
                                     [](const auto& place) { return place.name == "block2.weight"; });
    REQUIRE(spoilt != single.places.end());
    CHECK(spoilt - single.places.begin() < 3);
    CHECK_FALSE(spoilt->fix.empty());
}
