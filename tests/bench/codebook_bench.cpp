// A network with codebooks on fresh weights, as nn::Inference runs it fastest and with the smallest weights, the two in
// turns.
//   build/codebook-bench NET BITS BATCH [THREADS=1] [SECONDS=3]
// Prints the bytes of weights that each holds, the least and the median time and their ratios; then of each layer the
// least times, bytes and kernels.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include "lathe/compress/quantize/codebook.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/inference.h"
#include "lathe/tests/bench/seconds.h"

using namespace lathe;

int main(int argc, char** argv) {
    if (argc < 4) {
        std::cerr << "usage: codebook-bench NET BITS BATCH [THREADS] [SECONDS]\n";
        return 2;
    }
    const std::string net = argv[1];
    const int bits = std::atoi(argv[2]);
    const int64_t batch = std::atoll(argv[3]);
    set_threads(argc > 4 ? std::atoi(argv[4]) : 1);
    const double length = argc > 5 ? std::atof(argv[5]) : 3;
    seed(1);
    const auto model = nn::make_model(net, {});
    compress::quantize_kmeans(*model, {.bits = bits});
    Tensor x = model->example(batch);
    Random random(0);
    for (int64_t i = 0; i < x.numel(); ++i) x.mutable_data<float>()[i] = static_cast<float>(random.normal());

    const nn::Inference runs[] = {nn::Inference(*model, x), nn::Inference(*model, x, nn::InferenceWeights::smallest)};
    const size_t nodes = runs[0].graph().nodes.size();
    std::vector<double> times[2], ops[2] = {std::vector<double>(nodes, 1e30), std::vector<double>(nodes, 1e30)};
    for (const double start = seconds(); times[0].size() < 5 || seconds() - start < length;)
        for (int i : {0, 1}) {
            const double before = seconds();
            runs[i](x);
            times[i].push_back(seconds() - before);
            const std::vector<nn::Inference::Cost> costs = runs[i].measure(x);
            for (size_t k = 0; k < nodes; ++k) ops[i][k] = std::min(ops[i][k], costs[k].seconds);
        }
    for (auto& series : times) std::sort(series.begin(), series.end());
    const auto at = [&](int i, double share) {
        return times[i][static_cast<size_t>(share * static_cast<double>(times[i].size() - 1))];
    };
    std::printf("%s, %d bits, batch %lld, %d threads: fastest %.2f MB %.3f ms (median %.3f), smallest %.2f MB %.3f ms "
                "(median %.3f): %.2fx (medians %.2fx)\n",
                net.c_str(), bits, static_cast<long long>(batch), threads(),
                static_cast<double>(runs[0].weight_bytes()) * 1e-6, at(0, 0) * 1e3, at(0, 0.5) * 1e3,
                static_cast<double>(runs[1].weight_bytes()) * 1e-6, at(1, 0) * 1e3, at(1, 0.5) * 1e3,
                at(0, 0) / at(1, 0), at(0, 0.5) / at(1, 0.5));
    for (size_t i = 0; i < nodes; ++i) {
        const GraphNode& node = runs[1].graph().nodes[i];
        const nn::Inference::Op &fast = runs[0].ops()[i], &small = runs[1].ops()[i];
        if (small.runs && !small.kernel.empty())
            std::printf("  %-24s %-18s %9.1f us %9.1f us  %10s %-14s %10s %s\n", node.path.c_str(),
                        node.shape.str().c_str(), ops[0][i] * 1e6, ops[1][i] * 1e6,
                        std::to_string(fast.weight_bytes).c_str(), fast.kernel.c_str(),
                        std::to_string(small.weight_bytes).c_str(), small.kernel.c_str());
    }
}
