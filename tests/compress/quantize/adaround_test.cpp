#include "lathe/compress/quantize/adaround.h"

#include <doctest/doctest.h>

#include "lathe/compress/quantize/activations.h"
#include "lathe/compress/quantize/fake_quantize.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/nn/mask.h"
#include "lathe/tests/compress/quantize/images.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::compress;

TEST_CASE("adaround: every layer's output comes closer, weights move by a step at most, masked ones not at all") {
    const auto model = random_model(8);
    prune_magnitude(*model, {.sparsity = 0.3});
    const data::Dataset images = random_examples(64, {8, 8, 3}, 5);
    const Tensor x = images.batch({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}).input();
    QuantizeOptions options{.weight_bits = 3, .end_bits = 3};
    const Quantized nearest = prepare_quantization(*model, images, options);
    options.adaround = AdaRoundOptions{.iterations = 200, .batch = 16};
    const Quantized learned = prepare_quantization(*model, images, options);

    REQUIRE(learned.report.rounded.has_value());
    double before = 0, after = 0;
    int64_t changed = 0;
    for (const auto& layer : learned.report.rounded->layers) {
        INFO(layer.name);
        CHECK(layer.after <= layer.before);
        before += layer.before, after += layer.after, changed += layer.changed;
    }
    CHECK(after < 0.9 * before);
    CHECK(changed > 0);
    CHECK(mean_square_difference(output(*learned.model, x), output(*model, x)) <
          mean_square_difference(output(*nearest.model, x), output(*model, x)));
    const auto plain = nn::by_name(nearest.model->named_parameters());
    for (const auto& [name, parameter] : learned.model->named_parameters()) {
        if (!parameter->find_transform<FakeQuantize>()) continue;
        const Lowered a = plain.at(name)->lowered(), b = parameter->lowered();
        for (int64_t i = 0; i < a.integers.numel(); ++i) {
            CHECK(std::abs(a.integers.at(i) - b.integers.at(i)) <= 1);
            if (a.mask && a.mask.at(i) == 0) CHECK(b.integers.at(i) == 0);
        }
    }
    CHECK(learned.report.str().find("rounding learned") != std::string::npos);
}
