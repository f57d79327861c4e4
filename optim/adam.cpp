#include <cmath>

#include "lathe/optim/optimizer.h"
#include "lathe/optim/update.h"

namespace lathe::optim {

namespace {

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
        return detail::concat(name(), ": lr ", lr, ", betas ", options_.beta1, " ", options_.beta2, ", weight decay ",
                              options_.weight_decay);
    }

private:
    std::vector<std::string> slot_names() const override { return {"exp_avg", "exp_avg_sq"}; }

    void update(nn::Parameter& parameter, double lr) override {
        const double decay = decay_of(parameter, options_.weight_decay, options_.decay_biases);
        const auto count = static_cast<double>(parameter.updates());
        const Scalars scalars{
            .keep = decoupled_ ? 1 - lr * decay : 1,
            .decay = decoupled_ ? 0 : decay,
            .rate = lr / (1 - std::pow(options_.beta1, count)),
            .correction = std::sqrt(1 - std::pow(options_.beta2, count)),
        };
        for_ranges(parameter, [&](auto... arguments) { move(arguments..., scalars); }, "exp_avg", "exp_avg_sq");
    }

    struct Scalars {
        double keep;        // what weight decay leaves of the weight
        double decay;       // what it adds to the gradient, in weights
        double rate;        // the learning rate by the bias correction of the first moment
        double correction;  // the root of that of the second
    };

    template <class T>
    void move(int64_t begin, int64_t end, T* w, const T* grad, T* mean, T* square, const Scalars& s) const {
        const T beta1 = static_cast<T>(options_.beta1), fresh1 = static_cast<T>(1 - options_.beta1);
        const T beta2 = static_cast<T>(options_.beta2), fresh2 = static_cast<T>(1 - options_.beta2);
        const T epsilon = static_cast<T>(options_.epsilon), keep = static_cast<T>(s.keep), decay = static_cast<T>(s.decay);
        const T rate = static_cast<T>(s.rate), correction = static_cast<T>(s.correction);
        for (int64_t i = begin; i < end; ++i) {
            const T g = grad[i] + decay * w[i];
            mean[i] = beta1 * mean[i] + fresh1 * g;
            square[i] = beta2 * square[i] + fresh2 * g * g;
            w[i] = keep * w[i] - rate * mean[i] / (std::sqrt(square[i]) / correction + epsilon);
        }
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
