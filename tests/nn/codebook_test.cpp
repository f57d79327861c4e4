#include "lathe/nn/codebook.h"

#include <doctest/doctest.h>

#include "lathe/core/graph/fold.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/parallel.h"
#include "lathe/core/tape/gradcheck.h"
#include "lathe/nn/files/encode.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/inference.h"
#include "lathe/nn/snapshot.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nn;
using namespace lathe::testing;

namespace {

using Gradient = Codebook::Gradient;

Tensor random_indices(const Shape& shape, int64_t entries, uint64_t seed = 1) {
    Tensor indices(shape, DType::u8);
    Random random(seed);
    for (int64_t i = 0; i < indices.numel(); ++i)
        indices.mutable_data<uint8_t>()[i] = static_cast<uint8_t>(random.below(entries));
    return indices;
}

Tensor some_of(const Shape& shape) {
    Tensor keep = Tensor::full(shape, 1, DType::u8);
    for (int64_t i = 0; i < keep.numel(); i += 3) keep.mutable_data<uint8_t>()[i] = 0;
    return keep;
}

Codebook& give(Parameter& parameter, int64_t bits, Gradient gradient = Gradient::mean) {
    const int64_t entries = int64_t{1} << bits;
    return set_codebook(parameter, random_indices(parameter.shape(), entries), random_tensor({entries}, 9), gradient);
}

Parameter& named(Module& module, const std::string& name) { return *module.named_parameters(name).front().second; }

// Both weights of the toy network, one of them masked.
std::unique_ptr<Sequential> shared_net(Gradient gradient, uint64_t seed = 1) {
    auto net = toy_net(seed);
    set_mask(named(*net, "fc.weight"), some_of(named(*net, "fc.weight").shape()));
    give(named(*net, "conv.weight"), 2, gradient);
    give(named(*net, "fc.weight"), 3, gradient);
    return net;
}

Tensor logits(Module& module, const Tensor& x) {
    const NoGrad no_grad;
    module.eval();
    return module(x).value();
}

}  // namespace

TEST_CASE("codebook: a weight is its entry, a masked one zero; the gradient is the entry's") {
    Parameter weight(Tensor::of<float>({2, 3}, {1, 2, 3, 4, 5, 6}));
    const Tensor indices = Tensor::of<uint8_t>({2, 3}, {0, 1, 1, 3, 1, 0}),
                 entries = Tensor::of<float>({4}, {-1, 2, 7, 4});
    for (Gradient gradient : {Gradient::sum, Gradient::mean}) {
        Codebook& codebook = set_codebook(weight, indices, entries, gradient);
        CHECK(codebook.bits() == 2);
        CHECK(codebook.describe() == "codebook, 2 bits");
        CHECK(same(weight.value(), Tensor::of<float>({2, 3}, {-1, 2, 2, 4, 2, -1})));
        // A mask that is added later comes before it all the same.
        set_mask(weight, Tensor::of<uint8_t>({2, 3}, {1, 1, 0, 1, 1, 1}));
        CHECK(same(weight.effective().value(), Tensor::of<float>({2, 3}, {-1, 2, 0, 4, 2, -1})));
        backward(weight.effective(), Tensor::of<float>({2, 3}, {1, 2, 3, 4, 6, 7}));
        Parameter& trained = *codebook.parameters().front().parameter;
        CHECK(!weight.grad());
        CHECK(same(trained.grad(), gradient == Gradient::sum ? Tensor::of<float>({4}, {8, 8, 0, 4})
                                                             : Tensor::of<float>({4}, {4, 4, 0, 4})));
    }
}

TEST_CASE("codebook: the sum is the true gradient") {
    Tensor weight = random_tensor({5, 7}, 1, DType::f64);
    for (int64_t i = 0; i < weight.numel(); i += 4) weight.mutable_data<double>()[i] = 0;
    const Tensor indices = random_indices({5, 7}, 8), times = random_tensor({5, 7}, 2, DType::f64);
    CHECK(gradcheck(
        [&](const std::vector<Variable>& x) { return ops::mul(look_up(weight, x[0], indices, Gradient::sum), times); },
        {random_tensor({8}, 3, DType::f64)}));
}

TEST_CASE("codebook: the same bits for any number of threads") {
    const Shape shape{300, 257};
    const Tensor weight = random_tensor(shape), indices = random_indices(shape, 16), dy = random_tensor(shape, 5);
    std::vector<Tensor> found;
    for (int count : {1, 2, 5}) {
        const int before = threads();
        set_threads(count);
        const Variable entries = Variable::leaf(random_tensor({16}, 4));
        backward(look_up(weight, entries, indices, Gradient::mean), dy);
        found.push_back(entries.grad());
        set_threads(before);
    }
    CHECK(same(found[0], found[1]));
    CHECK(same(found[0], found[2]));
}

TEST_CASE("codebook: the mean of gradients trains as the lab does") {
    // The lab: every weight has a gradient and a momentum; after each step an entry becomes the mean of its weights,
    // and they become it.
    constexpr int64_t kCount = 200, kEntries = 4;
    constexpr float kLr = 0.05f, kMomentum = 0.9f, kDecay = 0.01f;
    struct OneWeight : Module {
        Parameter w{random_tensor({kCount})};
        OneWeight() { parameter("w", w); }
        Variable forward(const Variable& x) override { return ops::mul(x, w.effective()); }
    } net;
    const Codebook& codebook = give(net.w, 2);
    const auto sgd = optim::sgd({.lr = kLr, .momentum = kMomentum, .weight_decay = kDecay});
    std::vector<float> w(kCount), momentum(kCount);
    for (int64_t i = 0; i < kCount; ++i) w[static_cast<size_t>(i)] = static_cast<float>(net.w.value().at(i));
    for (uint64_t step = 0; step < 20; ++step) {
        const Tensor g = random_tensor({kCount}, 100 + step);
        net.zero_grad();
        backward(ops::sum(net(g)));
        sgd->step(net);

        double sum[kEntries] = {}, count[kEntries] = {};
        const uint8_t* index = codebook.indices().data<uint8_t>();
        for (size_t i = 0; i < kCount; ++i) {
            momentum[i] = kMomentum * momentum[i] + static_cast<float>(g.at(static_cast<int64_t>(i))) + kDecay * w[i];
            w[i] -= kLr * momentum[i];
            sum[index[i]] += w[i], count[index[i]] += 1;
        }
        for (size_t i = 0; i < kCount; ++i) w[i] = static_cast<float>(sum[index[i]] / count[index[i]]);
        for (int64_t i = 0; i < kCount; ++i)
            CHECK(net.w.effective().value().at(i) == doctest::Approx(w[static_cast<size_t>(i)]).epsilon(1e-4));
    }
}

TEST_CASE("codebook: trains with an ordinary trainer, and resumes with the same bits") {
    const auto train = stripes(48).augmented(data::random_crop(8, 1)), test = stripes(30, 2);
    const auto trainer_of = [](Module& net) {
        return optim::Trainer(net, optim::sgd({.lr = 0.01, .momentum = 0.9, .weight_decay = 0.01}));
    };
    const auto options = [](const std::string& out = "") {
        return optim::FitOptions{.epochs = 3, .batch = 16, .seed = 3, .ema = 0.9, .out = out};
    };
    for (Gradient gradient : {Gradient::mean, Gradient::sum}) {
        const auto whole = shared_net(gradient);
        const Tensor before = named(*whole, "fc.weight.codebook").value().clone();
        trainer_of(*whole).fit(train, test, options());
        CHECK(!same(named(*whole, "fc.weight.codebook").value(), before));
        const Tensor keep = named(*whole, "fc.weight").find_transform<Mask>()->mask();
        for (int64_t i = 0; i < keep.numel(); ++i)
            CHECK((named(*whole, "fc.weight").effective().value().at(i) != 0) == (keep.at(i) != 0));
        for (int64_t stop : {1, 5}) {
            CAPTURE(stop);
            const TemporaryFolder folder;
            const auto first = shared_net(gradient);
            optim::Trainer trainer = trainer_of(*first);
            auto o = options(folder.path);
            int64_t steps = 0;
            o.on_batch = [&](const optim::BatchReport& report) {
                if (!report.validating && ++steps == stop) trainer.request_stop();
            };
            CHECK(trainer.fit(train, test, o).end == optim::History::End::stopped);
            const auto net = shared_net(gradient, 99);
            auto again = options(folder.path);
            again.resume = true;
            trainer_of(*net).fit(train, test, again);
            CHECK(same_bits(*net, *whole));
        }
    }
}

TEST_CASE("codebook: a file of indices gives the same bits, packed and Huffman coded, masked or not") {
    const TemporaryFolder folder;
    seed(1);
    const auto model = make_model("lenet5");
    set_mask(named(*model, "fc1.weight"), some_of(named(*model, "fc1.weight").shape()));
    set_mask(named(*model, "conv2.weight"), some_of(named(*model, "conv2.weight").shape()));
    for (const auto& [name, bits] : std::vector<std::pair<std::string, int64_t>>{
             {"conv1.weight", 8}, {"conv2.weight", 3}, {"fc1.weight", 4}, {"fc2.weight", 1}, {"fc3.weight", 5}})
        give(named(*model, name), bits);
    const Tensor x = random_tensor({3, 28, 28, 1}), expected = logits(*model, x);
    const Tensor keep = named(*model, "fc1.weight").find_transform<Mask>()->mask();

    save(*model, folder / "dense.safetensors");
    save(*model, folder / "packed.safetensors", Weights::encoded);
    save(*model, folder / "huffman.safetensors", Weights::huffman);
    for (const char* name : {"dense", "packed", "huffman"}) {
        CAPTURE(name);
        const std::string path = folder / (std::string(name) + ".safetensors");
        const auto back = load(path);
        CHECK(same(logits(*back, x), expected));
        CHECK(same(Inference(*back, x)(x), Inference(*model, x)(x)));
        for (const auto& [each, parameter] : back->named_parameters())
            CHECK(same(parameter->effective().value(), named(*model, each).effective().value()));
        const Weights weights = name[0] == 'd' ? Weights::dense : name[0] == 'p' ? Weights::encoded : Weights::huffman;
        save(*back, folder / "again.safetensors", weights);
        CHECK(read_file(folder / "again.safetensors") == read_file(path));
    }
    const TensorFile packed = read_safetensors(folder / "packed.safetensors");
    CHECK(packed.tensors.at("fc1.weight.values").bytes() == static_cast<size_t>((keep.nonzeros() * 4 + 7) / 8));
    CHECK(packed.tensors.at("fc2.weight").bytes() ==
          static_cast<size_t>(named(*model, "fc2.weight").value().numel() / 8));
    CHECK(packed.tensors.at("conv1.weight").shape() == Shape{6, 1, 5, 5});  // 8 bits are the indices themselves
    CHECK(packed.tensors.count("fc1.weight.indices") == 0);
    // One of three masked, evenly: run lengths are nearly all 1.
    const TensorFile huffman = read_safetensors(folder / "huffman.safetensors");
    CHECK(huffman.metadata.at("lathe.encoded").find(R"("index_coding":"huffman")") != std::string::npos);
    CHECK(huffman.tensors.at("fc1.weight.index").bytes() < packed.tensors.at("fc1.weight.index").bytes());
    // Masked weights come back as zeros, not as an entry of the codebook.
    const auto back = load(folder / "huffman.safetensors");
    for (int64_t i = 0; i < keep.numel(); ++i)
        if (!keep.at(i)) CHECK(named(*back, "fc1.weight").value().at(i) == 0);
}

TEST_CASE("codebook: damaged files are one clear line") {
    seed(1);
    const auto model = make_model("lenet5");
    set_mask(named(*model, "fc1.weight"), some_of(named(*model, "fc1.weight").shape()));
    give(named(*model, "fc1.weight"), 3);
    give(named(*model, "fc2.weight"), 2);
    for (Weights weights : {Weights::encoded, Weights::huffman}) {
        const TensorFile good = to_file(*model, weights);
        const auto error = [&](const std::function<void(TensorFile&)>& damage) {
            TensorFile file{.tensors = {}, .metadata = good.metadata};
            for (const auto& [name, tensor] : good.tensors) file.tensors[name] = tensor.clone();
            damage(file);
            return message_of([&] { from_file(file, "file"); });
        };
        const auto said = [&](const std::string& from, const std::string& to) {
            return error([&](TensorFile& f) {
                std::string& how = f.metadata["lathe.encoded"];
                REQUIRE(how.find(from) != std::string::npos);
                how.replace(how.find(from), from.size(), to);
            });
        };
        CHECK(error([](TensorFile&) {}) == "no error");
        CHECK(error([](TensorFile& f) { f.tensors.erase("fc1.weight.codebook"); }) ==
              "file: fc1.weight: codebook: expected indices and a codebook");
        CHECK(error([](TensorFile& f) { f.tensors["fc2.weight.codebook"] = Tensor::zeros({2}); }).find("2 entries") !=
              std::string::npos);
        CHECK(error([](TensorFile& f) { f.tensors["fc2.weight.codebook"] = Tensor::zeros({8}); }).find("fc2.weight") !=
              std::string::npos);
        CHECK(error([](TensorFile& f) { f.tensors["fc2.weight"] = Tensor::zeros({8}); }) ==
              "file: fc2.weight: expected symbols of type u8, got f32");
        CHECK(said(R"("weight_bits":2)", R"("weight_bits":3)") != "no error");
        CHECK(said(R"("weight_bits":2)", R"("weight_bits":9)") ==
              "file: fc2.weight: expected symbols of 1 to 8 bits, got 9");
        CHECK(said(R"("weight_coding":")", R"("weight_coding":"x)").find("unknown coding 'x") != std::string::npos);
        CHECK(said(R"("weight_shape":[84)", R"("weight_shape":[85)") != "no error");
        CHECK(said(R"("weight_shape":[84,120])", R"("weight_shape":[2000000000])") != "no error");
        CHECK(said(R"("weight_shape":[84,120])", R"("weight_shape":[120,84])") != "no error");
        const TensorFile dense = to_file(*model);
        TensorFile other = dense;
        std::string& listed = other.metadata["lathe.transforms"];
        listed.replace(listed.find(R"("bits":3)"), 8, R"("bits":0)");
        CHECK(message_of([&] { from_file(other, "file"); }).find("codebook: expected 1 to 8 bits, got 0") !=
              std::string::npos);
    }
}

TEST_CASE("codebook: selection moves the indices, snapshots bring them back, the graph knows them") {
    const auto net = shared_net(Gradient::mean);
    const Snapshot snapshot(*net);
    Parameter& fc = named(*net, "fc.weight");
    const Tensor before = fc.effective().value(), indices = fc.find_transform<Codebook>()->indices();
    fc.select_(1, {7, 0, 100});
    CHECK(same(fc.effective().value(), before.select(1, {7, 0, 100})));
    CHECK(same(fc.find_transform<Codebook>()->indices(), indices.select(1, {7, 0, 100})));
    CHECK(fc.find_transform<Codebook>()->entries().shape() == Shape{8});
    snapshot.restore(*net);
    CHECK(same(named(*net, "fc.weight").effective().value(), before));

    // Through folding, too: a norm's factors become the scale of a row.
    const Graph folded = fold(trace(*net, random_tensor({1, 8, 8, 1})));
    int found = 0;
    for (const GraphNode& node : folded.nodes) {
        if (!node.lowered || !node.lowered->codebook) continue;
        const Lowered& known = *node.lowered;
        const int64_t row = node.value.numel() / node.value.dim(0);
        for (int64_t i = 0; i < node.value.numel(); ++i) {
            const double scale = known.scale ? known.scale.at(i / row) : 1;
            const bool zero = known.mask && known.mask.at(i) == 0;
            const double entry = known.codebook.at(static_cast<int64_t>(known.indices.at(i)));
            CHECK(node.value.at(i) == doctest::Approx(zero ? 0 : scale * entry).epsilon(1e-5));
        }
        ++found;
    }
    CHECK(found == 2);
}

TEST_CASE("codebook: what it cannot be is one clear line") {
    Parameter weight(random_tensor({4}));
    const Tensor indices = Tensor::zeros({4}, DType::u8);
    const auto error = [&](const Tensor& index, const Tensor& entries) {
        return message_of([&] { set_codebook(weight, index, entries, Gradient::mean); });
    };
    CHECK(error(indices, Tensor::zeros({3})) == "codebook: expected entries [2^bits], 1 to 8 bits, got [3]");
    CHECK(error(indices, Tensor::zeros({512})) == "codebook: expected entries [2^bits], 1 to 8 bits, got [512]");
    CHECK(error(indices, Tensor::zeros({1})) == "codebook: expected entries [2^bits], 1 to 8 bits, got [1]");
    CHECK(error(Tensor::full({4}, 2, DType::u8), Tensor::zeros({2})) ==
          "codebook: expected indices of 2 entries, got 2");
    CHECK(error(Tensor::zeros({4}), Tensor::zeros({2})) == "codebook: expected indices of type u8, got f32");
    CHECK(error(Tensor::zeros({5}, DType::u8), Tensor::zeros({2})) ==
          "codebook: expected indices of shape [4], got [5]");
    CHECK(weight.transforms().empty());
    CHECK(message_of([] { Codebook::gradient_of("men"); }).ends_with("did you mean 'mean'?"));
}
