// GFLOP/s of every convolution of four networks, forward, input gradient and weight gradient, and the share of what
// this machine multiplies at most. Winograd may exceed 100%: the flops counted are those of the plain definition. Each
// pass by the algorithm that is chosen for it or, with --all, one line for every algorithm that suits.
//   build/conv-bench [--threads T] [--batch N] [--only SUBSTRING] [--all]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/memory.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/bench/seconds.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

// The best of several timings: the host of a virtual machine takes its share unseen.
template <class Body>
double best_time(const Body& body) {
    double best = 1e30;
    const double start = seconds();
    for (int i = 0; i < 3 || (i < 50 && seconds() - start < 0.3); ++i) {
        const double before = seconds();
        body();
        best = std::min(best, seconds() - before);
    }
    return best;
}

struct Array : AlignedArray<float> {
    explicit Array(int64_t n) : AlignedArray<float>(static_cast<size_t>(n)) { std::fill_n(data(), n, 0.5f); }
};

// Register tiles of matrix products with everything in the first-level cache.
double peak_gflops(int threads_used) {
    const int64_t m = 14 * 6 * 4, tasks = threads_used;
    std::vector<float> a(m * 256, 1e-3f), b(256 * kMaxPanelVectors * 16, 1e-3f);
    const PanelTable& kernels = table().panel;
    const double time = best_time([&] {
        parallel_tasks(tasks, [&](int64_t) {
            std::vector<float> c(static_cast<size_t>(m * kernels.columns));
            const int64_t no_runs[] = {0};
            Panel p{};
            p.runs = 1, p.length = 256, p.a = a.data(), p.a_row = 0, p.a_step = 1, p.a_run = no_runs;
            p.b_step = kernels.columns, p.c_row = kernels.columns, p.low = -1e30f, p.high = 1e30f;
            for (int j = 0; j < kernels.columns / kernels.lanes; ++j, ++p.vectors)
                p.b[j] = b.data() + j * kernels.lanes, p.c[j] = c.data() + j * kernels.lanes,
                p.width[j] = kernels.lanes;
            for (int i = 0; i < 40; ++i) kernels.multiply(m, p);
        });
    });
    return 2.0 * m * 256 * kernels.columns * 40 * static_cast<double>(tasks) / time * 1e-9;
}

struct Layer {
    const char* name;
    int64_t count, size, c, k, kernel, stride = 1, pad = -1, depthwise = 0;  // count: how often the network has it
};

const Layer kLayers[] = {
    {"vgg 3-64@32", 1, 32, 3, 64, 3},
    {"vgg 64-128@32", 1, 32, 64, 128, 3},
    {"vgg 128-256@16", 1, 16, 128, 256, 3},
    {"vgg 256-256@16", 1, 16, 256, 256, 3},
    {"vgg 256-512@8", 1, 8, 256, 512, 3},
    {"vgg 512-512@8", 1, 8, 512, 512, 3},
    {"vgg 512-512@4", 2, 4, 512, 512, 3},
    {"resnet20 3-16@32", 1, 32, 3, 16, 3},
    {"resnet20 16-16@32", 6, 32, 16, 16, 3},
    {"resnet20 16-32@32/2", 1, 32, 16, 32, 3, 2},
    {"resnet20 32-32@16", 5, 16, 32, 32, 3},
    {"resnet20 32-64@16/2", 1, 16, 32, 64, 3, 2},
    {"resnet20 64-64@8", 5, 8, 64, 64, 3},
    {"lenet 1-6@28", 1, 28, 1, 6, 5},
    {"lenet 6-16@14", 1, 14, 6, 16, 5, 1, 0},
    {"mbv2 3-32@32", 1, 32, 3, 32, 3},
    {"mbv2 32-16@32", 1, 32, 32, 16, 1},
    {"mbv2 16-96@32", 1, 32, 16, 96, 1},
    {"mbv2 96-24@32", 1, 32, 96, 24, 1},
    {"mbv2 24-144@32", 2, 32, 24, 144, 1},
    {"mbv2 144-24@32", 1, 32, 144, 24, 1},
    {"mbv2 144-32@16", 1, 16, 144, 32, 1},
    {"mbv2 32-192@16", 3, 16, 32, 192, 1},
    {"mbv2 192-32@16", 2, 16, 192, 32, 1},
    {"mbv2 192-64@8", 1, 8, 192, 64, 1},
    {"mbv2 64-384@8", 4, 8, 64, 384, 1},
    {"mbv2 384-64@8", 3, 8, 384, 64, 1},
    {"mbv2 384-96@8", 1, 8, 384, 96, 1},
    {"mbv2 96-576@8", 3, 8, 96, 576, 1},
    {"mbv2 576-96@8", 2, 8, 576, 96, 1},
    {"mbv2 576-160@4", 1, 4, 576, 160, 1},
    {"mbv2 160-960@4", 3, 4, 160, 960, 1},
    {"mbv2 960-160@4", 2, 4, 960, 160, 1},
    {"mbv2 960-320@4", 1, 4, 960, 320, 1},
    {"mbv2 320-1280@4", 1, 4, 320, 1280, 1},
    {"mbv2 dw 32@32", 1, 32, 32, 32, 3, 1, -1, 1},
    {"mbv2 dw 96@32", 1, 32, 96, 96, 3, 1, -1, 1},
    {"mbv2 dw 144@32", 1, 32, 144, 144, 3, 1, -1, 1},
    {"mbv2 dw 144@32/2", 1, 32, 144, 144, 3, 2, -1, 1},
    {"mbv2 dw 192@16", 2, 16, 192, 192, 3, 1, -1, 1},
    {"mbv2 dw 192@16/2", 1, 16, 192, 192, 3, 2, -1, 1},
    {"mbv2 dw 384@8", 4, 8, 384, 384, 3, 1, -1, 1},
    {"mbv2 dw 576@8", 2, 8, 576, 576, 3, 1, -1, 1},
    {"mbv2 dw 576@8/2", 1, 8, 576, 576, 3, 2, -1, 1},
    {"mbv2 dw 960@4", 3, 4, 960, 960, 3, 1, -1, 1},
};

constexpr Conv2dPass kPasses[] = {Conv2dPass::forward, Conv2dPass::backward_input, Conv2dPass::backward_weight};

}  // namespace

int main(int argc, char** argv) {
    int64_t batch = 128;
    std::string only;
    bool every = false;
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "--all") every = true;
        if (i + 1 == argc || option == "--all") continue;
        if (option == "--threads") set_threads(std::atoi(argv[++i]));
        else if (option == "--batch") batch = std::atoll(argv[++i]);
        else if (option == "--only") only = argv[++i];
    }
    std::printf("%s, %d threads, batch %lld\n", name_of(active_isa()), threads(), static_cast<long long>(batch));
    std::printf("%-22s %31s %31s %31s  %s\n", "layer", "forward", "input gradient", "weight gradient", "peak");
    std::string network;
    double total = 0, total_flop = 0;
    const auto finish = [&] {
        if (total > 0)
            std::printf("%-22s %.1f ms a step, %.0f GFLOP/s, %.0f img/s\n\n", (network + " total").c_str(), total * 1e3,
                        total_flop / total * 1e-9, static_cast<double>(batch) / total);
        total = total_flop = 0;
    };
    for (const Layer& l : kLayers) {
        const std::string name = l.name;
        if (name.find(only) == std::string::npos) continue;
        if (name.substr(0, name.find(' ')) != network) finish();
        network = name.substr(0, name.find(' '));
        const int64_t pad = l.pad < 0 ? l.kernel / 2 : l.pad, out = (l.size + 2 * pad - l.kernel) / l.stride + 1;
        const Conv2dShape g{batch, l.size, l.size, l.c, out, out, l.k, l.kernel, l.kernel, l.stride, l.stride, pad, pad,
                            1, 1, l.depthwise ? l.c : 1};
        const int64_t x_size = batch * l.size * l.size * l.c, y_size = batch * out * out * l.k;
        const int64_t weight_size = l.k * l.kernel * l.kernel * l.c / g.groups;
        Array x(x_size), dx(x_size), y(y_size), dy(y_size), weight(weight_size), dweight(weight_size);
        const double peak = peak_gflops(threads()), flop = 2.0 * static_cast<double>(g.macs());
        const auto time_of = [&](const Conv2dAlgorithm& algorithm, Conv2dPass pass) {
            switch (pass) {
                case Conv2dPass::forward:
                    return best_time(
                        [&] { algorithm.forward(g, x.data(), weight.data(), {}, y.data()); });
                case Conv2dPass::backward_input:  // nobody asks for the gradient of an image
                    if (l.c <= 3) return 0.0;
                    return best_time([&] { algorithm.backward_input(g, dy.data(), weight.data(), dx.data()); });
                case Conv2dPass::backward_weight:
                    return best_time([&] { algorithm.backward_weight(g, x.data(), dy.data(), dweight.data()); });
            }
            return 0.0;
        };
        std::printf("%-22s", l.name);
        for (Conv2dPass pass : kPasses) {
            const Conv2dAlgorithm& algorithm = conv2d_algorithm(g, pass);
            const double time = time_of(algorithm, pass);
            if (time > 0)
                std::printf(" %-9s %7.2f ms %5.0f %3.0f%%", algorithm.name, time * 1e3, flop / time * 1e-9,
                            flop / time * 1e-7 / peak);
            else
                std::printf(" %31s", "-");
            total += time * static_cast<double>(l.count);
            total_flop += time > 0 ? flop * static_cast<double>(l.count) : 0;
        }
        std::printf("  %.0f\n", peak);
        for (const Conv2dAlgorithm& algorithm : conv2d_algorithms()) {
            if (!every) break;
            std::printf("%-22s", "");
            for (Conv2dPass pass : kPasses)
                if (const double time = algorithm.suits(g, pass) ? time_of(algorithm, pass) : 0; time > 0)
                    std::printf(" %-9s %7.2f ms %10s", algorithm.name, time * 1e3, "");
                else
                    std::printf(" %-9s %21s", algorithm.name, "-");
            std::printf("\n");
        }
    }
    finish();
}
