#include "lathe/optim/evaluate.h"

#include <algorithm>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/data/loader.h"

namespace lathe::optim {

namespace {

Evaluation evaluate(const std::function<Variable(const Tensor&)>& classify, const data::Dataset& dataset, const EvaluateOptions& options) {
    const NoGrad no_grad;
    data::Loader loader(dataset, {.batch = options.batch, .workers = options.workers});
    loader.start(0);
    Evaluation result;
    data::Batch batch;
    while (loader.next(batch)) {
        const Variable logits = classify(batch.x);
        const std::vector<int64_t> predicted = predictions(logits.value());
        const auto images = static_cast<int64_t>(predicted.size());
        result.loss += ops::cross_entropy(logits, batch.labels).value().item() * static_cast<double>(images);
        result.classes.resize(static_cast<size_t>(logits.dim(1)));
        const int32_t* labels = batch.labels.data<int32_t>();
        for (size_t i = 0; i < predicted.size(); ++i) {
            Evaluation::Count& count = result.classes[static_cast<size_t>(labels[i])];
            ++count.total;
            count.correct += predicted[i] == labels[i];
            result.correct += predicted[i] == labels[i];
        }
        result.total += images;
        if (options.go_on && !options.go_on(result.total, dataset.size())) break;
    }
    result.loss /= static_cast<double>(std::max<int64_t>(1, result.total));
    return result;
}

}  // namespace

Evaluation evaluate(nn::Module& module, const data::Dataset& dataset, const EvaluateOptions& options) {
    const nn::ModeScope mode(module, false);
    return evaluate([&](const Tensor& x) { return module(x); }, dataset, options);
}

Evaluation evaluate(const nn::Inference& inference, const data::Dataset& dataset, const EvaluateOptions& options) {
    return evaluate([&](const Tensor& x) { return Variable(inference(x)); }, dataset, options);
}

std::vector<int64_t> predictions(const Tensor& logits) {
    check(logits.rank() == 2 && logits.dim(1) > 0, "predictions: expected logits [N, classes], got ", logits.shape());
    const int64_t width = logits.dim(1);
    std::vector<int64_t> columns;
    with_float(logits, [&](auto zero) {
        const auto* x = logits.data<decltype(zero)>();
        for (int64_t row = 0; row < logits.dim(0); ++row)
            columns.push_back(std::max_element(x + row * width, x + (row + 1) * width) - (x + row * width));
    });
    return columns;
}

}  // namespace lathe::optim
