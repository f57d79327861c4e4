#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "lathe/compress/weights/pattern.h"
#include "lathe/compress/weights/importance.h"

namespace lathe::compress {

struct WeightPruneOptions {
    double sparsity = 0;  // share of zeros, in [0, 1), of every layer, or with `global` of all together
    // Other sparsities by name: a pattern as in Module::named_parameters ("conv1", "layer1.*.conv2"); later ones win.
    std::vector<std::pair<std::string, double>> layers{};
    bool global = false;    // one threshold over all layers without a sparsity of their own
    Pattern pattern{};      // n_of_m brings its sparsity, 1 - n / m, along
    Ties ties = Ties::exact;
    std::vector<std::string> only{};  // the parameters that count, as patterns; empty: all of two dimensions or more
    std::vector<std::string> skip{};  // of them, those left as they are
    WeightImportanceOptions importance{};
};

// What was masked.
struct WeightReport {
    struct Layer {
        std::string name;
        int64_t weights = 0;
        int64_t zeros_before = 0, zeros = 0;  // of the mask
        double sparsity() const { return weights ? static_cast<double>(zeros) / static_cast<double>(weights) : 0; }
    };
    std::vector<Layer> layers;
    std::vector<std::string> passed_over{};  // as WeightPruner's
    Pattern pattern{};

    Layer total() const;
    std::string str() const;    // a table, and the notes
    std::string notes() const;  // a line each: layers of which nothing is left, layers passed over; "" without any
};

// Masks the weights of a module, in one go or step by step (compress/weights/schedule.h). Weights that are masked when
// it is made stay so: pruning a pruned model goes on from its masks.
class WeightPruner {
public:
    // Gives every parameter that counts a mask, which keeps all weights at first; none where the sparsity is to be 0.
    // Error: a sparsity outside [0, 1), a pattern that no name matches (names the nearest), n_of_m with a sparsity, no
    // parameter that counts or fits.
    WeightPruner(nn::Module& module, const WeightPruneOptions& options);

    // Sets the masks anew, each layer at a sparsity on the way from its initial to its final one. With `regrow`,
    // weights that this pruner masked before come back where their dense value is worth more than others'. Error: see
    // weight_importance.
    using OnTheWay = std::function<double(double initial, double final)>;
    WeightReport prune(const OnTheWay& on_the_way, bool regrow = false);
    WeightReport prune();  // to the final sparsities

    nn::Module& module() const { return module_; }
    const WeightPruneOptions& options() const { return options_; }
    NamedParameters parameters() const;
    // Parameters that count but have other input channels than n_of_m can be of: left as they are.
    const std::vector<std::string>& passed_over() const { return passed_over_; }
    // Of every parameter, -infinity where its mask is 0, or with `regrow` where it was at the beginning.
    std::vector<Tensor> importances(bool regrow = false);

private:
    struct Target {
        std::string name;
        nn::Parameter* parameter;
        double sparsity;
        bool own;             // not the one that all share
        Tensor limit{};       // the mask at the beginning
        int64_t initial = 0;  // its zeros
    };
    void pass_over_misfits();
    double shared_sparsity(const OnTheWay& on_the_way) const;

    nn::Module& module_;
    WeightPruneOptions options_;
    std::vector<Target> targets_;
    std::vector<std::string> passed_over_;
};

// "passed over, since 4 does not divide their input channels: conv1.weight\n", or "" without any.
std::string passed_over_note(const std::vector<std::string>& layers, const Pattern& pattern);

// Adds masks to a module, or tightens those that it has: their weights are zero from now on, also while training.
WeightReport prune_weights(nn::Module& module, const WeightPruneOptions& options);

// The same by |w|, as in the course lab: prune_magnitude(model, {.sparsity = 0.8}).
WeightReport prune_magnitude(nn::Module& module, WeightPruneOptions options);

}  // namespace lathe::compress
