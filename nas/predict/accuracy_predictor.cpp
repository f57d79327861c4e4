#include "lathe/nas/predict/accuracy_predictor.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <set>

#include "lathe/core/text_table.h"
#include "lathe/nas/predict/features.h"
#include "lathe/nas/predict/rank_correlation.h"
#include "lathe/nas/space/layers.h"
#include "lathe/nn/files/json.inc"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/layers/activation.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"

namespace lathe::nas {

namespace {

using nn::json_reader::json;

constexpr const char* kSpace = "predictor.space";  // of Model::metadata
constexpr const char* kSeen = "predictor.seen";

// The choices by the names of an arch's keys.
template <class ChoicesLike, class F>
void for_each_choice(ChoicesLike& choices, F&& f) {
    f("wid", choices.wid);
    f("ks", choices.ks);
    f("e", choices.e);
    f("d", choices.d);
    f("image_size", choices.image_size);
    if (!choices.bits.empty()) f("bits", choices.bits), f("kept", choices.kept);
}

Choices choices_of(const Space& space, const AccuracyTable& table) {
    std::set<int> wid, d, image_size, of_blocks[std::size(kBlockChoices)];
    for (const auto& [arch, accuracy] : table) {
        wid.insert(arch.wid), image_size.insert(arch.image_size), d.insert(arch.d.begin(), arch.d.end());
        for (const Block& block : layers_of(space, arch).blocks)
            for (size_t i = 0; i < std::size(kBlockChoices); ++i)
                if (const std::vector<int>& values = arch.*kBlockChoices[i].values; !values.empty())
                    of_blocks[i].insert(values[block.index]);
    }
    const auto list = [](const std::set<int>& values) { return std::vector<int>(values.begin(), values.end()); };
    Choices choices{.wid = list(wid), .ks = {}, .e = {}, .d = list(d), .image_size = list(image_size)};
    for (size_t i = 0; i < std::size(kBlockChoices); ++i) choices.*kBlockChoices[i].choices = list(of_blocks[i]);
    return choices;
}

std::unique_ptr<nn::Model> make_network(const Space& space, double base, const PredictorOptions& o) {
    check(o.hidden >= 1 && o.layers >= 0, "predictor: expected 1 or more hidden features and 0 or more layers, got ",
          o.hidden, " and ", o.layers);
    auto net = std::make_unique<nn::Sequential>();
    int64_t in = feature_count(space);
    for (int64_t i = 0; i < o.layers; ++i) {
        net->add<nn::Linear>("fc" + std::to_string(i), {.in = in, .out = o.hidden});
        net->add<nn::ReLU>("relu" + std::to_string(i));
        in = o.hidden;
    }
    nn::Linear& last = net->add<nn::Linear>("fc" + std::to_string(o.layers), {.in = in, .out = 1});
    last.bias.set_value(Tensor::full({1}, base));
    const nn::ModelOptions options{.classes = 1, .input = {feature_count(space)}};
    auto model = std::make_unique<nn::Model>("accuracy-predictor", options, std::move(net));
    model->freeze("fc" + std::to_string(o.layers) + ".bias");
    return model;
}

data::Dataset dataset_of(const Space& space, const AccuracyTable& table) {
    std::vector<Arch> archs;
    Tensor accuracies({static_cast<int64_t>(table.size()), 1});
    for (const auto& [arch, accuracy] : table) {
        accuracies.mutable_data<float>()[archs.size()] = static_cast<float>(accuracy);
        archs.push_back(arch);
    }
    return data::Dataset({.name = space.name + " accuracies"},
                         {.inputs = {features(space, archs)}, .targets = {accuracies}});
}

data::Batch all_of(const data::Dataset& rows) {
    std::vector<int64_t> indices(static_cast<size_t>(rows.size()));
    std::iota(indices.begin(), indices.end(), int64_t{0});
    return rows.batch(indices);
}

std::vector<double> values_of(const Tensor& x) {
    const float* values = x.data<float>();
    return {values, values + x.numel()};
}

double mean_of(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

}  // namespace

AccuracyPredictor::AccuracyPredictor(const Space& space, const Choices& seen, double base,
                                     const PredictorOptions& options)
    : space_(space), seen_(seen), network_(make_network(space, base, options)) {
    ready();
}

AccuracyPredictor::AccuracyPredictor(const Space& space, std::unique_ptr<nn::Model> network, const std::string& path)
    : space_(space), seen_(space.choices), network_(std::move(network)) {
    const PathScope scope(path);
    check(network_->input_shape() == Shape{feature_count(space_)}, "expected a predictor of ", feature_count(space_),
          " features, got ", network_->input_shape());
    const std::string what = kSeen;
    const json seen = parse_json(network_->metadata[what], what);
    for_each_choice(seen_, [&](const char* key, std::vector<int>& choices) {
        const std::vector<int64_t> values =
            nn::json_reader::list(nn::json_reader::member(seen, key, what), what, nn::json_reader::integer);
        check(!values.empty() && std::includes(choices.begin(), choices.end(), values.begin(), values.end()), what,
              ": expected '", key, "' to be choices of ", space_.name);
        choices.assign(values.begin(), values.end());
    });
    ready();
}

void AccuracyPredictor::ready() {
    inference_ = std::make_unique<nn::Inference>(*network_, network_->example(128));
}

Space AccuracyPredictor::seen() const {
    Space known = space_;
    known.choices = seen_;
    return known;
}

Tensor AccuracyPredictor::operator()(const Tensor& features) const { return (*inference_)(features); }

std::vector<double> AccuracyPredictor::operator()(std::span<const Arch> archs) const {
    if (archs.empty()) return {};
    return values_of((*this)(features(space_, archs)));
}

void AccuracyPredictor::save(const std::string& path) const {
    json seen = json::object();
    for_each_choice(seen_, [&](const char* key, const std::vector<int>& values) { seen[key] = values; });
    network_->metadata[kSpace] = space_.name;
    network_->metadata[kSeen] = text_of(seen);
    nn::save(*network_, path);
}

AccuracyPredictor AccuracyPredictor::load(const std::string& path) {
    auto network = nn::load(path);
    const auto space = network->metadata.find(kSpace);
    check(space != network->metadata.end() && network->metadata.contains(kSeen), path,
          ": expected an accuracy predictor, got a model of ", network->architecture());
    return {space_named(space->second), std::move(network), path};
}

AccuracyTable held_out(const AccuracyTable& table, const PredictorTraining& t) {
    check(t.hold_out > 0 && t.hold_out < 1, "predictor: expected to hold out a share between 0 and 1, got ",
          t.hold_out);
    const auto rows = static_cast<int64_t>(table.size());
    const int64_t count = std::llround(t.hold_out * static_cast<double>(rows)), rest = rows - count;
    check(count >= 2 && rest >= 2, "predictor: expected at least 2 rows to train with and 2 to measure with, got ",
          rest, " and ", count);
    const std::vector<int64_t> order = data::permutation(rows, Random(t.seed));  // as Dataset::without_sample has it
    AccuracyTable chosen;
    for (int64_t i = 0; i < count; ++i) chosen.push_back(table[static_cast<size_t>(order[static_cast<size_t>(i)])]);
    return chosen;
}

TrainedPredictor train_predictor(const Space& space, const AccuracyTable& table, const PredictorTraining& t) {
    const data::Dataset validation = dataset_of(space, held_out(table, t));
    const data::Dataset train = dataset_of(space, table).without_sample(validation.size(), t.seed);
    const double base = mean_of(values_of(all_of(train).target()));

    const KeepGlobalRandom keep_random;
    seed(t.seed);
    TrainedPredictor made{.predictor = {space, choices_of(space, table), base, t.network}, .report = {}};
    PredictorReport& report = made.report;
    optim::Trainer trainer(made.predictor.network(), optim::adam({.lr = t.lr}));
    const auto begin = std::chrono::steady_clock::now();
    trainer.fit(train, validation,
                {.epochs = t.epochs,
                 .batch = t.batch,
                 .schedule = t.schedule,
                 .seed = t.seed,
                 .task = optim::regression(),
                 .loss = optim::l1(),
                 .on_batch = t.on_batch,
                 .on_epoch = [&](const optim::EpochReport& e) { report.mae.push_back(e.validation["mae"]); }});
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    made.predictor.ready();

    const data::Batch rows = all_of(validation);
    report.trained_on = static_cast<size_t>(train.size());
    report.measured = values_of(rows.target());
    report.predicted = values_of(made.predictor(rows.input()));
    double squares = 0, from_mean = 0;
    for (size_t i = 0; i < report.measured.size(); ++i) {
        squares += (report.predicted[i] - report.measured[i]) * (report.predicted[i] - report.measured[i]);
        from_mean += std::abs(report.measured[i] - base);
    }
    report.rmse = std::sqrt(squares / static_cast<double>(validation.size()));
    report.mean_mae = from_mean / static_cast<double>(validation.size());
    report.kendall = kendall_tau(report.predicted, report.measured);
    report.spearman = spearman(report.predicted, report.measured);
    return made;
}

std::string PredictorReport::str() const {
    return format("trained on %s rows for %zu epochs in %s, measured on the other %s:\n"
                  "mean absolute error %.5f (of always answering the mean: %.5f), root mean square %.5f\n"
                  "Kendall tau %.4f, Spearman %.4f\n",
                  with_commas(static_cast<int64_t>(trained_on)).c_str(), mae.size(), human_time(seconds).c_str(),
                  with_commas(static_cast<int64_t>(measured.size())).c_str(), mae.empty() ? 0 : mae.back(), mean_mae,
                  rmse, kendall, spearman);
}

}  // namespace lathe::nas
