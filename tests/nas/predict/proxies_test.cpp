#include "lathe/nas/predict/proxies.h"

#include <doctest/doctest.h>

#include <cfloat>
#include <cmath>
#include <limits>

#include "lathe/core/ops/add.h"
#include "lathe/data/shapes.h"
#include "lathe/nas/space/network.h"
#include "lathe/nn/layers/activation.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/dropout.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/thread_scope.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of, lathe::testing::same;

namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

using Numbers = std::vector<float>;
using Layers = std::unique_ptr<nn::Sequential>;

nn::Linear& add_linear(nn::Sequential& net, int64_t in, int64_t out, const Numbers& weight, const Numbers& bias = {}) {
    nn::Linear& fc = net.add<nn::Linear>(std::to_string(net.size()), {.in = in, .out = out, .bias = !bias.empty()});
    fc.weight.set_value(Tensor::of({out, in}, weight));
    if (!bias.empty()) fc.bias.set_value(Tensor::of({out}, bias));
    return fc;
}

nn::Model model_of(Layers net, const Shape& input, int64_t classes = 1) {
    return {"tiny", {.classes = classes, .input = input}, std::move(net)};
}

// Units whose weights are rows of W, behind a ReLU.
nn::Model units(const Numbers& w) {
    auto net = std::make_unique<nn::Sequential>();
    add_linear(*net, 2, static_cast<int64_t>(w.size()) / 2, w);
    net->add<nn::ReLU>("relu");
    return model_of(std::move(net), {2}, static_cast<int64_t>(w.size()) / 2);
}

// relu(a + b), where a = b = relu(x).
struct Doubled : nn::Module {
    Variable forward(const Variable& x) override {
        const Variable y = ops::relu(x);
        return ops::add(y, y, Activation::relu);
    }
};

}  // namespace

TEST_CASE("SynFlow of two linear layers: the flow through each is 1' |W2| |W1| 1, whatever the signs and bounds") {
    const Numbers w1{1, -2, 3, 4, -5, 6}, w2{-1, 2, -3};  // 1' |W2| |W1| 1 = 1 x 3 + 2 x 7 + 3 x 11 = 50
    auto plain = std::make_unique<nn::Sequential>(), biased = std::make_unique<nn::Sequential>();
    add_linear(*plain, 2, 3, w1);
    plain->add<nn::ReLU6>("relu6");
    plain->add<nn::Dropout>("dropout", {.p = 0.5});
    add_linear(*plain, 3, 1, w2);
    nn::Model without_bias = model_of(std::move(plain), {2});
    CHECK(synflow(without_bias) == doctest::Approx(std::log(100)).epsilon(1e-14));

    add_linear(*biased, 2, 3, w1, {-1, 1, -1});  // another 1 + 2 + 3 flow through the second layer
    biased->add<nn::ReLU>("relu");
    add_linear(*biased, 3, 1, w2, {1000});
    nn::Model with_bias = model_of(std::move(biased), {2});
    CHECK(synflow(with_bias) == doctest::Approx(std::log(106)).epsilon(1e-14));
    const Tensor before = with_bias.named_parameters()[0].second->value().clone();
    synflow(with_bias);
    CHECK(same(with_bias.named_parameters()[0].second->value(), before));

    auto nothing = std::make_unique<nn::Sequential>();
    add_linear(*nothing, 2, 1, {0, 0});
    nn::Model dead = model_of(std::move(nothing), {2});
    CHECK(synflow(dead) == kNothing);
}

TEST_CASE("SynFlow leaves batch norms out and counts a weight once for each place that it works on") {
    auto net = std::make_unique<nn::Sequential>();
    auto& conv = net->add<nn::Conv2d>("conv", {.in = 1, .out = 1, .kernel = 1, .bias = false});
    conv.weight.set_value(Tensor::of({1, 1, 1, 1}, Numbers{-2}));
    auto& norm = net->add<nn::BatchNorm>("norm", {.channels = 1, .activation = Activation::relu6});
    norm.weight.set_value(Tensor::of({1}, Numbers{7}));
    norm.running_mean.fill_(3);
    net->add<nn::Flatten>("flatten");
    add_linear(*net, 4, 1, {3, -3, 3, -3});
    nn::Model model = model_of(std::move(net), {2, 2, 1});
    CHECK(synflow(model) == doctest::Approx(std::log(2 * 24)).epsilon(1e-14));
}

TEST_CASE("SynFlow keeps gates: a sigmoid has its value and its slope") {
    auto net = std::make_unique<nn::Sequential>();
    nn::Linear& fc = net->add<nn::Linear>("fc", {.in = 1, .out = 1, .bias = false});
    fc.weight.set_value(Tensor::of({1, 1}, Numbers{-2}));
    net->add<nn::Sigmoid>("gate");
    nn::Model model = model_of(std::move(net), {1});
    const double y = 1 / (1 + std::exp(-2.0));
    CHECK(synflow(model) == doctest::Approx(std::log(2 * y * (1 - y))).epsilon(1e-14));
}

TEST_CASE("SynFlow of the largest network of mcunetv2 is beyond float32, not beyond float64") {
    seed(0);
    const auto model = network(mcunetv2(), mcunetv2().largest());
    const double flow = synflow(*model);
    CHECK(std::isfinite(flow));
    CHECK(flow > std::log(FLT_MAX));
}

TEST_CASE("NASWOT: K counts the units that two images switch alike") {
    const Numbers w{1, 0, 0, 1, -1, 0};
    nn::Model model = units(w);
    const Tensor two = Tensor::of({2, 2}, Numbers{1, 1, 1, -1});  // codes 110 and 100: K = [3 2; 2 3]
    CHECK(naswot(model, two) == doctest::Approx(std::log(5)).epsilon(1e-14));
    const Tensor three = Tensor::of({3, 2}, Numbers{1, 1, 1, -1, -1, 1});  // and 011: K = [3 2 1; 2 3 0; 1 0 3]
    CHECK(naswot(model, three) == doctest::Approx(std::log(12)).epsilon(1e-14));
    CHECK(naswot(model, Tensor::of({2, 2}, Numbers{1, 1, 2, 3})) == kNothing);

    auto net = std::make_unique<nn::Sequential>();
    add_linear(*net, 2, 3, w);
    net->add<Doubled>("doubled");  // every unit twice
    nn::Model doubled = model_of(std::move(net), {2}, 3);
    CHECK(naswot(doubled, two) == doctest::Approx(std::log(4 * 5)).epsilon(1e-14));

    for (const int64_t count : {2, 63, 64, 65, 130}) {
        CAPTURE(count);
        Numbers many;
        int64_t alike = 0;
        for (int64_t i = 0; i < count; ++i) {  // on for (1, 1) always, for (1, -1) if the first weight is the larger
            many.insert(many.end(), {i % 3 ? 1.0f : 3.0f, 2.0f});
            alike += i % 3 == 0;
        }
        nn::Model wide = units(many);
        CHECK(naswot(wide, two) ==
              doctest::Approx(std::log(static_cast<double>(count * count - alike * alike))).epsilon(1e-14));
    }

    CHECK(message_of([&] { naswot(model, Tensor::zeros({1, 2})); }) == "naswot: expected 2 images or more, got 1");
    auto linear = std::make_unique<nn::Sequential>();
    add_linear(*linear, 2, 3, w);
    nn::Model no_units = model_of(std::move(linear), {2}, 3);
    CHECK(message_of([&] { naswot(no_units, two); }) ==
          "naswot: expected a network with relu, relu6, hard_swish or gelu, tiny has none");
}

TEST_CASE("gradient norm: of all weights together, without biases") {
    auto net = std::make_unique<nn::Sequential>();
    add_linear(*net, 2, 2, {0, 0, 0, 0}, {0, 0});
    nn::Model model = model_of(std::move(net), {2}, 2);
    const Tensor x = Tensor::of({2, 2}, Numbers{3, 4, 3, 4});
    // (softmax - target) x': (-1/2, 1/2) beside (3, 4)
    CHECK(gradient_norm(model, x, Tensor::of<int32_t>({2}, {0, 0})) == doctest::Approx(5 * std::sqrt(0.5)));
    CHECK(gradient_norm(model, x, Tensor::of<int32_t>({2}, {0, 1})) == 0);
    CHECK_FALSE(model.named_parameters()[0].second->grad());
    CHECK(message_of([&] { gradient_norm(model, x, Tensor::of<int32_t>({2}, {0, 2})); }).find("label") !=
          std::string::npos);
    CHECK(message_of([&] { gradient_norm(model, Tensor::zeros({1, 2}), Tensor::of<int32_t>({1}, {0})); }) ==
          "gradient-norm: expected 2 images or more, got 1");
}

TEST_CASE("proxies leave a network as it was, and are the same for any number of threads") {
    const data::Dataset images = data::shapes(data::Split::train, {.count = 6});
    seed(3);
    const auto model = network(ofa_resnet_cifar(), ofa_resnet_cifar().smallest());
    std::map<std::string, Tensor> before;
    for (const auto& [name, tensor] : model->state()) before[name] = tensor.clone();
    const data::Batch batch = images.batch({0, 1, 2, 3, 4, 5});
    synflow(*model), naswot(*model, batch.input()), gradient_norm(*model, batch.input(), batch.target());
    for (const auto& [name, tensor] : model->state()) CHECK_MESSAGE(same(tensor, before.at(name)), name);

    for (const Space* space : {&ofa_resnet_cifar(), &ofa_mobilenet_cifar()})
        for (const std::string& name : proxy_names()) {
            CAPTURE(space->name);
            CAPTURE(name);
            const Proxy proxy = proxy_named(name);
            const auto by = [&](int threads, uint64_t seed) {
                const testing::ThreadScope scope(threads);
                return proxy_of(proxy, *space, space->smallest(), images, seed);
            };
            CHECK(std::isfinite(by(1, 0)));
            CHECK(by(1, 0) == by(3, 0));
            CHECK(by(1, 0) != by(1, 1));
            const Space& joint = space_named(space->name + "-joint");
            CHECK(proxy_of(proxy, joint, joint.smallest(), images) == by(2, 0));
            CHECK(name_of(proxy) == name);
        }
    CHECK(message_of([] { proxy_named("synflo"); }) == "unknown proxy 'synflo'; did you mean 'synflow'?");
}
