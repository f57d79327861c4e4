#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lathe/compress/budget/size.h"
#include "lathe/core/parallel.h"
#include "lathe/core/measure/peak.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/run/profile.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/model_options.h"

namespace lathe::tools {

namespace {

struct ProfileOptions {
    ModelOptions model;
    std::string input = "auto";
    int64_t batch = 1;
    int runs = 20, threads = 0;
    bool backward = false, json = false;
};

// Of the peak of fused multiply-adds, in percent; 0 where there are none. Winograd's shortcut can bring it above 100.
double share_of(double peak_gflops, int64_t flop, double seconds) {
    return flop > 0 && seconds > 0 ? static_cast<double>(flop) / seconds * 1e-7 / peak_gflops : 0;
}
std::string percent(double share) { return share > 0 ? format("%.0f%%", share) : ""; }
std::string count(int64_t number) { return number ? with_commas(number) : ""; }
std::string milliseconds(double seconds) { return format("%.3f ms", 1e3 * seconds); }

// What pruning has left of a layer: its parameters that are not zero, their bytes packed, the MACs that meet them.
struct Left {
    int64_t nonzeros = 0, packed_bytes = 0, macs = 0;
};

std::vector<Left> what_is_left(const compress::SizeReport& size, const std::vector<nn::LayerProfile>& layers) {
    std::vector<Left> found;
    for (const nn::LayerProfile& layer : layers) {
        Left left{.macs = layer.macs};
        for (const auto& entry : size.parameters) {
            if (layer.params == 0 || entry.name.substr(0, entry.name.rfind('.')) != layer.name) continue;
            left.nonzeros += entry.nonzeros;
            left.packed_bytes += entry.packed_bytes;
            if (entry.name.ends_with(".weight") && layer.macs) left.macs = layer.macs / entry.elements * entry.nonzeros;
        }
        found.push_back(left);
    }
    return found;
}

double sparsity(const nn::LayerProfile& layer, const Left& left) {
    return layer.params ? 1 - static_cast<double>(left.nonzeros) / static_cast<double>(layer.params) : 0;
}

nn::LayerProfile sum_of(const std::vector<nn::LayerProfile>& layers) {
    nn::LayerProfile total{.name = "total"};
    for (const nn::LayerProfile& layer : layers) {
        total.params += layer.params;
        total.macs += layer.macs;
        total.backward_macs += layer.backward_macs;
        total.seconds += layer.seconds;
        total.backward_seconds += layer.backward_seconds;
    }
    return total;
}

// `left` is empty for a model without zeros, which needs no columns for them.
void print_table(const nn::NetworkProfile& result, const nn::LayerProfile& total, const std::vector<Left>& left, const Left& total_left,
                 double peak, bool backward) {
    std::vector<std::string> header{"layer", "op", "output", "params", "MACs", "activation", "time", "of peak"};
    if (!left.empty()) header.insert(header.begin() + 5, {"not zero", "sparsity", "effective", "packed"});
    if (backward) header.insert(header.end(), {"backward", "of peak"});
    header.push_back("kernel");
    TextTable table(header);
    const auto add = [&](const nn::LayerProfile& layer, const Left& left_of, const std::string& output, const std::string& activation) {
        std::vector<std::string> row{layer.name, layer.op, output, count(layer.params), count(layer.macs), activation,
                                     milliseconds(layer.seconds), percent(share_of(peak, layer.forward_flop(), layer.seconds))};
        if (!left.empty())
            row.insert(row.begin() + 5, {layer.params ? with_commas(left_of.nonzeros) : "", layer.params ? format("%.1f%%", 100 * sparsity(layer, left_of)) : "",
                                         layer.macs ? with_commas(left_of.macs) : "", layer.params ? human_bytes(left_of.packed_bytes) : ""});
        if (backward) {
            row.push_back(milliseconds(layer.backward_seconds));
            row.push_back(percent(share_of(peak, layer.backward_flop(), layer.backward_seconds)));
        }
        row.push_back(layer.kernel);
        table.add(row);
    };
    for (size_t i = 0; i < result.layers.size(); ++i) {
        const nn::LayerProfile& layer = result.layers[i];
        add(layer, left.empty() ? Left{} : left[i], layer.output.str(), human_bytes(layer.activation_bytes));
    }
    table.add_rule();
    add(total, total_left, "", "");
    std::printf("%s", table.str().c_str());
}

nlohmann::ordered_json json_of(const nn::LayerProfile& layer, const Left& left, double peak, bool backward) {
    nlohmann::ordered_json out{{"name", layer.name}, {"op", layer.op},
                               {"output", std::vector<int64_t>(layer.output.begin(), layer.output.end())},
                               {"params", layer.params}, {"macs", layer.macs}, {"nonzeros", left.nonzeros}, {"effective_macs", left.macs},
                               {"packed_bytes", left.packed_bytes}, {"activation_bytes", layer.activation_bytes},
                               {"seconds", layer.seconds}, {"of_peak", share_of(peak, layer.forward_flop(), layer.seconds) / 100},
                               {"kernel", layer.kernel}};
    if (backward) {
        out["backward_seconds"] = layer.backward_seconds;
        out["backward_of_peak"] = share_of(peak, layer.backward_flop(), layer.backward_seconds) / 100;
    }
    return out;
}

void profile(ProfileOptions& o) {
    if (o.threads > 0) set_threads(o.threads);
    nn::ModelOptions usual;
    if (o.input != "auto") usual.input = parse_input(o.input);
    const auto model = o.model.make(usual);
    const Shape in = o.input == "auto" ? model->input_shape() : usual.input;

    double peak = peak_gflops();
    const nn::NetworkProfile result = nn::profile(*model, nn::Model::example(o.batch, in), {.runs = o.runs, .backward = o.backward});
    peak = std::max(peak, peak_gflops());  // other programs may have had their share of one of them
    nn::LayerProfile total = sum_of(result.layers);
    total.params = model->parameter_count();  // each once, also those that several layers share
    const compress::SizeReport size = compress::measure_size(*model);
    std::vector<Left> left = what_is_left(size, result.layers);
    Left total_left{.nonzeros = size.total().nonzeros, .packed_bytes = size.total().packed_bytes};
    for (const Left& layer : left) total_left.macs += layer.macs;
    if (o.json) {
        nlohmann::ordered_json out{{"model", model->architecture()}, {"batch", o.batch}, {"threads", threads()}, {"params", total.params},
                                   {"macs", total.macs}, {"nonzeros", total_left.nonzeros}, {"effective_macs", total_left.macs},
                                   {"packed_bytes", total_left.packed_bytes}, {"peak_activation_bytes", result.peak_activation_bytes},
                                   {"peak_gflops", peak}, {"seconds", total.seconds}};
        if (o.backward) out["backward_seconds"] = total.backward_seconds;
        for (size_t i = 0; i < left.size(); ++i) out["layers"].push_back(json_of(result.layers[i], left[i], peak, o.backward));
        std::printf("%s", json_line(out).c_str());
        return;
    }
    if (total_left.packed_bytes == size.total().dense_bytes) left.clear();  // nothing is masked
    print_table(result, total, left, total_left, peak, o.backward);
    std::printf("%s, input %s, batch %lld, %d thread%s at %.0f GFLOP/s: peak activation memory %s\n", model->architecture().c_str(),
                in.str().c_str(), static_cast<long long>(o.batch), threads(), threads() == 1 ? "" : "s", peak,
                human_bytes(result.peak_activation_bytes).c_str());
}

}  // namespace

void add_profile(CLI::App& app) {
    auto o = std::make_shared<ProfileOptions>();
    CLI::App& c = *app.add_subcommand("profile", "Show parameters, MACs, memory, time and share of the machine's peak of each layer");
    o->model.add_to(c);
    c.add_option("--input", o->input, "Image size HxWxC, or a number of features; auto: the model's")->capture_default_str();
    c.add_option("--batch", o->batch, "Images at a time")->check(PositiveNumber)->capture_default_str();
    c.add_flag("--backward", o->backward, "A training step: forward in training mode, and backward");
    c.add_option("--runs", o->runs, "Times are medians over so many runs")->check(CLI::Range(1, 100000))->capture_default_str();
    c.add_option("--threads", o->threads, "0: OMP_NUM_THREADS, else all cores")->check(CLI::Range(0, 4096))->capture_default_str();
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { profile(*o); });
}

}  // namespace lathe::tools
