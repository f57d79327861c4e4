#pragma once
#include <map>
#include <string>

#include "lathe/nn/module.h"

namespace lathe::optim {

// An exponential moving average of the parameters and floating buffers of a module:
// average += (1 - d) * (value - average) after every update, where d = min(decay, (1 + t) / (10 + t)) at update t, so
// that early values are forgotten soon (Polyak and Juditsky 1992; the ramp is TensorFlow's).
class Ema {
public:
    // Starts from the present values. Error: a decay outside [0, 1).
    Ema(nn::Module& module, double decay);

    void update(int64_t t);  // t counts from 0
    void swap();  // exchanges averages and values, to evaluate or save the averages; call it again to go back

    // The averages by the name of the parameter or buffer.
    const std::map<std::string, Tensor>& state() const { return averages_; }
    void load_state(const std::map<std::string, Tensor>& state);  // Error: a name missing or unknown, another shape

private:
    template <class F>
    void for_each(F&& f);

    nn::Module& module_;
    std::map<std::string, Tensor> averages_;
    double decay_;
};

// Keeps the averages in the module for the length of a scope; does nothing without an Ema.
class EmaScope {
public:
    explicit EmaScope(Ema* ema) : ema_(ema) {
        if (ema_) ema_->swap();
    }
    ~EmaScope() {
        if (ema_) ema_->swap();
    }
    EmaScope(const EmaScope&) = delete;
    EmaScope& operator=(const EmaScope&) = delete;

private:
    Ema* ema_;
};

}  // namespace lathe::optim
