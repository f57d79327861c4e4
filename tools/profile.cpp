#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/nn/cost.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/model_options.h"
#include "lathe/tools/table.h"

namespace lathe::tools {

namespace {

struct ProfileOptions {
    ModelOptions model;
    std::string input = "auto";
    int runs = 20, threads = 0;
    bool json = false;
};

// The traced graph with each op's median time over several runs.
Graph timed_trace(nn::Module& module, const Tensor& x, int runs) {
    Graph graph = nn::trace(module, x);  // the first run only warms up
    std::vector<std::vector<double>> seconds(graph.nodes.size());
    for (int run = 0; run < runs; ++run) {
        const Graph again = nn::trace(module, x);
        for (size_t i = 0; i < seconds.size(); ++i) seconds[i].push_back(again.nodes[i].seconds);
    }
    for (size_t i = 0; i < seconds.size(); ++i) {
        std::nth_element(seconds[i].begin(), seconds[i].begin() + runs / 2, seconds[i].end());
        graph.nodes[i].seconds = seconds[i][static_cast<size_t>(runs / 2)];
    }
    return graph;
}

int64_t parameters_of(const Graph& graph, const GraphNode& node) {
    int64_t count = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i)
        if (const GraphNode* parameter = graph.parameter(node, i)) count += parameter->shape.numel();
    return count;
}

std::string kernel_of(const GraphNode& node) { return node.attributes.has("kernel") ? node.attributes.text("kernel") : ""; }

void profile(ProfileOptions& o) {
    if (o.threads > 0) set_threads(o.threads);
    nn::ModelOptions usual;
    if (o.input != "auto") usual.input = parse_input(o.input);
    const auto model = o.model.make(usual);
    const Shape in = o.input == "auto" ? model->input_shape() : usual.input;
    Tensor x({1, in[0], in[1], in[2]});
    Random random(0);
    float* pixels = x.mutable_data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) pixels[i] = static_cast<float>(random.normal());

    const Graph graph = timed_trace(*model, x, o.runs);
    const int64_t params = model->parameter_count(), peak = nn::peak_activation_bytes(graph);
    int64_t macs = 0;
    double seconds = 0;
    Table table({"layer", "op", "output", "params", "MACs", "activation", "time", "kernel"});
    nlohmann::ordered_json layers = nlohmann::ordered_json::array();
    for (const GraphNode& node : graph.nodes) {
        if (!node.is_op()) continue;
        const int64_t node_macs = nn::macs(graph, node), node_params = parameters_of(graph, node);
        const auto bytes = node.shape.numel() * static_cast<int64_t>(size_of(node.dtype));
        macs += node_macs;
        seconds += node.seconds;
        table.add({node.path, node.op, node.shape.str(), node_params ? with_commas(node_params) : "", node_macs ? with_commas(node_macs) : "",
                   human_bytes(bytes), format("%.3f ms", 1e3 * node.seconds), kernel_of(node)});
        layers.push_back({{"name", node.path}, {"op", node.op}, {"output", std::vector<int64_t>(node.shape.begin(), node.shape.end())},
                          {"params", node_params}, {"macs", node_macs}, {"activation_bytes", bytes}, {"seconds", node.seconds},
                          {"kernel", kernel_of(node)}});
    }
    if (o.json) {
        const nlohmann::ordered_json out{{"model", model->architecture()}, {"params", params}, {"macs", macs},
                                         {"peak_activation_bytes", peak}, {"seconds", seconds}, {"layers", layers}};
        std::printf("%s\n", out.dump().c_str());
        return;
    }
    table.add_rule();
    table.add({"total", "", "", with_commas(params), with_commas(macs), "", format("%.3f ms", 1e3 * seconds), ""});
    std::printf("%s%s, input %s, batch 1, %d thread%s: peak activation memory %s\n", table.str().c_str(), model->architecture().c_str(),
                in.str().c_str(), threads(), threads() == 1 ? "" : "s", human_bytes(peak).c_str());
}

}  // namespace

void add_profile(CLI::App& app) {
    auto o = std::make_shared<ProfileOptions>();
    CLI::App& c = *app.add_subcommand("profile", "Show parameters, MACs, memory and time of each layer");
    o->model.add_to(c);
    c.add_option("--input", o->input, "Image size HxWxC; auto: the model's")->capture_default_str();
    c.add_option("--runs", o->runs, "Times are medians over so many runs")->check(CLI::Range(1, 100000))->capture_default_str();
    c.add_option("--threads", o->threads, "0: OMP_NUM_THREADS, else all cores")->check(CLI::Range(0, 4096))->capture_default_str();
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { profile(*o); });
}

}  // namespace lathe::tools
