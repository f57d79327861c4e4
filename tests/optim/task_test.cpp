#include "lathe/optim/task.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "lathe/core/files/safetensors.h"
#include "lathe/nn/layers/embedding.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/models/autoencoder.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;
using namespace lathe::optim;

namespace {

// The result of one batch whose outputs are given.
Result result_of(const Task& task, const Tensor& output, const data::Batch& batch) {
    Tally tally;
    task.add(tally, output, batch, task.loss(output, batch).value().item());
    return task.result(tally);
}

// y = x0 - 2 x1 + 0.5.
data::Dataset plane(int64_t count, uint64_t seed) {
    const Tensor x = random_tensor({count, 2}, seed);
    Tensor y({count, 1});
    for (int64_t i = 0; i < count; ++i)
        y.mutable_data<float>()[i] = static_cast<float>(x.at(2 * i) - 2 * x.at(2 * i + 1) + 0.5);
    return {{.name = "plane"}, {.inputs = {x}, .targets = {y}}};
}

// Tokens that count up from anywhere, modulo 5, and what follows each.
data::Dataset counting(int64_t count) {
    Tensor x({count, 6}, DType::i32), y({count, 6}, DType::i32);
    for (int64_t i = 0; i < count; ++i)
        for (int64_t t = 0; t < 6; ++t) {
            x.mutable_data<int32_t>()[6 * i + t] = static_cast<int32_t>((i + t) % 5);
            y.mutable_data<int32_t>()[6 * i + t] = static_cast<int32_t>((i + t + 1) % 5);
        }
    return {{.name = "counting"}, {.inputs = {x}, .targets = {y}}};
}

std::unique_ptr<nn::Sequential> language_model() {
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::Embedding>("embedding", {.rows = 5, .features = 8});
    net->add<nn::Linear>("out", {.in = 8, .out = 5});
    return net;
}

}  // namespace

TEST_CASE("task: classification measures accuracy, which decides, then the loss") {
    const Task task = classification();
    const data::Batch batch{.inputs = {Tensor::zeros({4, 1})}, .targets = {Tensor::of<int32_t>({4}, {0, 1, 1, 2})}};
    const Tensor logits =
        Tensor::of<float>({4, 3}, {2, 0, 0, 0, 3, 0, 1, 1, 0, 0, 0, 0});  // found: 0, 1, 0 (of equals the first), 0
    const Result result = result_of(task, logits, batch);
    CHECK(result["accuracy"] == 50);
    const double expected = -(2 - std::log(std::exp(2) + 2) + 3 - std::log(std::exp(3) + 2) + 1 -
                              std::log(2 * std::exp(1) + 1) - std::log(3)) /
                            4;
    CHECK(result.loss == doctest::Approx(expected));
    CHECK(result.str() == "loss 0.5738  accuracy 50.00%");
    CHECK(contains(error_of([&] { result["accurcy"]; }), "there is no metric 'accurcy'; did you mean 'accuracy'?"));

    const auto with = [](double loss, double accuracy) { return Result{loss, {{"accuracy", accuracy, "%"}}}; };
    CHECK(task.better(with(0.9, 60), with(0.1, 50)));
    CHECK(task.better(with(0.1, 50), with(0.2, 50)));
    CHECK_FALSE(task.better(with(0.2, 50), with(0.2, 50)));
    CHECK(contains(error_of([&] { result_of(task, Tensor::zeros({4, 2, 3}), batch); }), "expected"));
}

TEST_CASE("task: the smoothed loss is a value that others wrap") {
    const data::Batch batch{.inputs = {Tensor::zeros({1, 1})}, .targets = {Tensor::of<int32_t>({1}, {0})}};
    const Tensor logits = Tensor::of<float>({1, 2}, {1, 0});
    const double right = std::log(1 + std::exp(-1)), wrong = std::log(1 + std::exp(1));
    CHECK(cross_entropy()(logits, batch).value().item() == doctest::Approx(right));
    CHECK(cross_entropy({.label_smoothing = 0.2})(logits, batch).value().item() ==
          doctest::Approx(0.9 * right + 0.1 * wrong));
}

TEST_CASE("task: regression measures squared and absolute errors, and trains on tensors") {
    const Task task = regression();
    const data::Batch batch{.inputs = {Tensor::zeros({2, 1})}, .targets = {Tensor::of<float>({2, 2}, {1, 2, 3, 4})}};
    const Result result = result_of(task, Tensor::of<float>({2, 2}, {1, 0, 4, 4}), batch);
    CHECK(result.loss == doctest::Approx(5.0 / 4));
    CHECK(result["mae"] == doctest::Approx(3.0 / 4));
    CHECK(task.better({.loss = 1}, {.loss = 2}));
    CHECK(contains(error_of([&] { result_of(task, Tensor::zeros({2, 1}), batch); }), "[2, 2]"));

    seed(1);
    nn::Sequential net;
    net.add<nn::Linear>("out", {.in = 2, .out = 1});
    const History history =
        Trainer(net, sgd({.lr = 0.05})).fit(plane(200, 1), plane(50, 2), {.epochs = 10, .batch = 10, .task = task});
    CHECK(history.best().validation.loss < 1e-6);
    CHECK(history.best().validation["mae"] < 1e-3);
    CHECK(net.named_parameters()[0].second->value().at(1) == doctest::Approx(-2).epsilon(1e-3));
}

TEST_CASE("task: reconstruction learns the input, and its error parts anomalies from what is normal") {
    const data::Batch batch{.inputs = {Tensor::of<float>({4, 1, 2}, {0, 0, 1, 1, 0, 0, 0, 0})},
                            .targets = {Tensor::of<int32_t>({4}, {0, 0, 1, 2})}};
    const Tensor output = Tensor::of<float>({4, 2}, {0, 0, 0, 1, 2, 0, 0, 1});  // errors 0, 1/2, 2, 1/2
    CHECK(result_of(reconstruction(), output, batch).loss == doctest::Approx(0.75));
    CHECK(result_of(reconstruction(), output, batch).metrics.empty());
    CHECK(result_of(reconstruction({.normal = {0}}), output, batch)["auc"] == doctest::Approx(3.5 / 4));
    CHECK(result_of(reconstruction({.normal = {0, 1, 2}}), output, batch).metrics.empty());  // no anomalies

    seed(1);
    nn::Model net = nn::models::autoencoder({.widths = {16, 16, 16, 16, 4, 16, 16, 16, 16}, .input = {64}});
    const auto images = [](int64_t count, uint64_t seed) {
        const data::Batch all = stripes(count, seed).batch([&] {
            std::vector<int64_t> indices(static_cast<size_t>(count));
            std::iota(indices.begin(), indices.end(), int64_t{0});
            return indices;
        }());
        return data::Dataset({.name = "stripes"},
                             {.inputs = {all.input().reshape({count, 64})}, .targets = all.targets});
    };
    const Task task = reconstruction();
    const History history =
        Trainer(net, adam({.lr = 0.01})).fit(images(240, 1), images(60, 2), {.epochs = 8, .batch = 20, .task = task});
    CHECK(history.epochs.back().validation.loss < 0.7 * history.epochs.front().validation.loss);
}

TEST_CASE("task: sequences count tokens") {
    const Task task = sequences();
    const data::Batch batch{.inputs = {Tensor::zeros({1, 2}, DType::i32)},
                            .targets = {Tensor::of<int32_t>({1, 2}, {0, 1})}};
    const Result result = result_of(task, Tensor::of<float>({1, 2, 2}, {1, 0, 1, 0}), batch);
    const double right = std::log(1 + std::exp(-1)), wrong = std::log(1 + std::exp(1));
    CHECK(result.loss == doctest::Approx((right + wrong) / 2));
    CHECK(result["perplexity"] == doctest::Approx(std::exp((right + wrong) / 2)));
    CHECK(result["token accuracy"] == 50);

    seed(1);
    auto net = language_model();
    const History history =
        Trainer(*net, adam({.lr = 0.05})).fit(counting(100), counting(20), {.epochs = 10, .batch = 10, .task = task});
    CHECK(history.best().validation["token accuracy"] == 100);
    CHECK(history.best().validation["perplexity"] < 1.2);
    CHECK(evaluate(*net, counting(20), {.task = task})["perplexity"] ==
          doctest::Approx(history.epochs.back().validation["perplexity"]));
}

TEST_CASE("task: a run of any task resumes with the same bits, its metrics kept by name") {
    const auto fit = [](const std::string& out, int64_t stop, bool resume) {
        seed(1);
        auto net = language_model();
        Trainer trainer(*net, adam({.lr = 0.02}));
        FitOptions options{.epochs = 3, .batch = 16, .task = sequences(), .out = out, .resume = resume};
        options.on_batch = [&, seen = int64_t{0}](const BatchReport&) mutable {
            if (++seen == stop) trainer.request_stop();
        };
        History history = trainer.fit(counting(50), counting(20), options);
        return std::pair(std::move(net), std::move(history));
    };
    const TemporaryFolder whole_folder;
    const auto [whole, history] = fit(whole_folder.path, 0, false);
    for (int64_t stop : {2, 5, 8}) {
        CAPTURE(stop);
        const TemporaryFolder folder;
        CHECK(fit(folder.path, stop, false).second.end == History::End::stopped);
        const auto [resumed, rest] = fit(folder.path, 0, true);
        CHECK(same_bits(*resumed, *whole));
        REQUIRE(rest.epochs.size() == 3);
        for (size_t i = 0; i < 3; ++i) {
            CHECK(rest.epochs[i].train["perplexity"] == history.epochs[i].train["perplexity"]);
            CHECK(rest.epochs[i].validation.str() == history.epochs[i].validation.str());
        }
        const std::string log = read_text_file(folder / "log.csv");
        CHECK(log.starts_with(
            "epoch,train_loss,train_perplexity,train_token_accuracy,validation_loss,validation_perplexity,"
            "validation_token_accuracy,lr,seconds,examples_per_second,wait\n1,"));
    }
    auto net = language_model();
    Trainer trainer(*net, adam());
    const auto as = [&](const Task& task) {
        return error_of([&] {
            trainer.fit(counting(50), counting(20),
                        {.batch = 16, .task = task, .out = whole_folder.path, .resume = true});
        });
    };
    CHECK(
        contains(as(classification()), "the run was begun with task sequences, cannot resume it with classification"));
}

TEST_CASE("area under roc: exact, ties count half") {
    CHECK(area_under_roc({1, 2, 3, 4}, {false, false, true, true}) == 1);
    CHECK(area_under_roc({4, 3, 2, 1}, {false, false, true, true}) == 0);
    CHECK(area_under_roc({0.1, 0.4, 0.35, 0.8}, {false, false, true, true}) == 0.75);  // scikit-learn's example
    CHECK(area_under_roc({1, 1, 1}, {true, false, true}) == 0.5);
    // Positives 3 5 5, negatives 1 3 5: above 1 + 2 + 2 pairs, ties 1 + 1 + 1 of 9.
    CHECK(area_under_roc({3, 1, 5, 3, 5, 5}, {true, false, true, false, true, false}) == doctest::Approx(6.5 / 9));
    CHECK(contains(error_of([] { area_under_roc({1, 2}, {true, true}); }), "got 2 and 0"));
    CHECK(contains(error_of([] {
                       area_under_roc({1}, {true, true});
                   }),
                   "expected a score for each of 2 examples, got 1"));
}
