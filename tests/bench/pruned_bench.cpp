// A pruned network beside the same network dense, both as nn::Inference runs them: random masks on fresh weights, the
// two in turns.
//   build/pruned-bench NET SPARSITY BATCH [THREADS=1] [SECONDS=3]
// Masks go on all convolutions, of mobilenetv2 on the 1x1 ones. Prints the least and the median time of each and their
// ratios, then the ops that run, with the least time of each.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/nn/run/inference.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tests/bench/seconds.h"

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

    const nn::Inference runs[] = {nn::Inference(*dense, x), nn::Inference(*pruned, x)};
    std::vector<double> times[2], ops(runs[1].graph().nodes.size(), 1e30);
    for (const double start = seconds(); times[0].size() < 5 || seconds() - start < length;) {
        for (int i : {0, 1}) {
            const double before = seconds();
            runs[i](x);
            times[i].push_back(seconds() - before);
        }
        const std::vector<nn::Inference::Cost> costs = runs[1].measure(x);
        for (size_t i = 0; i < ops.size(); ++i) ops[i] = std::min(ops[i], costs[i].seconds);
    }
    for (auto& series : times) std::sort(series.begin(), series.end());
    const auto at = [&](int i, double share) {
        return times[i][static_cast<size_t>(share * static_cast<double>(times[i].size() - 1))];
    };
    std::printf(
        "%s %.0f%%, batch %lld, %d threads: dense %.3f ms (median %.3f), pruned %.3f ms (median %.3f): %.2fx (medians "
        "%.2fx)\n",
        net.c_str(), sparsity * 100, static_cast<long long>(batch), threads(), at(0, 0) * 1e3, at(0, 0.5) * 1e3,
        at(1, 0) * 1e3, at(1, 0.5) * 1e3, at(0, 0) / at(1, 0), at(0, 0.5) / at(1, 0.5));
    for (size_t i = 0; i < ops.size(); ++i) {
        const GraphNode& node = runs[1].graph().nodes[i];
        const nn::Inference::Op& op = runs[1].ops()[i];
        if (op.runs)
            std::printf("  %-28s %-16s %-20s %9.1f us  %s\n", node.path.c_str(), node.op.name().c_str(),
                        node.shape.str().c_str(), ops[i] * 1e6, op.kernel.c_str());
    }
}
