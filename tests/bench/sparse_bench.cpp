// Sparse convolutions beside dense ones, layer by layer: the time of each pattern and sparsity, its GFLOP/s on the
// weights that are not zero and how many times faster it is than the plain dense kernel (matrix products) and than the
// fastest (Winograd included). Weights are arranged beforehand, for both. The totals let every layer take the fastest
// of sparse and dense.
//   build/sparse-bench [--threads T] [--batch N] [--only SUBSTRING] [--sparsity S] [--pattern P]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/conv2d/direct.h"
#include "lathe/core/kernels/conv2d/im2col.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/measure/timing.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/bench/seconds.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

struct Layer {
    const char* name;
    int64_t count, size, c, k, kernel;  // count: how often the network has it
};

const Layer kLayers[] = {
    {"vgg 3-64@32", 1, 32, 3, 64, 3},       {"vgg 64-128@32", 1, 32, 64, 128, 3},
    {"vgg 128-256@16", 1, 16, 128, 256, 3}, {"vgg 256-256@16", 1, 16, 256, 256, 3},
    {"vgg 256-512@8", 1, 8, 256, 512, 3},   {"vgg 512-512@8", 1, 8, 512, 512, 3},
    {"vgg 512-512@4", 2, 4, 512, 512, 3},   {"mbv2 32-16@32", 1, 32, 32, 16, 1},
    {"mbv2 16-96@32", 1, 32, 16, 96, 1},    {"mbv2 96-24@32", 1, 32, 96, 24, 1},
    {"mbv2 24-144@32", 2, 32, 24, 144, 1},  {"mbv2 144-24@32", 1, 32, 144, 24, 1},
    {"mbv2 144-32@16", 1, 16, 144, 32, 1},  {"mbv2 32-192@16", 3, 16, 32, 192, 1},
    {"mbv2 192-32@16", 2, 16, 192, 32, 1},  {"mbv2 192-64@8", 1, 8, 192, 64, 1},
    {"mbv2 64-384@8", 4, 8, 64, 384, 1},    {"mbv2 384-64@8", 3, 8, 384, 64, 1},
    {"mbv2 384-96@8", 1, 8, 384, 96, 1},    {"mbv2 96-576@8", 3, 8, 96, 576, 1},
    {"mbv2 576-96@8", 2, 8, 576, 96, 1},    {"mbv2 576-160@4", 1, 4, 576, 160, 1},
    {"mbv2 160-960@4", 3, 4, 160, 960, 1},  {"mbv2 960-160@4", 2, 4, 960, 160, 1},
    {"mbv2 960-320@4", 1, 4, 960, 320, 1},  {"mbv2 320-1280@4", 1, 4, 320, 1280, 1},
};

struct Form {
    SparsePattern pattern;
    double sparsity;
};

const Form kForms[] = {
    {SparsePattern::unstructured, 0.5},  {SparsePattern::unstructured, 0.75}, {SparsePattern::unstructured, 0.9},
    {SparsePattern::unstructured, 0.95}, {SparsePattern::unstructured, 0.98}, {SparsePattern::two_of_four, 0.5},
    {SparsePattern::one_of_four, 0.75},  {SparsePattern::row_blocks, 0.9},    {SparsePattern::column_blocks, 0.9},
};

// The best of several runs of each, in turn: the host of a virtual machine takes its share unseen.
std::vector<double> best_times(const std::vector<const PreparedConv2d*>& layers, int64_t batch, const float* x,
                               float* y) {
    std::vector<double> best(layers.size(), 1e30);
    const double start = seconds();
    for (int i = 0; i < 4 || (i < 200 && seconds() - start < 0.02 * static_cast<double>(layers.size())); ++i)
        for (size_t f = 0; f < layers.size(); ++f) {
            const double before = seconds();
            layers[f]->forward(batch, x, {.low = 0}, y);
            best[f] = std::min(best[f], seconds() - before);
        }
    return best;
}

}  // namespace

int main(int argc, char** argv) {
    int64_t batch = 32;
    std::string only;
    double sparsity = 0;
    std::string pattern;
    for (int i = 1; i + 1 < argc; i += 2) {
        const std::string option = argv[i];
        if (option == "--threads") set_threads(std::atoi(argv[i + 1]));
        else if (option == "--batch") batch = std::atoll(argv[i + 1]);
        else if (option == "--only") only = argv[i + 1];
        else if (option == "--sparsity") sparsity = std::atof(argv[i + 1]);
        else if (option == "--pattern") pattern = argv[i + 1];
    }
    std::vector<Form> forms;
    for (const Form& form : kForms)
        if ((sparsity == 0 || form.sparsity == sparsity) && (pattern.empty() || pattern == name_of(form.pattern)))
            forms.push_back(form);

    std::printf("%s, %d threads, batch %lld\n", name_of(active_isa()), threads(), static_cast<long long>(batch));
    std::string network;
    std::vector<double> total(forms.size() + 2, 0);  // products, fastest dense, then every form
    const auto finish = [&] {
        if (total[0] > 0) {
            std::printf("%s total: matrix products %.3f ms, fastest dense %.3f ms\n", network.c_str(), total[0] * 1e3,
                        total[1] * 1e3);
            for (size_t f = 0; f < forms.size(); ++f)
                std::printf("    %-12s %2.0f%%  %9.3f ms  %5.2fx products  %5.2fx fastest dense\n",
                            name_of(forms[f].pattern), forms[f].sparsity * 100, total[f + 2] * 1e3,
                            total[0] / total[f + 2], total[1] / total[f + 2]);
        }
        std::fill(total.begin(), total.end(), 0.0);
    };
    for (const Layer& l : kLayers) {
        const std::string name = l.name;
        if (name.find(only) == std::string::npos) continue;
        if (name.substr(0, name.find(' ')) != network) finish();
        network = name.substr(0, name.find(' '));
        const Conv2dShape g{.batch = batch, .in_h = l.size, .in_w = l.size, .in_c = l.c, .out_h = l.size,
                            .out_w = l.size, .out_c = l.k, .kernel_h = l.kernel, .kernel_w = l.kernel,
                            .pad_top = l.kernel / 2, .pad_left = l.kernel / 2};
        const int64_t pixels = batch * l.size * l.size;
        std::vector<float> x(static_cast<size_t>(pixels * l.c), 0.5f), y(static_cast<size_t>(pixels * l.k));
        std::vector<std::unique_ptr<PreparedConv2d>> layers;
        const std::vector<float> dense = random_weights(g, SparsePattern::unstructured, 0);
        layers.push_back(l.kernel == 1      ? conv2d_prepare(g, dense.data())
                          : im2col::suits(g, Conv2dPass::forward) ? im2col::prepare(g, dense.data())
                                             : direct::prepare(g, dense.data()));
        layers.push_back(conv2d_prepare(g, dense.data()));
        std::vector<double> nonzeros;
        for (const Form& form : forms) {
            const bool pruned = l.c % 4 == 0;  // not the first layer
            const auto weight = pruned ? random_weights(g, form.pattern, form.sparsity) : dense;
            const auto zeros = std::count(weight.begin(), weight.end(), 0.0f);
            nonzeros.push_back(static_cast<double>(weight.size()) - static_cast<double>(zeros));
            layers.push_back(pruned ? sparse::prepare(g, weight.data(), form.pattern)
                                    : conv2d_prepare(g, weight.data()));
        }
        std::vector<const PreparedConv2d*> order;
        for (const auto& layer : layers) order.push_back(layer.get());
        const std::vector<double> times = best_times(order, batch, x.data(), y.data());
        std::printf("%-16s products %8.3f ms %4.0f GFLOP/s, %s %8.3f ms\n", l.name, times[0] * 1e3,
                    2e-9 * static_cast<double>(g.macs()) / times[0], conv2d_algorithm(g, Conv2dPass::forward).name,
                    times[1] * 1e3);
        for (size_t f = 0; f < forms.size(); ++f)
            std::printf("    %-12s %2.0f%%  %9.3f ms  %4.0f GFLOP/s  %5.2fx products  %5.2fx fastest dense\n",
                        name_of(forms[f].pattern), forms[f].sparsity * 100, times[f + 2] * 1e3,
                        2e-9 * nonzeros[f] * static_cast<double>(pixels) / times[f + 2], times[0] / times[f + 2],
                        times[1] / times[f + 2]);
        const double count = static_cast<double>(l.count);
        total[0] += times[0] * count;
        total[1] += std::min(times[0], times[1]) * count;
        for (size_t f = 0; f < forms.size(); ++f) total[f + 2] += std::min({times[f + 2], times[1], times[0]}) * count;
    }
    finish();
}
