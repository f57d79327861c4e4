#include "lathe/optim/evaluate.h"

#include <cmath>

#include "lathe/data/loader.h"

namespace lathe::optim {

namespace {

Evaluation evaluate_batches(const std::function<Variable(const data::Batch&)>& forward, const data::Dataset& dataset,
                            const EvaluateOptions& options) {
    const NoGrad no_grad;
    data::Loader loader(dataset, {.batch = options.batch, .workers = options.workers});
    loader.start(0);
    Tally tally;
    data::Batch batch;
    while (loader.next(batch)) {
        const Variable output = forward(batch);
        const double loss = options.task.loss(output, batch).value().item();
        check(std::isfinite(loss), "evaluate: the loss is ", loss, " at example ", tally.examples + 1, " to ",
              tally.examples + batch.size(), " of ", dataset.size());
        options.task.add(tally, output.value(), batch, loss);
        if (options.on_output) options.on_output(output.value());
        if (options.go_on && !options.go_on(tally.examples, dataset.size())) break;
    }
    return {options.task.result(tally), tally};
}

}  // namespace

std::vector<Evaluation::Count> Evaluation::classes() const {
    std::vector<Count> counts(tally.sums.size() / 2);
    for (size_t i = 0; i < counts.size(); ++i)
        counts[i] = {static_cast<int64_t>(tally.sums[2 * i]), static_cast<int64_t>(tally.sums[2 * i + 1])};
    return counts;
}

Evaluation evaluate(nn::Module& module, const data::Dataset& dataset, const EvaluateOptions& options) {
    const nn::ModeScope mode(module, false);
    return evaluate_batches(
        [&](const data::Batch& batch) {
            return module(std::vector<Variable>(batch.inputs.begin(), batch.inputs.end()));
        },
        dataset, options);
}

Evaluation evaluate(const nn::Inference& inference, const data::Dataset& dataset, const EvaluateOptions& options) {
    return evaluate([&](const Tensor& x) { return inference(x); }, dataset, options);
}

Evaluation evaluate(const std::function<Tensor(const Tensor&)>& run, const data::Dataset& dataset,
                    const EvaluateOptions& options) {
    return evaluate_batches([&](const data::Batch& batch) { return Variable(run(batch.input())); }, dataset, options);
}

}  // namespace lathe::optim
