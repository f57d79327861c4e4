#include "lathe/compress/quantize/explain.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lathe/compress/quantize/activations.h"
#include "lathe/core/text_table.h"

namespace lathe::compress {

namespace {

constexpr int64_t kImages = 32;
constexpr double kHalved = 3;  // decibels

// A calibrated network and one run of it on a few images.
class Measured {
public:
    Measured(nn::Model& model, const data::Dataset& images, const QuantizeOptions& o, bool equalize)
        : calibration(calibrate(model, images, equalize, o.batch)),
          run_(calibration.graph, calibration.weights,
               calibration.sample.rows(0, std::min(calibration.sample.dim(0), kImages))) {}

    // The ratio at the output with the nodes of a group, or one weight, in a grid.
    double output_with(const Change& change) const {
        return decibels(mean_square(run_.output()), mean_square_difference(run_.output_with(change), run_.output()));
    }
    Change with_weight(int node, const Grid& grid) const {
        return [node, grid](int at, const Tensor& value) { return at == node ? on_grid(value, grid) : Tensor{}; };
    }
    Change with_group(int group, const Grid& grid) const {
        return [this, group, grid](int at, const Tensor& value) {
            return calibration.in_group(group, at) ? on_grid(value, grid) : Tensor{};
        };
    }
    int64_t images() const { return run_[calibration.graph.input()].dim(0); }

    const Calibration calibration;

private:
    Activations run_;
};

class Explainer {
public:
    Explainer(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options)
        : model_(model), images_(images), options_(options), now_(model, images, options, options.equalize) {}

    Explanation run(int tries) {
        Explanation found{.places = {}, .images = now_.images()};
        const Calibration& c = now_.calibration;
        std::vector<Change> all;
        std::vector<Place> places;
        for (int node : c.layer_weights()) places.push_back(weight(node, all));
        for (int group = 0; group < c.groups(); ++group) places.push_back(activation(group, all));
        found.output = now_.output_with([&](int node, const Tensor& value) {
            for (const Change& change : all)
                if (Tensor other = change(node, value)) return other;
            return Tensor{};
        });
        std::stable_sort(places.begin(), places.end(),
                         [](const Place& a, const Place& b) { return a.shown.output < b.shown.output; });
        for (size_t i = 0; i < places.size(); ++i) {
            if (static_cast<int>(i) < tries) find_fix(places[i]);
            found.places.push_back(places[i].shown);
        }
        return found;
    }

private:
    struct Place {
        Explanation::Place shown;
        int at;  // the weight's node, or the group
    };

    Place weight(int node, std::vector<Change>& all) const {
        const Calibration& c = now_.calibration;
        const Tensor& value = c.weights[static_cast<size_t>(node)];
        const int bits = weight_bits(options_, c, node, model_);
        const Grid grid = weight_grid(value, bits, options_.per_channel);
        const Tensor y = on_grid(value, grid);
        all.push_back(now_.with_weight(node, grid));
        return {{.name = c.graph[node].path, .is_weight = true, .bits = bits,
                 .snr = decibels(mean_square(value), mean_square_difference(value, y)),
                 .clipping = clipped_share(value, y, grid), .output = now_.output_with(all.back())},
                node};
    }

    Place activation(int group, std::vector<Change>& all) const {
        const Calibration& c = now_.calibration;
        const Observed& seen = c.observed[static_cast<size_t>(group)];
        const int bits = activation_bits(options_, c, group);
        const Range range = seen.range(observer(), bits);
        const Observed::Error error = seen.error(range, bits);
        const double noise = error.noise();
        all.push_back(now_.with_group(group, asymmetric(range, bits)));
        const auto first =
            std::find_if(c.edges.begin(), c.edges.end(), [&](const Edge& edge) { return edge.group == group; });
        return {{.name = first->name, .is_weight = false, .bits = bits, .snr = error.snr(),
                 .clipping = noise > 0 ? error.clipping / noise : 0, .output = now_.output_with(all.back())},
                group};
    }

    // The automatic observer is min-max until another does better, which is then shown as the fix.
    Observer observer() const {
        return options_.observer == Observer::automatic ? Observer::min_max : options_.observer;
    }

    // Of the squared error, what elements have that lie beyond the grid by more than half a step.
    static double clipped_share(const Tensor& x, const Tensor& y, const Grid& grid) {
        const int64_t row = x.numel() / std::max<int64_t>(1, grid.scale.numel());
        double clipped = 0, all = 0;
        for (int64_t i = 0; i < x.numel(); ++i) {
            const double error = x.at(i) - y.at(i);
            all += error * error;
            if (std::abs(error) > 0.5001 * grid.scale.at(i / row)) clipped += error * error;
        }
        return all > 0 ? clipped / all : 0;
    }

    void find_fix(Place& place) {
        Explanation::Place& shown = place.shown;
        const auto attempt = [&](const std::string& how, double output) {
            if (!shown.fix.empty() || output < shown.output + kHalved) return;
            shown.fix = how;
            shown.fixed_output = output;
        };
        const auto bits_above = [&](const auto& output_with_bits) {
            for (int bits = shown.bits + 1; bits <= 8 && shown.fix.empty(); ++bits)
                attempt(format("%d bits", bits), output_with_bits(bits));
        };
        if (shown.is_weight) {
            const Tensor& value = now_.calibration.weights[static_cast<size_t>(place.at)];
            const auto with = [&](const Grid& grid) { return now_.output_with(now_.with_weight(place.at, grid)); };
            if (!options_.per_channel) attempt("a scale for each channel", with(weight_grid(value, shown.bits, true)));
            if (shown.bits == 8)
                attempt("the range of least error",
                        with(symmetric_least_error(value, shown.bits, options_.per_channel ? 0 : -1)));
            if (shown.fix.empty()) attempt("equalisation", equalized(place));
            bits_above([&](int bits) { return with(weight_grid(value, bits, options_.per_channel)); });
        } else {
            const Observed& seen = now_.calibration.observed[static_cast<size_t>(place.at)];
            const auto with = [&](Observer observer, int bits) {
                return now_.output_with(now_.with_group(place.at, asymmetric(seen.range(observer, bits), bits)));
            };
            for (Observer other : plain_observers())
                attempt(std::string("observer ") + name_of(other), with(other, shown.bits));
            if (shown.fix.empty()) attempt("equalisation", equalized(place));
            bits_above([&](int bits) { return with(observer(), bits); });
        }
    }

    // The same place of the equalised network, whose nodes are the same ones.
    double equalized(const Place& place) {
        if (options_.equalize) return -std::numeric_limits<double>::infinity();
        if (!equalized_) equalized_ = std::make_unique<Measured>(model_, images_, options_, true);
        const Calibration& c = equalized_->calibration;
        const auto at = static_cast<size_t>(place.at);
        const int bits = place.shown.bits;
        return equalized_->output_with(
            place.shown.is_weight
                ? equalized_->with_weight(place.at, weight_grid(c.weights[at], bits, options_.per_channel))
                : equalized_->with_group(place.at, asymmetric(c.observed[at].range(observer(), bits), bits)));
    }

    nn::Model& model_;
    const data::Dataset& images_;
    const QuantizeOptions& options_;
    Measured now_;
    std::unique_ptr<Measured> equalized_;
};

}  // namespace

Explanation explain_quantization(nn::Model& model, const data::Dataset& images, const QuantizeOptions& options,
                                 int tries) {
    return Explainer(model, images, options).run(tries);
}

std::string Explanation::str() const {
    TextTable table({"quantized alone", "", "bits", "SNR dB", "clipping", "output dB", "cheapest fix", "then"});
    for (const Place& place : places)
        table.add({place.name, place.is_weight ? "weight" : "activation", std::to_string(place.bits),
                   format("%.1f", place.snr), format("%.0f%%", 100 * place.clipping), format("%.1f", place.output),
                   place.fix, place.fix.empty() ? "" : format("%.1f", place.fixed_output)});
    return table.str() + format("all together: %.1f dB at the output, measured on %lld images\n", output,
                                static_cast<long long>(images));
}

}  // namespace lathe::compress
