#include "lathe/core/ops/cross_entropy.h"

#include "lathe/core/kernels/rows/softmax.h"
#include "lathe/core/ops/detail/row_loss.h"

namespace lathe::ops {

namespace {

void check_rows(const Shape& logits, const Shape& labels) {
    check(logits.rank() >= 1, "cross_entropy: expected logits [.., K], got a single number");
    Shape rows;
    for (int i = 0; i + 1 < logits.rank(); ++i) rows.push_back(logits[i]);
    check(labels == rows, "cross_entropy: expected labels ", rows, " for logits ", logits, ", got ", labels);
}

void check_labels(const Tensor& labels, int64_t classes) {
    const int32_t* label = labels.data<int32_t>();
    for (int64_t i = 0; i < labels.numel(); ++i)
        check(label[i] >= 0 && label[i] < classes, "cross_entropy: label ", i, " is ", label[i], ", expected one of ",
              classes, " classes from 0");
}

}  // namespace

Variable cross_entropy(const Variable& logits, const Tensor& labels, const CrossEntropyOptions& options) {
    const double smoothing = options.label_smoothing;
    check(smoothing >= 0 && smoothing <= 1, "cross_entropy: expected label smoothing in [0, 1], got ", smoothing);
    check_rows(logits.shape(), labels.shape());
    check_labels(labels, logits.shape().back());

    // The target of a row is q = (1 - s) one_hot(label) + s / K: smoothing s takes that share from the label and
    // spreads it over all K classes (Szegedy et al. 2016, arXiv 1512.00567, section 7). With p = softmax(x),
    // log p_j = x_j - lse and lse = log sum exp x, the loss is
    //   -sum q_j log p_j = lse sum q - sum q_j x_j = lse - (1 - s) x_label - s mean x,    as q adds up to 1,
    // and its gradient, since dlse/dx_j = exp(x_j - lse) = p_j, is p - q: bounded, whatever the logits are. Without
    // smoothing it vanishes only when the label's logit outgrows all others without end; with it, at p = q.
    const int32_t* label = labels.data<int32_t>();
    auto row = [=]<class T>(int64_t i, int64_t classes, const T* x, T* gradient) {
        const T hit = static_cast<T>(1 - smoothing), spread = static_cast<T>(smoothing / static_cast<double>(classes));
        T picked = 0;
        if (smoothing > 0) picked = spread * kernels::sum_run(classes, x);
        picked += hit * x[label[i]];
        const T log_sum = kernels::softmax_row(classes, T(1), x, gradient);
        for (int64_t j = 0; smoothing > 0 && j < classes; ++j) gradient[j] -= spread;
        gradient[label[i]] -= hit;
        return log_sum - picked;
    };
    auto attributes = [&] { return Attributes{{"label_smoothing", smoothing}}; };
    return row_loss("cross_entropy", logits, labels, labels.numel(), row, attributes);
}

namespace row {
OpInfo cross_entropy() {
    return {.name = "cross_entropy",
            .min_inputs = 2,
            .max_inputs = 2,
            .attributes = {{.type = AttributeSpec::real, .name = "label_smoothing", .otherwise = 0.0}},
            .run = [](const Attributes& a, Inputs x, Mode) {
                return ops::cross_entropy(x[0], x[1].value(), {.label_smoothing = a.real("label_smoothing")});
            },
            .shape = [](const Attributes&, Shapes x) {
                check_rows(x[0], x[1]);
                return Shape{};
            }};
}
}  // namespace row

}  // namespace lathe::ops
