#include "lathe/optim/optimizer.h"
#include "lathe/optim/update.h"

namespace lathe::optim {

namespace {

class Sgd : public Optimizer {
public:
    explicit Sgd(const SgdOptions& options) : Optimizer(options.lr), options_(options) {
        check(options.momentum >= 0 && options.momentum < 1, "sgd: expected a momentum in [0, 1), got ", options.momentum);
        check(options.weight_decay >= 0, "sgd: expected a weight decay of 0 or more, got ", options.weight_decay);
        check(!options.nesterov || options.momentum > 0, "sgd: Nesterov's step needs a momentum above 0");
    }

    std::string name() const override { return "sgd"; }
    std::string describe() const override {
        return detail::concat("sgd: lr ", lr, ", ", options_.nesterov ? "Nesterov " : "", "momentum ", options_.momentum,
                              ", weight decay ", options_.weight_decay);
    }

private:
    std::vector<std::string> slot_names() const override {
        return options_.momentum > 0 ? std::vector<std::string>{"momentum"} : std::vector<std::string>{};
    }

    void update(nn::Parameter& parameter, double lr) override {
        const double decay = decay_of(parameter, options_.weight_decay, options_.decay_biases);
        if (options_.momentum > 0)
            for_ranges(parameter, [=, this](auto... arguments) { with_momentum(arguments..., lr, decay); }, "momentum");
        else
            for_ranges(parameter, [=](auto... arguments) { without_momentum(arguments..., lr, decay); });
    }

    template <class T>
    void with_momentum(int64_t begin, int64_t end, T* w, const T* grad, T* momentum, double lr, double decay) const {
        const T rate = static_cast<T>(lr), shrink = static_cast<T>(decay), mu = static_cast<T>(options_.momentum);
        const bool nesterov = options_.nesterov;
        for (int64_t i = begin; i < end; ++i) {
            const T g = grad[i] + shrink * w[i];
            const T m = mu * momentum[i] + g;
            momentum[i] = m;
            w[i] -= rate * (nesterov ? g + mu * m : m);
        }
    }

    template <class T>
    static void without_momentum(int64_t begin, int64_t end, T* w, const T* grad, double lr, double decay) {
        const T rate = static_cast<T>(lr), shrink = static_cast<T>(decay);
        for (int64_t i = begin; i < end; ++i) w[i] -= rate * (grad[i] + shrink * w[i]);
    }

    SgdOptions options_;
};

}  // namespace

std::unique_ptr<Optimizer> sgd(const SgdOptions& options) { return std::make_unique<Sgd>(options); }

}  // namespace lathe::optim
