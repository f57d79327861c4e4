#include "lathe/nn/transform.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/tape/gradcheck.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/snapshot.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/nn/test_transforms.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

// Two of three.
Tensor some_of(const Shape& shape) {
    Tensor keep = Tensor::full(shape, 1, DType::u8);
    for (int64_t i = 0; i < keep.numel(); i += 3) keep.mutable_data<uint8_t>()[i] = 0;
    return keep;
}

// A network whose convolution learns its kernel's matrices, is masked, and learns its steps; so does the last layer,
// whose inputs are arranged otherwise in files.
std::unique_ptr<Sequential> transformed_net(uint64_t initial = 1) {
    seed(initial);
    auto net = std::make_unique<Sequential>();
    auto& conv = net->add<Conv2d>("conv", {.in = 1, .out = 4, .kernel = 7, .same = true, .bias = false});
    net->add<BatchNorm>("bn", {.channels = 4, .activation = Activation::relu});
    net->add<Flatten>("flatten");
    auto& fc = net->add<Linear>("fc", {.in = 4 * 64, .out = 3, .pixels = 64});
    conv.weight.add_transform(std::make_unique<LearnedStep>(4, conv.weight.value()));
    set_mask(conv.weight, some_of(conv.weight.shape()));
    conv.weight.add_transform(std::make_unique<KernelSlice>(3, conv.weight.value()));
    fc.weight.add_transform(std::make_unique<LearnedStep>(8, fc.weight.value()));
    return net;
}

Parameter& named(Module& module, const std::string& name) {
    for (const auto& [each, parameter] : module.named_parameters())
        if (each == name) return *parameter;
    fail("no parameter ", name);
}

std::vector<std::string> names_of(Module& module) {
    std::vector<std::string> names;
    for (const auto& [name, parameter] : module.named_parameters()) names.push_back(name);
    return names;
}

optim::FitOptions options(const std::string& out = "") {
    return {.epochs = 3, .batch = 16, .schedule = optim::cosine(), .seed = 3, .ema = 0.9, .out = out};
}

optim::Trainer make_trainer(Module& net) {
    return {net, optim::sgd({.lr = 0.05, .momentum = 0.9, .weight_decay = 0.01})};
}

}  // namespace

TEST_CASE("learned step: values, and the gradients of its paper") {
    // One row, steps of 0.5, levels -4 to 3: inside, at the upper end and beyond both ends.
    const Variable w = Variable::leaf(Tensor::of<double>({1, 4}, {0.6, -0.9, 9, -7})),
                   s = Variable::leaf(Tensor::of<double>({1}, {0.5}));
    const Variable y = learned_step(w, s, 3);
    CHECK(same(y.value(), Tensor::of<double>({1, 4}, {0.5, -1, 1.5, -2})));
    backward(y, Tensor::of<double>({1, 4}, {1, 1, 1, 1}));
    CHECK(same(w.grad(), Tensor::of<double>({1, 4}, {1, 1, 0, 0})));
    // (1 - 1.2) + (-2 + 1.8) + 3 - 4, over sqrt(4 * 3).
    CHECK(s.grad().item() == doctest::Approx(-1.4 / std::sqrt(12.0)));
}

TEST_CASE("learned step: its gradients are true ones where there are such") {
    Tensor beyond = random_tensor({3, 7}, 1, DType::f64);
    for (int64_t i = 0; i < beyond.numel(); ++i) beyond.mutable_data<double>()[i] += beyond.at(i) > 0 ? 9 : -9;
    const Tensor steps = Tensor::of<double>({3}, {0.5, 0.4, 0.6});
    // Beyond the range: y = level * s.
    const Variable s = Variable::leaf(steps.clone()), w = Variable::leaf(beyond.clone());
    backward(ops::sum(learned_step(w, s, 3)));
    for (int64_t k = 0; k < 3; ++k) {
        double levels = 0;
        for (int64_t i = 0; i < 7; ++i) levels += beyond.at(k * 7 + i) > 0 ? 3 : -4;
        CHECK(s.grad().at(k) * std::sqrt(7 * 3.0) == doctest::Approx(levels));
    }
    for (int64_t i = 0; i < 21; ++i) CHECK(w.grad().at(i) == 0);
    // Within it, with what rounding added held fast: y = w + s * c, c = round(w / s) - w / s.
    const Tensor within = Tensor::of<double>({3, 2}, {0.6, -0.9, 0.3, 0.7, -1.4, 1.1});
    Tensor c(within.shape(), DType::f64);
    for (int64_t i = 0; i < 6; ++i) {
        const double at = within.at(i) / steps.at(i / 2);
        c.mutable_data<double>()[i] = std::nearbyint(at) - at;
    }
    const auto held = [&](const std::vector<Variable>& x) {
        return ops::add(x[0], ops::mul(ops::reshape(x[1], {3, 1}), c));
    };
    CHECK(gradcheck(held, {within, steps}));
    const Variable a = Variable::leaf(within.clone()), b = Variable::leaf(steps.clone());
    const Variable p = Variable::leaf(within.clone()), q = Variable::leaf(steps.clone());
    const Tensor dy = random_tensor({3, 2}, 4, DType::f64);
    backward(held({a, b}), dy);
    backward(learned_step(p, q, 3), dy);
    CHECK(same(p.grad(), a.grad()));
    for (int64_t k = 0; k < 3; ++k) CHECK(q.grad().at(k) * std::sqrt(2 * 3.0) == doctest::Approx(b.grad().at(k)));
}

TEST_CASE("kernel slice: the centre at first, then what its matrices make of it, with true gradients") {
    Parameter weight(random_tensor({2, 7, 7, 3}), {.kind = FileOrder::conv});
    auto& slice = dynamic_cast<KernelSlice&>(weight.add_transform(std::make_unique<KernelSlice>(3, weight.value())));
    const Tensor small = weight.effective().value();
    CHECK(small.shape() == Shape{2, 3, 3, 3});
    CHECK(small.at(((1 * 3 + 2) * 3 + 0) * 3 + 1) == weight.value().at(((1 * 7 + 4) * 7 + 2) * 3 + 1));
    slice.use(5);
    CHECK(weight.effective().shape() == Shape{2, 5, 5, 3});
    // A matrix of twos on the diagonal is seen without telling the weight.
    slice.matrix(0).mutable_value().copy_([&] {
        Tensor twos = Tensor::zeros({25, 25});
        for (int64_t i = 0; i < 25; ++i) twos.mutable_data<float>()[26 * i] = 2;
        return twos;
    }());
    slice.use(3);
    CHECK(weight.effective().value().at(0) == 2 * small.at(0));
    CHECK(gradcheck([](const std::vector<Variable>& x) { return smaller_kernel(smaller_kernel(x[0], x[1]), x[2]); },
                    {random_tensor({2, 7, 7, 2}, 1, DType::f64), random_tensor({25, 25}, 2, DType::f64),
                     random_tensor({9, 9}, 3, DType::f64)}));
}

TEST_CASE("transforms are applied by stage, whoever was added first; two of one are refused") {
    const auto net = transformed_net();
    Parameter& weight = named(*net, "conv.weight");
    REQUIRE(weight.transforms().size() == 3);
    CHECK(weight.transforms()[0]->kind() == "kernel_slice");
    CHECK(weight.transforms()[1]->kind() == "mask");
    CHECK(weight.transforms()[2]->kind() == "learned_step");
    CHECK(message_of([&] { weight.add_transform(std::make_unique<LearnedStep>(2, weight.value())); }) ==
          "parameter: expected one 'learned_step' transform, got a second");
    struct Codebook : LearnedStep {
        using LearnedStep::LearnedStep;
        std::string kind() const override { return "codebook"; }
    };
    CHECK(message_of([&] { weight.add_transform(std::make_unique<Codebook>(2, weight.value())); }) ==
          "parameter: expected one transform of the stage 'quantize', got 'codebook' beside 'learned_step'");
    CHECK(message_of([&] { named(*net, "fc.bias").add_transform(std::make_unique<LearnedStep>(2, weight.value())); }) ==
          "step: weight transform: expected a tensor that lies along axis 0 of its weight of shape [3], got [4]");
    // The mask lies along the whole kernel: its centre meets the slice.
    const Tensor effective = weight.effective().value(), keep = weight.find_transform<Mask>()->mask();
    for (int64_t k = 0; k < 4; ++k)
        for (int64_t i = 0; i < 9; ++i)
            if (!keep.at((k * 7 + i / 3 + 2) * 7 + i % 3 + 2)) CHECK(effective.at(k * 9 + i) == 0);
}

TEST_CASE("parameters of transforms are the module's: named, counted, frozen, cleared, converted") {
    const auto net = transformed_net();
    CHECK(names_of(*net) == std::vector<std::string>{"conv.weight", "conv.weight.matrix5", "conv.weight.matrix3",
                                                     "conv.weight.step", "bn.weight", "bn.bias", "fc.weight",
                                                     "fc.weight.step", "fc.bias"});
    CHECK(net->parameter_count() == 4 * 49 + 625 + 81 + 4 + 8 + 3 * 256 + 3 + 3);
    CHECK(net->freeze("conv.weight.matrix*") == 2);
    CHECK(net->freeze("fc") == 3);
    const Tensor x = random_tensor({2, 8, 8, 1});
    const auto grads = [&] {
        backward(ops::sum((*net)(x)));
        std::set<std::string> with;
        for (const auto& [name, parameter] : net->named_parameters())
            if (parameter->grad()) with.insert(name);
        net->zero_grad();
        return with;
    };
    CHECK(grads() == std::set<std::string>{"conv.weight", "conv.weight.step", "bn.weight", "bn.bias"});
    net->freeze("*", false);
    CHECK(grads().size() == 9);
    for (const auto& [name, parameter] : net->named_parameters()) CHECK(!parameter->grad());
    net->convert(DType::f64);
    CHECK((*net)(x.to(DType::f64)).dtype() == DType::f64);
}

TEST_CASE("parameters of transforms train, decay and average, and are saved in the order of files") {
    const auto net = transformed_net();
    std::map<std::string, Tensor> before;
    for (const auto& [name, tensor] : net->state()) before[name] = tensor.clone();
    CHECK(before.at("fc.weight.step").shape() == Shape{3});
    make_trainer(*net).fit(stripes(48), stripes(30, 2), options());
    std::map<std::string, Tensor> after;
    for (const auto& [name, tensor] : net->state()) after[name] = tensor.clone();
    for (const char* name :
         {"conv.weight", "conv.weight.matrix5", "conv.weight.matrix3", "conv.weight.step", "fc.weight.step"})
        CHECK(!same(before.at(name), after.at(name)));
    CHECK(same(before.at("conv.weight.mask"), after.at("conv.weight.mask")));

    optim::Ema ema(*net, 0.5);
    const double was = named(*net, "fc.weight.step").value().at(0);
    named(*net, "fc.weight.step").mutable_value().fill_(9);
    ema.update(100);
    CHECK(ema.state().at("fc.weight.step").at(0) == doctest::Approx((was + 9) / 2));

    const auto copy = transformed_net(7);
    copy->load_state(after);
    CHECK(same_bits(*copy, *net) == false);  // 9 was set after
    named(*net, "fc.weight.step").mutable_value().copy_(after.at("fc.weight.step"));
    CHECK(same_bits(*copy, *net));
    auto damaged = after;
    damaged["conv.weight.step"] = Tensor::zeros({5});
    CHECK(message_of([&] { copy->load_state(damaged); }) ==
          "load: expected 'conv.weight.step' of type f32 and shape [4], got f32 [5]");
    damaged["conv.weight.step"] = after.at("conv.weight.step");
    damaged["conv.weight.mask"] = Tensor::full({4, 1, 3, 3}, 1, DType::u8);
    CHECK(message_of([&] { copy->load_state(damaged); }) ==
          "conv.weight.mask: weight transform: expected a tensor that lies along its weight of shape [4, 7, 7, 1], got "
          "[4, 3, 3, 1]");
}

TEST_CASE("a run with transforms that learn resumes with the same bits") {
    const auto train = stripes(48).augmented(data::random_crop(8, 1)), test = stripes(30, 2);
    const auto whole = transformed_net();
    make_trainer(*whole).fit(train, test, options());
    for (int64_t stop : {1, 4, 7}) {
        CAPTURE(stop);
        const TemporaryFolder folder;
        const auto first = transformed_net();
        optim::Trainer trainer = make_trainer(*first);
        auto o = options(folder.path);
        int64_t steps = 0;
        o.on_batch = [&](const optim::BatchReport& report) {
            if (!report.validating && ++steps == stop) trainer.request_stop();
        };
        CHECK(trainer.fit(train, test, o).end == optim::History::End::stopped);
        const auto net = transformed_net(99);
        auto again = options(folder.path);
        again.resume = true;
        make_trainer(*net).fit(train, test, again);
        CHECK(same_bits(*net, *whole));
    }
}

TEST_CASE("a model's file brings its transforms along, dense and encoded") {
    register_test_transforms();
    const TemporaryFolder folder;
    const auto train = stripes(32).augmented(data::resize(12, 12)),
               test = stripes(15, 2).augmented(data::resize(12, 12));
    const auto fit = [&](bool fresh, int64_t epochs) {
        seed(1);
        auto model = make_model("lenet5", {.classes = 3, .widths = {2, 3, 8, 6}, .input = {12, 12, 1}});
        if (fresh)
            for (const char* name : {"conv1.weight", "fc1.weight"}) {
                Parameter& weight = named(*model, name);
                weight.add_transform(std::make_unique<LearnedStep>(4, weight.value()));
                set_mask(weight, some_of(weight.shape()));
            }
        optim::Trainer(*model, optim::adam())
            .fit(train, test, {.epochs = epochs, .batch = 16, .ema = 0.9, .out = folder.path, .resume = !fresh});
        return model;
    };
    const auto whole = fit(true, 2);
    fit(true, 1);
    const auto resumed = fit(false, 2);
    CHECK(resumed->state().count("fc1.weight.step") == 1);
    CHECK(same_bits(*resumed, *whole));

    save(*whole, folder / "dense.safetensors");
    CHECK(same_bits(*load(folder / "dense.safetensors"), *whole));
    CHECK(
        read_safetensors(folder / "dense.safetensors").metadata.at("lathe.transforms") ==
        R"({"conv1.weight":[{"kind":"mask"},{"bits":4,"kind":"learned_step"}],)"
        R"("fc1.weight":[{"kind":"mask"},{"bits":4,"kind":"learned_step"}]})");
    save(*whole, folder / "encoded.safetensors", Weights::encoded);
    const TensorFile file = read_safetensors(folder / "encoded.safetensors");
    CHECK(file.tensors.at("fc1.weight.values").dtype() ==
          DType::i8);  // what neither the mask nor the rounding has taken
    CHECK(file.tensors.at("fc1.weight.step").shape() == Shape{8});
    const auto back = load(folder / "encoded.safetensors");
    const Tensor x = random_tensor({2, 12, 12, 1});
    const NoGrad no_grad;
    whole->eval(), back->eval();
    CHECK(same((*back)(x).value(), (*whole)(x).value()));
}

TEST_CASE("selection moves masks, steps and matrices with the weight") {
    const auto net = transformed_net();
    Parameter& weight = named(*net, "conv.weight");
    Parameter& step = named(*net, "conv.weight.step");
    step.mutable_value().copy_(Tensor::of<float>({4}, {0.1f, 0.2f, 0.3f, 0.4f}));
    step.slots()["momentum"] = Tensor::of<float>({4}, {1, 2, 3, 4});
    const Tensor before = weight.effective().value(), keep = weight.find_transform<Mask>()->mask();
    weight.select_(0, {3, 1});
    CHECK(same(step.value(), Tensor::of<float>({2}, {0.4f, 0.2f})));
    CHECK(same(step.slots().at("momentum"), Tensor::of<float>({2}, {4, 2})));
    CHECK(same(weight.find_transform<Mask>()->mask(), keep.select(0, {3, 1})));
    CHECK(same(weight.effective().value(), before.select(0, {3, 1})));
    CHECK(named(*net, "conv.weight.matrix5").shape() == Shape{25, 25});
    // Of the inputs behind the flattened image, steps know nothing.
    Parameter& fc = named(*net, "fc.weight");
    const Tensor linear = fc.effective().value();
    fc.select_(1, {5, 0, 9});
    CHECK(same(fc.effective().value(), linear.select(1, {5, 0, 9})));
}

TEST_CASE("a tensor beside a weight is arranged in files as that axis of the weight is") {
    const FileOrder image{.kind = FileOrder::image, .pixels = 2}, conv{.kind = FileOrder::conv};
    const Tensor columns = Tensor::of<float>({6}, {0, 1, 2, 10, 11, 12});  // (pixel, channel)
    CHECK(same(image.beside(Along::axis(1)).to_file(columns), Tensor::of<float>({6}, {0, 10, 1, 11, 2, 12})));
    CHECK(same(image.beside(Along::axis(1)).from_file(image.beside(Along::axis(1)).to_file(columns)), columns));
    for (const Along& along : {Along::axis(0), Along::none()})
        CHECK(same(image.beside(along).to_file(columns), columns));
    const Tensor rows = random_tensor({4, 6});
    CHECK(same(image.beside(Along::weight()).to_file(rows), image.to_file(rows)));
    const Tensor kernel = random_tensor({4, 3, 3, 2});
    CHECK(same(conv.beside(Along::weight()).to_file(kernel), conv.to_file(kernel)));
    CHECK(same(conv.beside(Along::axis(3)).to_file(columns), columns));
}

TEST_CASE("the graph keeps what is known of a weight, through folding") {
    seed(1);
    Sequential net;
    auto& conv = net.add<Conv2d>("conv", {.in = 4, .out = 4, .kernel = 1});
    auto& norm = net.add<BatchNorm>("bn", {.channels = 4});
    norm.weight.set_value(Tensor::of<float>({4}, {2, -1, 0.5, 3}));
    const Tensor keep = Tensor::of<uint8_t>({4, 1, 1, 4}, {1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1, 0});
    set_mask(conv.weight, keep, kernels::parse_pattern("2:4"));
    conv.weight.add_transform(std::make_unique<LearnedStep>(4, conv.weight.value()));
    const Graph graph = trace(net, random_tensor({1, 2, 2, 4})), folded = fold(graph);
    for (const Graph& each : {graph, folded}) {
        const auto layer = std::find_if(each.nodes.begin(), each.nodes.end(),
                                        [](const GraphNode& node) { return node.activation && node.is_op(); });
        const GraphNode& weight = each.nodes[static_cast<size_t>(layer->inputs[1])];
        REQUIRE(weight.lowered);
        const Lowered& lowered = *weight.lowered;
        CHECK(same(lowered.mask, keep));
        CHECK(lowered.pattern.str() == "2:4");
        CHECK(lowered.integers.dtype() == DType::i8);
        for (int64_t i = 0; i < 16; ++i)
            CHECK(weight.value.at(i) ==
                  doctest::Approx(lowered.integers.at(i) * lowered.scale.at(i / 4)).epsilon(1e-6));
    }
    // A scale along the inputs cannot take factors of the outputs in.
    const Lowered inputs{
        .mask = keep, .integers = Tensor::zeros({4, 1, 1, 4}, DType::i8), .scale = Tensor::full({4}, 1), .axis = 3};
    CHECK(!inputs.scaled({1, 2, 3, 4}).integers);
    CHECK(inputs.scaled({1, 2, 3, 4}).mask);
}

TEST_CASE("mask: a pattern that a selection breaks is forgotten, and is kept in files while it lasts") {
    Parameter weight(random_tensor({2, 8}));
    const Tensor keep = Tensor::of<uint8_t>({2, 8}, {1, 1, 0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1});
    Mask& mask = set_mask(weight, keep, kernels::parse_pattern("2:4"));
    CHECK(mask.config().text("pattern") == "2:4");
    weight.select_(0, {1});
    weight.select_(1, {4, 5, 6, 7});
    CHECK(mask.pattern().str() == "2:4");
    weight.select_(1, {0, 3, 0, 3});
    CHECK(mask.pattern().str() == "unstructured");
    CHECK(mask.config() == Attributes{});
}
