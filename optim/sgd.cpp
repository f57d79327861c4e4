#include "lathe/optim/optimizer.h"
#include "lathe/optim/update.h"

namespace lathe::optim {

namespace {

// What one update does to `count` weights: m = momentum * m + g, w -= lr * m, or with Nesterov's look ahead.
template <class T>
void move(int64_t count, T* w, const T* grad, T* momentum, T lr, T decay, T mu, bool nesterov) {
    for (int64_t i = 0; i < count; ++i) {
        const T g = grad[i] + decay * w[i];
        const T m = mu * momentum[i] + g;
        momentum[i] = m;
        w[i] -= lr * (nesterov ? g + mu * m : m);
    }
}

template <class T>
void move_without_momentum(int64_t count, T* w, const T* grad, T lr, T decay) {
    for (int64_t i = 0; i < count; ++i) w[i] -= lr * (grad[i] + decay * w[i]);
}

class Sgd : public Optimizer {
public:
    explicit Sgd(const SgdOptions& options) : Optimizer(options.lr), options_(options) {
        check(options.momentum >= 0 && options.momentum < 1, "sgd: expected a momentum in [0, 1), got ",
              options.momentum);
        check(options.weight_decay >= 0, "sgd: expected a weight decay of 0 or more, got ", options.weight_decay);
        check(!options.nesterov || options.momentum > 0, "sgd: Nesterov's step needs a momentum above 0");
    }

    std::string name() const override { return "sgd"; }
    std::string describe() const override {
        return concatenated("sgd: lr ", lr, ", ", options_.nesterov ? "Nesterov " : "", "momentum ",
                              options_.momentum, ", weight decay ", options_.weight_decay);
    }

private:
    std::vector<std::string> slot_names() const override {
        return options_.momentum > 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
    }

    void update(nn::Parameter& parameter, double lr) override {
        with_float(parameter.value(), [&](auto zero) {
            using T = decltype(zero);
            const T rate = static_cast<T>(lr), mu = static_cast<T>(options_.momentum);
            const T decay = static_cast<T>(decay_of(parameter, options_.weight_decay, options_.decay_biases));
            T* w = parameter.mutable_value().template mutable_data<T>();
            const T* grad = parameter.grad().template data<T>();
            T* momentum = options_.momentum > 0 ? slot<T>(parameter, "momentum") : nullptr;
            for_each_used(parameter, kUpdateGrain, [&](int64_t begin, int64_t end) {
                if (momentum)
                    move(end - begin, w + begin, grad + begin, momentum + begin, rate, decay, mu, options_.nesterov);
                else
                    move_without_momentum(end - begin, w + begin, grad + begin, rate, decay);
            });
        });
    }

    SgdOptions options_;
};

}  // namespace

std::unique_ptr<Optimizer> sgd(const SgdOptions& options) { return std::make_unique<Sgd>(options); }

}  // namespace lathe::optim
