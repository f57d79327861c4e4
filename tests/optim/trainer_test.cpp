#include "lathe/optim/trainer.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <limits>
#include <thread>

#include "lathe/core/memory.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/error_of.h"
#include "lathe/tests/german_locale.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

data::Dataset training_set() { return stripes(50).augmented(data::random_crop(8, 1)); }

// 5 epochs of 4 steps with everything on that has a state.
optim::FitOptions everything(const std::string& out = "") {
    return {.epochs = 5,
            .batch = 16,
            .schedule = optim::cosine({.warmup = 0.5}),
            .seed = 3,
            .loss = optim::cross_entropy({.label_smoothing = 0.1}),
            .clip_norm = 1,
            .ema = 0.9,
            .out = out};
}

optim::Trainer make_trainer(nn::Module& net) { return {net, optim::adamw({.lr = 0.02})}; }

struct Uninterrupted {
    std::unique_ptr<nn::Sequential> net = toy_net();
    optim::History history;
    TensorFile best;
    Uninterrupted() {
        const TemporaryFolder folder;
        auto trainer = make_trainer(*net);
        history = trainer.fit(training_set(), stripes(30, 2), everything(folder.path));
        best = read_safetensors(folder / "best.safetensors");
    }
};

const Uninterrupted& uninterrupted() {
    static const Uninterrupted run;
    return run;
}

// The run in `folder`, resumed to its end, is the one that was never interrupted.
void check_resumed(const TemporaryFolder& folder) {
    auto net = toy_net(99);
    auto trainer = make_trainer(*net);
    auto options = everything(folder.path);
    options.resume = true;
    const optim::History history = trainer.fit(training_set(), stripes(30, 2), options);
    CHECK(history.end == optim::History::End::finished);
    CHECK(same_bits(*net, *uninterrupted().net));
    REQUIRE(history.epochs.size() == 5);
    for (size_t i = 0; i < 5; ++i) {
        CHECK(history.epochs[i].train.loss == uninterrupted().history.epochs[i].train.loss);
        CHECK(history.epochs[i].validation.loss == uninterrupted().history.epochs[i].validation.loss);
        CHECK(history.epochs[i].lr == uninterrupted().history.epochs[i].lr);
    }
    for (const auto& [name, tensor] : read_safetensors(folder / "best.safetensors").tensors)
        CHECK(same_bits(tensor, uninterrupted().best.tensors.at(name)));
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

int64_t lines(const std::string& path) {
    const std::string text = read_text_file(path);
    return std::count(text.begin(), text.end(), '\n');
}

}  // namespace

TEST_CASE("trainer: learns, reports and leaves its files") {
    const TemporaryFolder folder;
    auto net = toy_net();
    optim::Trainer trainer(*net, optim::sgd({.lr = 0.05}));
    std::vector<double> losses;
    int64_t training = 0, testing = 0;
    optim::FitOptions options{.epochs = 4, .batch = 16, .out = folder / "new" + "/run"};
    options.on_batch = [&](const optim::BatchReport& report) { (report.validating ? testing : training) += 1; };
    options.on_epoch = [&](const optim::EpochReport& report) {
        losses.push_back(report.validation.loss);
        CHECK(lines(options.out + "/log.csv") == report.epoch + 1);
    };
    global_random().seek(40);
    const optim::History history = trainer.fit(training_set(), stripes(30, 2), options);
    CHECK(global_random().position() == 40);
    CHECK(training == 4 * 4);
    CHECK(testing == 4 * 2);
    CHECK(history.best().validation["accuracy"] > 90);
    REQUIRE(history.epochs.size() == 4);
    CHECK(history.epochs[3].train.loss < history.epochs[0].train.loss);
    CHECK(history.epochs[3].validation.loss == losses[3]);
    CHECK(history.epochs[3].examples_per_second > 0);

    const optim::Evaluation result = optim::evaluate(*net, stripes(30, 2), {.batch = 7});
    CHECK(result["accuracy"] == history.epochs[3].validation["accuracy"]);
    CHECK(result.loss == doctest::Approx(losses[3]));
}

TEST_CASE("trainer: the same bits for any number of threads") {
    for (int count : {1, 2, 3}) {
        const ThreadScope threads(count);
        auto net = toy_net();
        auto trainer = make_trainer(*net);
        auto options = everything();
        options.workers = count;
        trainer.fit(training_set(), stripes(30, 2), options);
        CHECK(same_bits(*net, *uninterrupted().net));
    }
}

TEST_CASE("trainer: stopped anywhere and resumed, it ends with the same bits") {
    // Four training and two test batches an epoch: before the first step, in an epoch, at its end, in the test, after
    // it.
    for (int64_t stop : {0, 2, 4, 5, 6, 13, 27}) {
        CAPTURE(stop);
        const ThreadScope threads(1 + static_cast<int>(stop % 2));
        const TemporaryFolder folder;
        auto net = toy_net();
        auto trainer = make_trainer(*net);
        auto options = everything(folder.path);
        if (stop == 0) trainer.request_stop();
        options.on_batch = [&, seen = int64_t{0}](const optim::BatchReport&) mutable {
            if (++seen == stop) trainer.request_stop();
        };
        CHECK(trainer.fit(training_set(), stripes(30, 2), options).end == optim::History::End::stopped);
        check_resumed(folder);
    }
}

TEST_CASE("trainer: a run goes on in another locale, and its log is read by machines") {
    const TemporaryFolder folder;
    auto net = toy_net();
    auto trainer = make_trainer(*net);
    auto options = everything(folder.path);
    options.on_epoch = [&](const optim::EpochReport&) { trainer.request_stop(); };
    {
        const GermanLocale german;
        CHECK(trainer.fit(training_set(), stripes(30, 2), options).end == optim::History::End::stopped);
    }
    const std::string log = read_text_file(folder / "log.csv"), row = log.substr(log.find('\n'));
    CHECK(std::count(row.begin(), row.end(), ',') ==
          std::count(log.begin(), log.begin() + static_cast<long>(log.find('\n')), ','));
    check_resumed(folder);
}

TEST_CASE("trainer: killed at any moment, it resumes from the last good checkpoint") {
    uninterrupted();  // the time to train has been paid before the clock starts
    const ThreadScope threads(1);  // more of them would not survive the fork
    for (int round = 0; round < 4; ++round) {
        const TemporaryFolder folder;
        const pid_t child = fork();
        if (child == 0) {
            auto net = toy_net();
            auto trainer = make_trainer(*net);
            auto options = everything(folder.path);
            options.workers = 0;
            trainer.fit(training_set(), stripes(30, 2), options);
            for (;;) pause();
        }
        const std::string last = folder / "last.safetensors";
        while (!std::filesystem::exists(last)) std::this_thread::sleep_for(std::chrono::microseconds(100));
        std::this_thread::sleep_for(std::chrono::milliseconds(3 + 13 * round));
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        check_resumed(folder);
    }
}

TEST_CASE("trainer: a finished run resumed does nothing, a longer one goes on") {
    const TemporaryFolder folder;
    auto fit = [&](int64_t epochs, bool resume) {
        auto net = toy_net();
        auto trainer = make_trainer(*net);
        const auto history = trainer.fit(stripes(50), stripes(30, 2),
                                         {.epochs = epochs, .batch = 16, .out = folder.path, .resume = resume});
        return std::pair(std::move(net), history.epochs.size());
    };
    const auto [first, epochs] = fit(2, false);
    const auto [again, same_epochs] = fit(2, true);
    CHECK(same_bits(*first, *again));
    CHECK(same_epochs == 2);
    CHECK(fit(3, true).second == 3);
    CHECK(lines(folder / "log.csv") == 4);
}

TEST_CASE("trainer: the files of a model are whole models, with the averages in the best one") {
    const TemporaryFolder folder;
    auto model = nn::models::lenet5({.classes = 3, .widths = {2, 3, 8, 6}, .input = {12, 12, 1}});
    const auto train = stripes(48).augmented(data::resize(12, 12)).with_normalization({.mean = {}, .std = {0.25f}}),
               test = stripes(30, 2).augmented(data::resize(12, 12));
    optim::Trainer trainer(model, optim::sgd({.lr = 0.05}));
    trainer.fit(train, test, {.epochs = 1, .batch = 16, .ema = 0.9, .out = folder.path});

    auto best = nn::load(folder / "best.safetensors");
    CHECK(best->class_names == std::vector<std::string>{"left", "middle", "right"});
    CHECK(best->scaling.mean == std::vector<float>{0});
    CHECK(best->scaling.std == std::vector<float>{0.25f});
    CHECK(same_bits(*best, model));
    auto last = nn::load(folder / "last.safetensors");
    CHECK(!same_bits(*last, model));
    CHECK(last->metadata.empty());
    CHECK(read_safetensors(folder / "last.safetensors").tensors.count("optim.state.conv1.weight.momentum") == 1);
}

TEST_CASE("trainer: a pruned model resumes with its masks") {
    const TemporaryFolder folder;
    const auto train = stripes(32).augmented(data::resize(12, 12)),
               test = stripes(15, 2).augmented(data::resize(12, 12));
    auto fit = [&](bool prune, int64_t epochs, bool resume) {
        seed(1);
        auto model = nn::make_model("lenet5", {.classes = 3, .widths = {2, 3, 8, 6}, .input = {12, 12, 1}});
        auto& weight = *model->named_parameters()[0].second;
        Tensor keep = Tensor::full(weight.shape(), 1, DType::u8);
        for (int64_t i = 0; i < 20; ++i) keep.mutable_data<uint8_t>()[i] = 0;
        if (prune) weight.add_transform(std::make_unique<nn::Mask>(keep));
        optim::Trainer trainer(*model, optim::adam());
        trainer.fit(train, test, {.epochs = epochs, .batch = 16, .out = folder.path, .resume = resume});
        return model;
    };
    const auto whole = fit(true, 2, false);
    fit(true, 1, false);
    const auto resumed = fit(false, 2, true);
    CHECK(resumed->state().count("conv1.weight.mask") == 1);
    CHECK(same_bits(*resumed, *whole));
}

TEST_CASE("trainer: a loss that is not finite ends the run and leaves the last good checkpoint") {
    const TemporaryFolder folder;
    auto net = toy_net();
    optim::Trainer trainer(*net, optim::sgd());
    optim::FitOptions options{.epochs = 3, .batch = 16, .out = folder.path};
    options.loss = [step = 0](const Variable& output, const data::Batch& batch) mutable {
        return ops::scale(ops::cross_entropy(output, batch.target()), ++step == 7 ? std::nan("") : 1.0);
    };
    const std::string last = folder / "last.safetensors";
    const std::string message = error_of([&] { trainer.fit(stripes(64), stripes(30, 2), options); });
    CHECK(contains(message, "nan at epoch 2, step 3 of 4; the last good checkpoint is " + last));
    CHECK(read_safetensors(last).tensors.at("optim.history").dim(0) == 1);
}

TEST_CASE("trainer: a validation loss that is not finite ends the run and leaves the last good checkpoint") {
    const TemporaryFolder folder;
    auto net = toy_net();
    optim::Trainer trainer(*net, optim::sgd());
    optim::FitOptions options{.epochs = 3, .batch = 16, .out = folder.path};
    options.loss = options.task.loss;
    int step = 0;
    options.task.loss = [&](const Variable& output, const data::Batch& batch) {
        return ops::scale(ops::cross_entropy(output, batch.target()), ++step == 4 ? std::nan("") : 1.0);
    };
    const std::string last = folder / "last.safetensors";
    CHECK(error_of([&] { trainer.fit(stripes(64), stripes(30, 2), options); }) ==
          "validation after epoch 2; the last good checkpoint is " + last +
              ": evaluate: the loss is nan at example 17 to 30 of 30");
    CHECK(read_safetensors(last).tensors.at("optim.history").dim(0) == 1);
}

TEST_CASE("trainer: a request to stop ends with the run that it was for, also when that fails") {
    auto net = toy_net();
    optim::Trainer trainer(*net, optim::sgd());
    optim::FitOptions options{.epochs = 2, .batch = 16};
    options.on_batch = [&](const optim::BatchReport&) {
        trainer.request_stop();
        fail("a progress bar that fails");
    };
    CHECK(error_of([&] { trainer.fit(stripes(32), stripes(30, 2), options); }) == "a progress bar that fails");
    const optim::History next = trainer.fit(stripes(32), stripes(30, 2), {.epochs = 2, .batch = 16});
    CHECK(next.end == optim::History::End::finished);
    CHECK(next.epochs.size() == 2);
}

TEST_CASE("trainer: a single example that is left over joins the batch before, for batch norm over 1x1 maps") {
    seed(1);
    nn::Sequential net;
    net.add<nn::Conv2d>("conv", {.in = 1, .out = 4, .kernel = 8, .bias = false});
    net.add<nn::BatchNorm>("bn", {.channels = 4});
    net.add<nn::Flatten>("flatten");
    net.add<nn::Linear>("fc", {.in = 4, .out = 3});
    std::vector<int64_t> batches;
    optim::FitOptions options{.epochs = 1, .batch = 8};
    options.on_batch = [&](const optim::BatchReport& report) { batches.push_back(report.batches); };
    optim::Trainer trainer(net, optim::sgd());
    trainer.fit(stripes(17), stripes(9, 2), options);
    CHECK(batches[0] == 2);  // 8 and 9
    options.drop_last = true;
    trainer.fit(stripes(23), stripes(9, 2), options);
    CHECK(batches.back() == 2);
    CHECK(batches[batches.size() - 3] == 2);
}

TEST_CASE("trainer: two trainings at once in one process are the two one after the other") {
    const auto train = [](uint64_t initial) {
        auto net = toy_net(initial);
        make_trainer(*net).fit(stripes(64), stripes(30, 2), {.epochs = 3, .batch = 16, .seed = initial});
        return net;
    };
    const auto first = train(1), second = train(2);
    std::unique_ptr<nn::Sequential> beside;
    std::thread other([&] { beside = train(1); });
    const auto here = train(2);
    other.join();
    CHECK(same_bits(*beside, *first));
    CHECK(same_bits(*here, *second));
}

TEST_CASE("trainer: weights that are not finite are not saved") {
    const TemporaryFolder folder;
    auto net = toy_net();
    optim::Trainer trainer(*net, optim::sgd());
    optim::FitOptions options{.epochs = 3, .batch = 16, .out = folder.path};
    options.on_batch = [&](const optim::BatchReport& report) {
        if (report.epoch < 2 || report.batch < 2) return;
        net->named_parameters()[0].second->mutable_value().fill_(std::numeric_limits<double>::infinity());
        trainer.request_stop();
    };
    CHECK(contains(error_of([&] { trainer.fit(stripes(64), stripes(30, 2), options); }),
                   "36 elements of 'conv.weight' are not finite"));
    CHECK(read_safetensors(folder / "last.safetensors").tensors.at("optim.history").dim(0) == 1);
}

TEST_CASE("trainer: stops early when the test result no longer improves") {
    auto net = toy_net();
    net->freeze("conv");
    net->freeze("bn");
    optim::Trainer trainer(*net, optim::sgd({.lr = 0}));
    // Without learning only the batch statistics move, for a while.
    const auto history = trainer.fit(stripes(64), stripes(30, 2), {.epochs = 200, .batch = 16, .patience = 2});
    CHECK(history.end == optim::History::End::early);
    const auto last = history.epochs.back().epoch;
    CHECK(history.best().epoch == last - 2);
}

TEST_CASE("trainer: a checkpoint of another run or network is refused") {
    const TemporaryFolder folder;
    {
        auto net = toy_net();
        make_trainer(*net).fit(stripes(32), stripes(30, 2), {.epochs = 1, .batch = 16, .out = folder.path});
    }
    auto resume = [&](optim::FitOptions options, int64_t images = 32, int64_t channels = 4, bool adam = true) {
        auto net = toy_net(1, channels);
        optim::Trainer trainer(*net, adam ? optim::adamw() : optim::sgd());
        options.resume = true;
        if (options.out.empty()) options.out = folder.path;
        return error_of([&] { trainer.fit(stripes(images), stripes(30, 2), options); });
    };
    const std::string last = folder / "last.safetensors";
    CHECK(resume({.epochs = 1, .batch = 16}) == "");
    CHECK(contains(resume({.batch = 8}), last + ": the run was begun with batch 16, cannot resume it with 8"));
    CHECK(contains(resume({.batch = 16, .seed = 1}), "seed 0"));
    CHECK(contains(resume({.batch = 16, .ema = 0.5}), "ema 0"));
    CHECK(contains(resume({.batch = 16}, 33), "training examples 32 ("));
    CHECK(contains(resume({.batch = 16}, 33), "put back what was added, removed or renamed since, or start a new run"));
    CHECK(contains(resume({.batch = 16, .drop_last = true}), "with batch 16, cannot resume it with 16, full"));
    CHECK(contains(resume({.batch = 16}, 32, 4, false), "optimizer adamw"));
    CHECK(contains(resume({.batch = 16}, 32, 5), last + ": load: expected "));
    CHECK(contains(resume({.batch = 16, .out = folder / "nowhere"}), "last.safetensors"));

    auto file = read_safetensors(last);
    auto damaged = [&](const std::function<void(TensorFile&)>& damage) {
        TensorFile copy = file;
        damage(copy);
        write_safetensors(last, copy);
        return resume({.epochs = 1, .batch = 16});
    };
    CHECK(contains(damaged([](TensorFile& f) { f.metadata.clear(); }), "without the state of a training run"));
    CHECK(contains(damaged([](TensorFile& f) { f.metadata["lathe.training"] = "{]"; }), "lathe.training"));
    CHECK(contains(damaged([](TensorFile& f) { f.metadata["lathe.training"] = "{\"settings\": 3}"; }),
                   "'lathe.training'"));
    CHECK(contains(damaged([](TensorFile& f) { f.tensors["optim.state.fc.bias.exp_avg"] = Tensor::zeros({4}); }),
                   "expected shape [3], got [4]"));
    CHECK(
        contains(damaged([](TensorFile& f) { f.tensors["optim.state.x.y"] = Tensor::zeros({4}); }), "1 tensors more"));
    CHECK(contains(damaged([](TensorFile& f) { f.tensors["optim.history"] = Tensor::zeros({4}); }), "optim.history"));
    CHECK(contains(damaged([](TensorFile& f) { f.tensors.erase("optim.state.conv.weight.exp_avg_sq"); }),
                   "expected the optimizer's state 'optim.state.conv.weight.exp_avg_sq', which is missing"));
    CHECK(contains(damaged([](TensorFile& f) {
                       f.tensors["optim.history"] = f.tensors["optim.history"].clone();
                       f.tensors["optim.history"].mutable_data<double>()[2] = std::nan("");
                   }),
                   "optim.history: expected numbers, got nan as validation_loss of epoch 1"));
}

TEST_CASE("trainer: bad options and folders are refused before training") {
    auto net = toy_net();
    optim::Trainer trainer(*net, optim::sgd());
    const TemporaryFolder folder;
    write_file_atomically(folder / "file", "");
    auto refused = [&](const optim::FitOptions& options) {
        return error_of([&] { trainer.fit(stripes(32), stripes(30, 2), options); }) != "";
    };
    CHECK(refused({.epochs = 0}));
    CHECK(refused({.batch = 0}));
    CHECK(refused({.clip_norm = -1}));
    CHECK(refused({.ema = 1}));
    CHECK(refused({.ema = -0.5}));
    CHECK(refused({.resume = true}));
    CHECK(refused({.out = folder / "file"}));
    CHECK(refused({.out = "/proc/none"}));
}

TEST_CASE("trainer: with activation checkpointing the same bits") {
    auto net = toy_net();
    auto trainer = make_trainer(*net);
    auto options = everything();
    options.recompute_activations = true;
    const optim::History history = trainer.fit(training_set(), stripes(30, 2), options);
    CHECK(same_bits(*net, *uninterrupted().net));
    CHECK(history.epochs.back().train.loss == uninterrupted().history.epochs.back().train.loss);
}

TEST_CASE("trainer: reports the share of time that it waits for data") {
    const auto slow = [](data::Image image, Random&) {
        std::this_thread::sleep_for(std::chrono::milliseconds(4));
        return image;
    };
    auto net = toy_net();
    auto trainer = make_trainer(*net);
    optim::FitOptions options{.epochs = 1, .batch = 10};
    double wait = 0;
    options.on_batch = [&](const optim::BatchReport& report) { wait = report.wait; };
    const optim::History history = trainer.fit(stripes(40).augmented(slow), stripes(10, 2), options);
    CHECK(wait > 0.5);
    CHECK(wait <= 1);
    CHECK(history.epochs[0].wait == wait);
}

TEST_CASE("trainer: after the first epoch no step asks the system for memory") {
    auto net = toy_net();
    auto trainer = make_trainer(*net);
    std::vector<size_t> mapped;
    auto options = everything();
    options.workers = 0;
    options.on_epoch = [&](const optim::EpochReport&) { mapped.push_back(memory::stats().mapped); };
    trainer.fit(training_set(), stripes(30, 2), options);
    CHECK(mapped.back() == mapped[0]);
}

TEST_CASE("ema: averages with a ramp, swaps and goes back") {
    auto net = toy_net();
    nn::Parameter& bias = *net->named_parameters().back().second;
    bias.mutable_value().fill_(1);
    optim::Ema ema(*net, 0.99);
    bias.mutable_value().fill_(2);
    ema.update(0);  // d = 0.1
    CHECK(ema.state().at("fc.bias").at(0) == doctest::Approx(1.9));
    bias.mutable_value().fill_(3);
    ema.update(1);  // d = 2 / 11
    const double average = 3 - (3 - 1.9) * 2 / 11;
    {
        const optim::EmaScope scope(&ema);
        CHECK(bias.value().at(2) == doctest::Approx(average));
    }
    CHECK(bias.value().at(2) == 3);
    CHECK(ema.state().count("bn.running_mean") == 1);

    auto state = ema.state();
    state.erase("fc.bias");
    CHECK_THROWS_AS(ema.load_state(state), Error);
    CHECK_THROWS_AS(optim::Ema(*net, 1), Error);
}

TEST_CASE("evaluate: counts by class and stops when told") {
    struct Constant : nn::Module {  // always says class 1, surely
        Variable forward(const Variable& x) override {
            Tensor logits = Tensor::zeros({x.dim(0), 3});
            for (int64_t i = 0; i < x.dim(0); ++i) logits.mutable_data<float>()[i * 3 + 1] = 50;
            return logits;
        }
    } module;
    const optim::Evaluation result = optim::evaluate(module, stripes(31), {.batch = 8});
    CHECK(result.tally.examples == 31);
    CHECK(result["accuracy"] == doctest::Approx(100.0 * 10 / 31));
    const auto classes = result.classes();
    REQUIRE(classes.size() == 3);
    CHECK(classes[0].total == 11);
    CHECK(classes[1].correct == 10);
    CHECK(classes[2].correct == 0);
    CHECK(result.loss == doctest::Approx(50.0 * 21 / 31));
    CHECK(module.training());
    CHECK(optim::evaluate(module, stripes(31), {.batch = 8, .go_on = [](int64_t done, int64_t) { return done < 16; }})
              .tally.examples == 16);
    CHECK_THROWS_AS(optim::predictions(Tensor::zeros({3})), Error);
}

TEST_CASE("evaluate: a network made ready to run gives the module's results") {
    const auto net = toy_net();
    const data::Dataset images = stripes(31, 2);
    const optim::Evaluation one = optim::evaluate(*net, images, {.batch = 8});
    const optim::Evaluation two =
        optim::evaluate(nn::Inference(*net, Tensor::zeros({8, 8, 8, 1})), images, {.batch = 8});
    CHECK(two["accuracy"] == one["accuracy"]);
    CHECK(two.tally.examples == 31);
    CHECK(two.loss == doctest::Approx(one.loss).epsilon(1e-5));
}
