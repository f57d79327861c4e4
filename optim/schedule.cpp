#include "lathe/optim/schedule.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "lathe/core/error.h"

namespace lathe::optim {

namespace {

// From `from` at t = 0 to `to` at t = 1 along half a cosine.
double anneal(double from, double to, double t) {
    return to + (from - to) * 0.5 * (1 + std::cos(std::numbers::pi * t));
}

int64_t warmup_steps(double warmup, int64_t steps_per_epoch) {
    return std::llround(warmup * static_cast<double>(steps_per_epoch));
}

// Of the steps after the warm-up: how many there are, and the present one from 0.
struct Rest {
    double steps, step;
};
Rest after_warmup(const Position& at, double warmup) {
    const int64_t before = warmup_steps(warmup, at.steps_per_epoch);
    return {static_cast<double>(std::max<int64_t>(1, at.steps_per_epoch * at.epochs - before)),
            static_cast<double>(std::max<int64_t>(0, at.step - before))};
}

Schedule make(std::string text, double warmup, std::function<double(const Position&)> curve) {
    check(warmup >= 0 && warmup < 1e6, "schedule: expected a warm-up of 0 or more epochs, got ", warmup);
    if (warmup > 0) text += concatenated("+warmup:", warmup);
    return {.text = std::move(text), .warmup = warmup, .curve = std::move(curve)};
}

void check_gamma(double gamma) {
    check(gamma > 0 && std::isfinite(gamma), "schedule: expected a factor above 0, got ", gamma);
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts{""};
    for (char c : text)
        if (c == separator)
            parts.emplace_back();
        else
            parts.back() += c;
    return parts;
}

template <class T>
T number(const std::string& schedule, const std::string& text) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    check(error == std::errc{} && end == text.data() + text.size(), "schedule '", schedule, "': expected a ",
          std::is_integral_v<T> ? "whole " : "", "number, got '", text, "'");
    return value;
}

}  // namespace

double Schedule::operator()(const Position& whole) const {
    Position at = whole;
    if (restart > 0) {
        at.step %= restart * at.steps_per_epoch;
        at.epochs = restart;
    }
    const int64_t rise = warmup_steps(warmup, at.steps_per_epoch);
    if (at.step >= rise) return curve(at);
    Position start = at;
    start.step = rise;
    return curve(start) * static_cast<double>(at.step + 1) / static_cast<double>(rise);
}

Schedule constant(const ConstantOptions& options) {
    return make("constant", options.warmup, [](const Position&) { return 1.0; });
}

Schedule step_decay(const StepOptions& options) {
    check(options.every > 0, "schedule: expected a step of 1 epoch or more, got ", options.every);
    check_gamma(options.gamma);
    return make(concatenated("step:", options.every, ":", options.gamma), options.warmup, [=](const Position& at) {
        return std::pow(options.gamma, static_cast<double>(at.step / at.steps_per_epoch / options.every));
    });
}

Schedule multi_step(const MultiStepOptions& options) {
    check(!options.epochs.empty(), "schedule: expected the epochs at which the learning rate falls, got none");
    check_gamma(options.gamma);
    for (size_t i = 0; i < options.epochs.size(); ++i)
        check(options.epochs[i] > (i ? options.epochs[i - 1] : 0),
              "schedule: expected rising epochs of 1 or more, got ", options.epochs[i]);
    std::string text;
    for (int64_t epoch : options.epochs) text += concatenated(text.empty() ? "multi-step:" : ",", epoch);
    return make(concatenated(text, ":", options.gamma), options.warmup, [=](const Position& at) {
        const int64_t epoch = at.step / at.steps_per_epoch;
        const auto falls =
            std::count_if(options.epochs.begin(), options.epochs.end(), [=](int64_t e) { return e <= epoch; });
        return std::pow(options.gamma, static_cast<double>(falls));
    });
}

Schedule cosine(const CosineOptions& options) {
    check(options.floor >= 0 && options.floor <= 1, "schedule: expected a floor in [0, 1], got ", options.floor);
    const std::string text = options.floor > 0 ? concatenated("cosine:", options.floor) : "cosine";
    return make(text, options.warmup, [=](const Position& at) {
        const Rest rest = after_warmup(at, options.warmup);
        return anneal(1, options.floor, std::min(1.0, rest.step / rest.steps));
    });
}

Schedule one_cycle(const OneCycleOptions& options) {
    constexpr double kStart = 1.0 / 25, kEnd = kStart / 1e4;
    check(options.rise > 0 && options.rise < 1, "schedule: expected a rise in (0, 1), got ", options.rise);
    return make(concatenated("one-cycle:", options.rise), options.warmup, [=](const Position& at) {
        const Rest rest = after_warmup(at, options.warmup);
        const double last = rest.steps - 1, peak = options.rise * rest.steps - 1;  // as PyTorch counts
        if (rest.step < peak) return anneal(kStart, 1, rest.step / peak);
        return anneal(1, kEnd, std::min(1.0, (rest.step - peak) / (last - peak)));
    });
}

Schedule restarted(Schedule schedule, int64_t epochs) {
    check(schedule.restart == 0, "schedule '", schedule.text, "': expected one restart, got a second");
    check(epochs >= 1, "schedule: expected a restart after 1 epoch or more, got ", epochs);
    schedule.restart = epochs;
    schedule.text += concatenated("+restart:", epochs);
    return schedule;
}

Schedule parse_schedule(const std::string& text) {
    const std::string restart = "+restart:";
    if (const size_t at = text.rfind(restart); at != std::string::npos)
        return restarted(parse_schedule(text.substr(0, at)), number<int64_t>(text, text.substr(at + restart.size())));
    const std::vector<std::string> halves = split(text, '+');
    double warmup = 0;
    if (halves.size() > 1) {
        const std::vector<std::string> parts = split(halves[1], ':');
        check(halves.size() == 2 && parts.size() == 2 && parts[0] == "warmup", "schedule '", text,
              "': expected '+warmup:EPOCHS' at the end");
        warmup = number<double>(text, parts[1]);
    }
    const std::vector<std::string> parts = split(halves[0], ':');
    const std::string& name = parts[0];
    auto at_most = [&](size_t numbers) {
        check(parts.size() <= numbers + 1, "schedule '", text, "': expected at most ", numbers, " numbers after ", name,
              ", got ", parts.size() - 1);
    };
    auto real = [&](size_t i, double otherwise) {
        return parts.size() > i ? number<double>(text, parts[i]) : otherwise;
    };
    auto whole = [&](size_t i, int64_t otherwise) {
        return parts.size() > i ? number<int64_t>(text, parts[i]) : otherwise;
    };

    if (name == "constant") {
        at_most(0);
        return constant({.warmup = warmup});
    }
    if (name == "step") {
        at_most(2);
        return step_decay(
            {.every = whole(1, StepOptions{}.every), .gamma = real(2, StepOptions{}.gamma), .warmup = warmup});
    }
    if (name == "multi-step") {
        at_most(2);
        std::vector<int64_t> epochs;
        if (parts.size() > 1)
            for (const std::string& epoch : split(parts[1], ',')) epochs.push_back(number<int64_t>(text, epoch));
        return multi_step({.epochs = epochs, .gamma = real(2, MultiStepOptions{}.gamma), .warmup = warmup});
    }
    if (name == "cosine") {
        at_most(1);
        return cosine({.floor = real(1, 0), .warmup = warmup});
    }
    if (name == "one-cycle") {
        at_most(1);
        return one_cycle({.rise = real(1, OneCycleOptions{}.rise), .warmup = warmup});
    }
    const std::vector<std::string> known{"constant", "step", "multi-step", "cosine", "one-cycle"};
    const std::string hint = nearest_name(name, known);
    fail("schedule: expected constant, step, multi-step, cosine or one-cycle, got '", name, "'",
         hint.empty() ? "" : "; ", hint);
}

}  // namespace lathe::optim
