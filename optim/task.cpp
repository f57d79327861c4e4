#include "lathe/optim/task.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lathe/core/text_table.h"

namespace lathe::optim {

namespace {

double share(double part, double all) { return all > 0 ? part / all : 0; }

// Calls f(i, output element, target element) for all of them, as doubles. Error: other shapes.
template <class F>
void for_each_pair(const Tensor& output, const Tensor& target, F&& f) {
    check(output.numel() == target.numel() && output.dtype() == target.dtype(), "expected outputs like the target ",
          target.shape(), " (", name_of(target.dtype()), "), got ", output.shape(), " (", name_of(output.dtype()), ")");
    with_float(output, [&](auto zero) {
        const auto *x = output.data<decltype(zero)>(), *y = target.data<decltype(zero)>();
        for (int64_t i = 0; i < output.numel(); ++i) f(i, static_cast<double>(x[i]), static_cast<double>(y[i]));
    });
}

// The mean squared difference of each example.
std::vector<double> errors(const Tensor& output, const Tensor& target) {
    std::vector<double> found(static_cast<size_t>(output.dim(0)));
    const int64_t width = output.numel() / std::max<int64_t>(1, output.dim(0));
    for_each_pair(output, target, [&](int64_t i, double x, double y) {
        found[static_cast<size_t>(i / width)] += (x - y) * (x - y) / static_cast<double>(width);
    });
    return found;
}

}  // namespace

std::string Metric::str() const {
    return name + " " + format(unit == "%" ? "%.2f" : "%.4g", value) + unit;
}

double Result::operator[](const std::string& metric) const {
    std::vector<std::string> names;
    for (const Metric& known : metrics) {
        if (known.name == metric) return known.value;
        names.push_back(known.name);
    }
    const std::string hint = nearest_name(metric, names);
    fail("result: there is no metric '", metric, "'", hint.empty() ? "" : "; ", hint);
}

std::string Result::str() const {
    std::string line = format("loss %.4f", loss);
    for (const Metric& metric : metrics) line += "  " + metric.str();
    return line;
}

void Task::add(Tally& tally, const Tensor& output, const data::Batch& batch, double loss) const {
    tally.examples += batch.size();
    tally.loss += loss * static_cast<double>(batch.size());
    if (count) count(output, batch, tally.sums);
}

Result Task::result(const Tally& tally) const {
    return {.loss = share(tally.loss, static_cast<double>(tally.examples)),
            .metrics = metrics ? metrics(tally) : std::vector<Metric>{}};
}

bool Task::better(const Result& a, const Result& b) const {
    if (!decides.empty() && a[decides] != b[decides]) return a[decides] > b[decides];
    return a.loss < b.loss;
}

// Sums: correct and all of each class.
Task classification() {
    const auto count = [](const Tensor& output, const data::Batch& batch, std::vector<double>& sums) {
        check(output.rank() == 2, "classification: expected logits [N, classes], got ", output.shape());
        sums.resize(static_cast<size_t>(2 * output.dim(1)));
        const std::vector<int64_t> predicted = predictions(output);
        const int32_t* labels = batch.target().data<int32_t>();
        for (size_t i = 0; i < predicted.size(); ++i) {
            const auto label = static_cast<size_t>(labels[i]);
            check(2 * label < sums.size(), "classification: expected labels below ", output.dim(1), ", got ",
                  labels[i]);
            sums[2 * label] += predicted[i] == labels[i];
            sums[2 * label + 1] += 1;
        }
    };
    const auto metrics = [](const Tally& tally) {
        double correct = 0, all = 0;
        for (size_t i = 0; i < tally.sums.size(); i += 2) correct += tally.sums[i], all += tally.sums[i + 1];
        return std::vector<Metric>{{"accuracy", share(100 * correct, all), "%"}};
    };
    return {
        .name = "classification", .loss = cross_entropy(), .count = count, .metrics = metrics, .decides = "accuracy"};
}

// Sums: absolute differences, how many.
Task regression() {
    const auto count = [](const Tensor& output, const data::Batch& batch, std::vector<double>& sums) {
        sums.resize(2);
        for_each_pair(output, batch.target(), [&](int64_t, double x, double y) { sums[0] += std::abs(x - y); });
        sums[1] += static_cast<double>(output.numel());
    };
    const auto metrics = [](const Tally& tally) {
        return std::vector<Metric>{{"mae", tally.sums.empty() ? 0 : share(tally.sums[0], tally.sums[1])}};
    };
    return {.name = "regression", .loss = mse(), .count = count, .metrics = metrics};
}

// Sums, with normal classes: the error of each input and whether it is anomalous, in turns.
Task reconstruction(const ReconstructionOptions& options) {
    Task task{.name = "reconstruction", .loss = reconstruction_error()};
    if (options.normal.empty()) return task;
    task.count = [normal = options.normal](const Tensor& output, const data::Batch& batch, std::vector<double>& sums) {
        const int32_t* labels = batch.target().data<int32_t>();
        for (double error : errors(output, batch.input())) {
            sums.push_back(error);
            sums.push_back(std::find(normal.begin(), normal.end(), *labels++) == normal.end());
        }
    };
    task.metrics = [](const Tally& tally) -> std::vector<Metric> {
        std::vector<double> scores;
        std::vector<bool> anomalous;
        for (size_t i = 0; i < tally.sums.size(); i += 2)
            scores.push_back(tally.sums[i]), anomalous.push_back(tally.sums[i + 1] != 0);
        const auto anomalies = std::count(anomalous.begin(), anomalous.end(), true);
        if (anomalies == 0 || anomalies == std::ssize(anomalous)) return {};
        return {{"auc", area_under_roc(scores, anomalous)}};
    };
    return task;
}

// Sums: tokens predicted, all tokens.
Task sequences() {
    const auto count = [](const Tensor& output, const data::Batch& batch, std::vector<double>& sums) {
        sums.resize(2);
        const std::vector<int64_t> predicted = predictions(output);
        const int32_t* token = batch.target().data<int32_t>();
        for (int64_t prediction : predicted) sums[0] += prediction == *token++;
        sums[1] += static_cast<double>(predicted.size());
    };
    const auto metrics = [](const Tally& tally) {
        return std::vector<Metric>{
            {"perplexity", std::exp(share(tally.loss, static_cast<double>(tally.examples)))},
            {"token accuracy", tally.sums.empty() ? 0 : share(100 * tally.sums[0], tally.sums[1]), "%"},
        };
    };
    return {.name = "sequences", .loss = cross_entropy(), .count = count, .metrics = metrics};
}

double area_under_roc(const std::vector<double>& scores, const std::vector<bool>& positive) {
    check(scores.size() == positive.size(), "area under roc: expected a score for each of ", positive.size(),
          " examples, got ", scores.size());
    std::vector<size_t> order(scores.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
    double positives = 0, negatives = 0,
           above = 0;  // above: pairs whose positive is above its negative, a tie counting half
    for (size_t begin = 0, end; begin < order.size(); begin = end) {
        double ties[2] = {};  // negatives and positives of one score
        for (end = begin; end < order.size() && scores[order[end]] == scores[order[begin]]; ++end)
            ++ties[positive[order[end]]];
        above += ties[1] * (negatives + ties[0] / 2);
        negatives += ties[0];
        positives += ties[1];
    }
    check(positives > 0 && negatives > 0, "area under roc: expected positive and negative examples, got ", positives,
          " and ", negatives);
    return above / (positives * negatives);
}

std::vector<int64_t> predictions(const Tensor& logits) {
    check(logits.rank() >= 2 && logits.dim(-1) > 0, "predictions: expected logits [.., classes], got ", logits.shape());
    const int64_t width = logits.dim(-1);
    std::vector<int64_t> columns;
    with_float(logits, [&](auto zero) {
        const auto* x = logits.data<decltype(zero)>();
        for (int64_t row = 0; row < logits.numel() / width; ++row)
            columns.push_back(std::max_element(x + row * width, x + (row + 1) * width) - (x + row * width));
    });
    return columns;
}

}  // namespace lathe::optim
