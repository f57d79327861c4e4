// A pruned network beside the same network dense, both as nn::Inference runs them and as integer programs: random masks
// on fresh weights, the four in turns.
//   build/pruned-bench NET SPARSITY BATCH [THREADS=1] [SECONDS=3]
// Masks go on all convolutions, of mobilenetv2 on the 1x1 ones. Prints the least and the median time of each and their
// ratios, then the ops that run, with the least time of each; of integer programs those that are layers.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <functional>
#include <string>
#include <vector>

#include "lathe/compress/integer/lower.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/nn/run/inference.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/bench/seconds.h"
#include "lathe/tests/compress/integer/prepared.h"

using namespace lathe;

namespace {

void prune(nn::Model& model, bool pointwise_only, double sparsity) {
    Random random(3);
    for (auto& [name, parameter] : model.named_parameters()) {
        const Shape& shape = parameter->shape();
        if (shape.rank() != 4 || (pointwise_only && shape[1] != 1)) continue;
        Tensor mask(shape, DType::u8);
        for (int64_t i = 0; i < mask.numel(); ++i) mask.mutable_data<uint8_t>()[i] = random.uniform() >= sparsity;
        parameter->add_transform(std::make_unique<nn::Mask>(mask));
    }
}

compress::IntegerProgram program_of(nn::Model& model) {
    model.eval();
    return {compress::lower_to_integer(testing::Preparation(model, model.example(4)).run()), nn::description_of(model)};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::cerr << "usage: pruned-bench NET SPARSITY BATCH [THREADS] [SECONDS]\n";
        return 2;
    }
    const std::string net = argv[1];
    const double sparsity = std::atof(argv[2]), length = argc > 5 ? std::atof(argv[5]) : 3;
    const int64_t batch = std::atoll(argv[3]);
    set_threads(argc > 4 ? std::atoi(argv[4]) : 1);
    seed(1);
    nn::ModelOptions options;
    if (net == "mobilenetv2") options.input = {32, 32, 3}, options.classes = 10;
    const auto dense = nn::make_model(net, options), pruned = nn::make_model(net, options);
    prune(*pruned, net == "mobilenetv2", sparsity);
    Tensor x({batch, dense->input_shape()[0], dense->input_shape()[1], dense->input_shape()[2]});
    Random random(0);
    for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data<float>()[i] = static_cast<float>(random.normal());

    const nn::Inference inference[] = {nn::Inference(*dense, x), nn::Inference(*pruned, x)};
    const compress::IntegerProgram programs[] = {program_of(*dense), program_of(*pruned)};
    const std::function<void()> runs[] = {[&] { inference[0](x); }, [&] { inference[1](x); }, [&] { programs[0](x); },
                                          [&] { programs[1](x); }};
    std::array<std::vector<double>, 4> times;
    std::vector<double> ops(inference[1].graph().nodes.size(), 1e30);
    for (const double start = seconds(); times[0].size() < 5 || seconds() - start < length;) {
        for (size_t i = 0; i < times.size(); ++i) {
            const double before = seconds();
            runs[i]();
            times[i].push_back(seconds() - before);
        }
        const std::vector<nn::Inference::Cost> costs = inference[1].measure(x);
        for (size_t i = 0; i < ops.size(); ++i) ops[i] = std::min(ops[i], costs[i].seconds);
    }
    for (auto& series : times) std::sort(series.begin(), series.end());
    const auto at = [&](size_t i, double share) {
        return times[i][static_cast<size_t>(share * static_cast<double>(times[i].size() - 1))];
    };
    std::printf("%s %.0f%%, batch %lld, %d threads\n", net.c_str(), sparsity * 100, static_cast<long long>(batch),
                threads());
    for (const size_t i : {0, 2})
        std::printf(
            "%s: dense %.3f ms (median %.3f), pruned %.3f ms (median %.3f): %.2fx (medians %.2fx)\n",
            i ? "int8" : "float", at(i, 0) * 1e3, at(i, 0.5) * 1e3, at(i + 1, 0) * 1e3, at(i + 1, 0.5) * 1e3,
            at(i, 0) / at(i + 1, 0), at(i, 0.5) / at(i + 1, 0.5));
    for (size_t i = 0; i < ops.size(); ++i) {
        const GraphNode& node = inference[1].graph().nodes[i];
        const nn::Inference::Op& op = inference[1].ops()[i];
        if (op.runs)
            std::printf("  %-28s %-16s %-20s %9.1f us  %s\n", node.path.c_str(), node.op.name().c_str(),
                        node.shape.str().c_str(), ops[i] * 1e6, op.kernel.c_str());
    }
    for (const nn::LayerProfile& layer : programs[1].profile(x).layers)
        if (!layer.kernel.empty())
            std::printf("  %-28s %-16s %-20s %9.1f us  %s\n", layer.name.c_str(), layer.op.c_str(),
                        layer.output.str().c_str(), layer.seconds * 1e6, layer.kernel.c_str());
}
