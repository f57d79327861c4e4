#include <cmath>

#include "lathe/optim/optimizer.h"
#include "lathe/optim/update.h"

namespace lathe::optim {

namespace {

// The numbers of one update.
template <class T>
struct AdamStep {
    T beta1, fresh1;  // what stays of the mean of gradients, and what the new one adds
    T beta2, fresh2;  // likewise of their squares
    T keep;           // what decoupled weight decay leaves of the weight
    T decay;          // what coupled decay adds to the gradient, in weights
    T rate;           // the learning rate by the bias correction of the mean
    T correction;     // the root of that of the squares
    T epsilon;
};

// What one update does to `count` weights.
template <class T>
void move(int64_t count, T* w, const T* grad, T* mean, T* square, const AdamStep<T> s) {
    for (int64_t i = 0; i < count; ++i) {
        const T g = grad[i] + s.decay * w[i];
        mean[i] = s.beta1 * mean[i] + s.fresh1 * g;
        square[i] = s.beta2 * square[i] + s.fresh2 * g * g;
        w[i] = s.keep * w[i] - s.rate * mean[i] / (std::sqrt(square[i]) / s.correction + s.epsilon);
    }
}

class Adam : public Optimizer {
public:
    Adam(const AdamOptions& options, bool decoupled) : Optimizer(options.lr), options_(options), decoupled_(decoupled) {
        auto expect_beta = [&](double beta) {
            check(beta >= 0 && beta < 1, name(), ": expected betas in [0, 1), got ", beta);
        };
        expect_beta(options.beta1);
        expect_beta(options.beta2);
        check(options.epsilon > 0, name(), ": expected an epsilon above 0, got ", options.epsilon);
        check(options.weight_decay >= 0, name(), ": expected a weight decay of 0 or more, got ", options.weight_decay);
    }

    std::string name() const final { return decoupled_ ? "adamw" : "adam"; }
    std::string describe() const override {
        return concatenated(name(), ": lr ", lr, ", betas ", options_.beta1, " ", options_.beta2, ", weight decay ",
                              options_.weight_decay);
    }

private:
    std::vector<std::string> slot_names() const override { return {"exp_avg", "exp_avg_sq"}; }

    void update(nn::Parameter& parameter, double lr) override {
        const double decay = decay_of(parameter, options_.weight_decay, options_.decay_biases);
        const auto count = static_cast<double>(parameter.updates());
        with_float(parameter.value(), [&](auto zero) {
            using T = decltype(zero);
            const auto number = [](double value) { return static_cast<T>(value); };
            const AdamStep<T> step{
                .beta1 = number(options_.beta1),
                .fresh1 = number(1 - options_.beta1),
                .beta2 = number(options_.beta2),
                .fresh2 = number(1 - options_.beta2),
                .keep = number(decoupled_ ? 1 - lr * decay : 1),
                .decay = number(decoupled_ ? 0 : decay),
                .rate = number(lr / (1 - std::pow(options_.beta1, count))),
                .correction = number(std::sqrt(1 - std::pow(options_.beta2, count))),
                .epsilon = number(options_.epsilon),
            };
            T* w = parameter.mutable_value().template mutable_data<T>();
            const T* grad = parameter.grad().template data<T>();
            T *mean = slot<T>(parameter, "exp_avg"), *square = slot<T>(parameter, "exp_avg_sq");
            for_each_used(parameter, kUpdateGrain, [&](int64_t begin, int64_t end) {
                move(end - begin, w + begin, grad + begin, mean + begin, square + begin, step);
            });
        });
    }

    AdamOptions options_;
    bool decoupled_;
};

}  // namespace

std::unique_ptr<Optimizer> adam(const AdamOptions& options) { return std::make_unique<Adam>(options, false); }

std::unique_ptr<Optimizer> adamw(const AdamWOptions& o) {
    return std::make_unique<Adam>(AdamOptions{o.lr, o.beta1, o.beta2, o.epsilon, o.weight_decay, o.decay_biases}, true);
}

}  // namespace lathe::optim
