#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "lathe/compress/budget/size.h"
#include "lathe/core/parallel.h"
#include "lathe/core/measure/peak.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/run/profile.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/model_options.h"

namespace lathe::tools {

namespace {

struct ProfileOptions {
    ModelOptions model;
    std::string input = "auto";
    int64_t batch = 1;
    int runs = 20;
    bool backward = false, smallest_weights = false, json = false;
};

// Of the peak of fused multiply-adds, in percent; 0 where there are none. Winograd's shortcut can bring it above 100.
double share_of(double peak_gflops, int64_t flop, double seconds) {
    return flop > 0 && seconds > 0 ? static_cast<double>(flop) / seconds * 1e-7 / peak_gflops : 0;
}
std::string percent(double share) { return share > 0 ? format("%.0f%%", share) : ""; }
std::string count(int64_t number) { return number ? with_commas(number) : ""; }
std::string milliseconds(double seconds) { return format("%.3f ms", 1e3 * seconds); }

// Bytes of the layers' parameters and of their codebooks, as files hold them packed, each once.
std::vector<int64_t> packed_bytes(const compress::SizeReport& size, const std::vector<nn::LayerProfile>& layers) {
    std::vector<int64_t> found;
    std::set<std::string> counted;
    for (const nn::LayerProfile& layer : layers) {
        int64_t& bytes = found.emplace_back(0);
        for (const auto& entry : size.parameters)
            if (layer.params && entry.name.starts_with(layer.name + ".") && counted.insert(entry.name).second)
                bytes += entry.packed_bytes;
    }
    return found;
}

nn::LayerProfile sum_of(const std::vector<nn::LayerProfile>& layers) {
    nn::LayerProfile total{.name = "total"};
    for (const nn::LayerProfile& layer : layers) {
        total.params += layer.params;
        total.nonzeros += layer.nonzeros;
        total.weight_bytes += layer.weight_bytes;
        total.macs += layer.macs;
        total.effective_macs += layer.effective_macs;
        total.done_macs += layer.done_macs;
        total.backward_macs += layer.backward_macs;
        total.seconds += layer.seconds;
        total.backward_seconds += layer.backward_seconds;
    }
    return total;
}

std::string sparsity(const nn::LayerProfile& layer) {
    if (layer.params == 0) return "";
    return format("%.1f%%", 100 - 100 * static_cast<double>(layer.nonzeros) / static_cast<double>(layer.params));
}

// Of the model: what it is, how it was run, and what came out.
struct Report {
    const nn::Model& model;
    Shape input;
    int64_t batch;
    bool backward, integers;
    double peak;  // GFLOP/s, or GOP/s of integers
    nn::NetworkProfile profile;
    compress::SizeReport size;
};

// A model without zeros needs no columns for them.
void print_table(const Report& r) {
    const bool zeros = r.size.total().packed_bytes != r.size.total().dense_bytes;
    const auto bytes = [](int64_t number) { return number ? human_bytes(number) : ""; };
    const std::vector<int64_t> packed = packed_bytes(r.size, r.profile.layers);
    std::vector<std::string> header{"layer", "op", "output", "params", "MACs", "activation", "time", "of peak"};
    if (zeros) header.insert(header.begin() + 5, {"not zero", "sparsity", "effective", "done", "packed", "held"});
    if (r.backward) header.insert(header.end(), {"backward", "of peak"});
    header.push_back("kernel");
    TextTable table(header);
    const auto add = [&](const nn::LayerProfile& layer, int64_t packed_bytes, bool whole) {
        std::vector<std::string> row{layer.name,
                                     layer.op,
                                     whole ? "" : layer.output.str(),
                                     count(layer.params),
                                     count(layer.macs),
                                     whole ? "" : human_bytes(layer.activation_bytes),
                                     milliseconds(layer.seconds),
                                     percent(share_of(r.peak, layer.forward_flop(), layer.seconds))};
        if (zeros)
            row.insert(row.begin() + 5,
                       {layer.params ? with_commas(layer.nonzeros) : "", sparsity(layer), count(layer.effective_macs),
                        count(layer.done_macs), bytes(packed_bytes), bytes(layer.weight_bytes)});
        if (r.backward) {
            row.push_back(milliseconds(layer.backward_seconds));
            row.push_back(percent(share_of(r.peak, layer.backward_flop(), layer.backward_seconds)));
        }
        row.push_back(layer.kernel);
        table.add(row);
    };
    for (size_t i = 0; i < r.profile.layers.size(); ++i) add(r.profile.layers[i], packed[i], false);
    table.add_rule();
    add(sum_of(r.profile.layers), r.size.total().packed_bytes, true);
    std::printf("%s%s: %s parameters; input %s, batch %lld, %d thread%s at %.0f %s\n", table.str().c_str(),
                printable(r.model.architecture()).c_str(), with_commas(r.size.total().elements).c_str(),
                r.input.str().c_str(), static_cast<long long>(r.batch), threads(), threads() == 1 ? "" : "s", r.peak,
                r.integers ? "GOP/s of integers" : "GFLOP/s");
}

void print_memory(const nn::NetworkProfile& profile) {
    int64_t workspace = 0;
    const int64_t weights = sum_of(profile.layers).weight_bytes;
    std::string of;
    for (const nn::LayerProfile& layer : profile.layers)
        if (layer.workspace_bytes > workspace) workspace = layer.workspace_bytes, of = layer.name;
    std::string alive;
    for (const std::string& name : profile.alive) alive += (alive.empty() ? "" : ", ") + name;
    std::printf("memory: activations %s in one block (no plan needs less than %s)%s%s;\n"
                "        input %s, output %s%s%s%s%s%s%s\n",
                human_bytes(profile.plan.total).c_str(), human_bytes(profile.plan.lower_bound).c_str(),
                alive.empty() ? "" : ", fullest with ", printable(alive).c_str(),
                human_bytes(profile.input_bytes).c_str(), human_bytes(profile.output_bytes).c_str(),
                weights ? ", weights " : "", weights ? human_bytes(weights).c_str() : "",
                workspace ? ", a kernel's workspace up to " : "",
                workspace ? human_bytes(workspace).c_str() : "", workspace ? " in " : "", printable(of).c_str());
}

nlohmann::ordered_json json_of(const nn::LayerProfile& layer, int64_t packed, double peak, bool backward) {
    nlohmann::ordered_json out{{"name", layer.name},
                               {"op", layer.op},
                               {"output", std::vector<int64_t>(layer.output.begin(), layer.output.end())},
                               {"params", layer.params},
                               {"macs", layer.macs},
                               {"nonzeros", layer.nonzeros},
                               {"effective_macs", layer.effective_macs},
                               {"done_macs", layer.done_macs},
                               {"packed_bytes", packed},
                               {"weight_bytes", layer.weight_bytes},
                               {"activation_bytes", layer.activation_bytes},
                               {"workspace_bytes", layer.workspace_bytes},
                               {"seconds", layer.seconds},
                               {"of_peak", share_of(peak, layer.forward_flop(), layer.seconds) / 100},
                               {"kernel", layer.kernel}};
    if (backward) {
        out["backward_seconds"] = layer.backward_seconds;
        out["backward_of_peak"] = share_of(peak, layer.backward_flop(), layer.backward_seconds) / 100;
    }
    return out;
}

nlohmann::ordered_json json_of(const Report& r) {
    const nn::LayerProfile total = sum_of(r.profile.layers);
    const compress::SizeReport::Entry size = r.size.total();
    nlohmann::ordered_json out{{"model", r.model.architecture()}, {"batch", r.batch}, {"threads", threads()},
                               {"params", size.elements}, {"macs", total.macs}, {"nonzeros", size.nonzeros},
                               {"effective_macs", total.effective_macs}, {"done_macs", total.done_macs},
                               {"packed_bytes", size.packed_bytes}, {"weight_bytes", total.weight_bytes}};
    if (!r.backward) {
        const nn::NetworkProfile& p = r.profile;
        out["peak_activation_bytes"] = p.peak_activation_bytes();
        out["memory_plan"] = {{"total", p.plan.total}, {"lower_bound", p.plan.lower_bound}, {"input", p.input_bytes},
                              {"output", p.output_bytes}, {"alive_at_peak", p.alive}};
    }
    out[r.integers ? "peak_integer_gops" : "peak_gflops"] = r.peak;
    out["seconds"] = total.seconds;
    if (r.backward) out["backward_seconds"] = total.backward_seconds;
    const std::vector<int64_t> packed = packed_bytes(r.size, r.profile.layers);
    for (size_t i = 0; i < packed.size(); ++i)
        out["layers"].push_back(json_of(r.profile.layers[i], packed[i], r.peak, r.backward));
    return out;
}

void profile(ProfileOptions& o) {
    nn::ModelOptions usual;
    if (o.input != "auto") usual.input = parse_input(o.input);
    Saved saved;
    if (o.model.is_file()) saved = o.model.open();
    else saved.model = o.model.make(usual);
    const auto& [model, program] = saved;
    check(!program || !o.backward, "--backward: ", o.model.model, " is an integer program, which does not train");
    check(!program || o.input == "auto" || usual.input == model->input_shape(), "--input: ", o.model.model,
          " is an integer program for inputs ", model->input_shape());
    check(!o.smallest_weights || (!program && !o.backward),
          "--smallest-weights: expected a network in floats, without --backward");
    const auto peak = program ? peak_integer_gops : peak_gflops;
    Report r{.model = *model, .input = o.input == "auto" ? model->input_shape() : usual.input, .batch = o.batch,
             .backward = o.backward, .integers = program != nullptr, .peak = peak(), .profile = {},
             .size = program ? compress::measure_size(*program) : compress::measure_size(*model)};
    const Tensor x = nn::Model::example(o.batch, r.input);
    r.profile = o.backward ? nn::profile_training(*model, x, o.runs)
                : program  ? program->profile(x, o.runs)
                           : nn::profile(*model, x, o.runs,
                                         o.smallest_weights ? nn::InferenceWeights::smallest
                                                            : nn::InferenceWeights::fastest);
    r.peak = std::max(r.peak, peak());  // other programs may have had their share of one of them
    if (o.json) {
        std::printf("%s", json_line(json_of(r)).c_str());
        return;
    }
    print_table(r);
    if (!o.backward) print_memory(r.profile);
}

}  // namespace

void add_profile(CLI::App& app) {
    auto o = std::make_shared<ProfileOptions>();
    CLI::App& c = *app.add_subcommand("profile", "Show what runs, op by op: parameters, MACs, memory, time, share of "
                                                 "the machine's peak, kernel");
    o->model.add_to(c);
    c.add_option("--input", o->input, "Image size HxWxC, or a number of features; auto: the model's")
        ->capture_default_str();
    c.add_option("--batch", o->batch, "Images at a time")->check(PositiveNumber)->capture_default_str();
    c.add_flag("--smallest-weights", o->smallest_weights,
               "Hold weights that share a codebook as packed indices, in the fewest bytes");
    c.add_flag("--backward", o->backward, "A training step instead: forward in training mode, and backward");
    add_runs(c, o->runs);
    add_threads(c);
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { profile(*o); });
}

}  // namespace lathe::tools
