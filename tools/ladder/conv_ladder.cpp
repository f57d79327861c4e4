// One convolution at six speeds: build/conv-ladder
//
// A rung is one idea. Each is measured beside the plain definition: its speed, what it gained over the rung above, and
// how far its results are from the plain ones. Weights are arranged beforehand wherever a network would do that once.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/portable.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/gemm/blas.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/parallel.h"
#include "lathe/core/random.h"
#include "lathe/core/shape.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

struct Options {
    int64_t channels = 64, outputs = 64, size = 16, batch = 32;
    int threads = 1;
    double sparsity = 0.9, seconds = 0.3;
};

using Values = std::vector<float>;

Values random_values(int64_t count, Random& random) {
    Values values(static_cast<size_t>(count));
    for (float& value : values) value = static_cast<float>(random.normal());
    return values;
}

// The images as a matrix of patches [N P Q, R S C], so that a convolution is a matrix product with the weights
// [K, R S C]: y [N P Q, K] = patches W^T.
void write_patches(const Conv2dShape& g, const float* x, float* patches) {
    const int64_t depth = g.kernel_h * g.kernel_w * g.in_c;
    parallel_for(g.batch * g.out_h, 1, [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row)
            for (int64_t q = 0; q < g.out_w; ++q) {
                float* patch = patches + (row * g.out_w + q) * depth;
                std::fill_n(patch, depth, 0.0f);
                portable::for_each_tap(g, row % g.out_h, q, [&](int64_t h, int64_t w, int64_t r, int64_t s) {
                    const float* pixel = x + ((row / g.out_h * g.in_h + h) * g.in_w + w) * g.in_c;
                    std::copy_n(pixel, g.in_c, patch + (r * g.kernel_w + s) * g.in_c);
                });
            }
    });
}

// C [m, n] = A [m, k] B^T [k, n] by OpenBLAS, in blocks of rows.
void multiply(int64_t m, int64_t n, int64_t k, const float* a, const float* b, float* c) {
    parallel_for(m, 512, [&](int64_t begin, int64_t end) {
        blas::product(Trans::no, Trans::yes, end - begin, n, k, a + begin * k, k, b, k, c + begin * n, n, false);
    });
}

struct Rung {
    const char* name;
    const char* idea;                // what it changes
    std::function<void(float*)> run;  // writes y; none: the shape does not suit
    const Values* plain;             // the results of the definition
};

// The median time of a run after one to warm up, in seconds: at least three runs, and for `seconds` in all.
double median_seconds(const std::function<void()>& run, double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto since = [](Clock::time_point begin) {
        return std::chrono::duration<double>(Clock::now() - begin).count();
    };
    run();
    std::vector<double> times;
    for (const auto start = Clock::now(); times.size() < 3 || since(start) < seconds;) {
        const auto begin = Clock::now();
        run();
        times.push_back(since(begin));
    }
    std::nth_element(times.begin(), times.begin() + static_cast<int64_t>(times.size() / 2), times.end());
    return times[times.size() / 2];
}

double largest_difference(const Values& a, const Values& b) {
    double largest = 0;
    for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(double(a[i]) - double(b[i])));
    return largest;
}

// The row of that name in the one table of algorithms.
const Conv2dAlgorithm& algorithm(const std::string& name) {
    for (const Conv2dAlgorithm& row : conv2d_algorithms())
        if (row.name == name) return row;
    fail("no algorithm is called '", name, "'");
}

void climb(const Options& o) {
    set_threads(o.threads);
    const Conv2dShape g{.batch = o.batch, .in_h = o.size, .in_w = o.size, .in_c = o.channels, .out_h = o.size,
                        .out_w = o.size, .out_c = o.outputs, .kernel_h = 3, .kernel_w = 3, .pad_top = 1, .pad_left = 1};
    Random random(1);
    const int64_t depth = 9 * o.channels, pixels = o.batch * o.size * o.size;
    const Values x = random_values(pixels * o.channels, random), weight = random_values(g.weight_count(), random);
    Values sparse_weight = weight, patches(static_cast<size_t>(pixels * depth));
    for (float& value : sparse_weight)
        if (random.uniform() < o.sparsity) value = 0;
    Values y(static_cast<size_t>(pixels * o.outputs)), plain = y, sparse_plain = y;
    portable::conv2d_forward<float>(g, x.data(), sparse_weight.data(), nullptr, sparse_plain.data());

    const auto prepared = [&](std::unique_ptr<PreparedConv2d> layer) {
        return [&g, &x, layer = std::shared_ptr<PreparedConv2d>(std::move(layer))](float* to) {
            layer->forward(g.batch, x.data(), {}, to);
        };
    };
    const auto row = [&](const char* name) { return prepared(algorithm(name).prepare(g, weight.data())); };
    const bool winograd = algorithm("winograd4").suits(g, Conv2dPass::forward);
    const Rung rungs[] = {
        {"plain", "seven loops; every sum waits for the one before it",
         [&](float* to) { portable::conv2d_forward<float>(g, x.data(), weight.data(), nullptr, to); }, &plain},
        {"im2col", "patches are written out, then one matrix product (OpenBLAS)",
         [&](float* to) {
             write_patches(g, x.data(), patches.data());
             multiply(pixels, o.outputs, depth, patches.data(), weight.data(), to);
         }, &plain},
        {"panel", "patches are read in place, weights are packed once", row("direct"), &plain},
        {"winograd", "4x4 results of a 3x3 kernel from 36 products, not 144",
         winograd ? std::function<void(float*)>(row("winograd4")) : nullptr, &plain},
        {"images", "a lane an image: vectors stay full with few channels (--outputs 6)", row("images"), &plain},
        {"sparse", "a lane a tile, and weights of zero are never met",
         prepared(sparse::prepare(g, sparse_weight.data())), &sparse_plain},
    };

    std::printf("3x3 convolution %s to %s channels, %s kernels, %s, sparse at %.0f%% zeros\n",
                Shape{g.batch, g.in_h, g.in_w, g.in_c}.str().c_str(), with_commas(g.out_c).c_str(),
                name_of(active_isa()), threads() == 1 ? "1 thread" : format("%d threads", threads()).c_str(),
                100 * o.sparsity);
    TextTable table({"rung", "GFLOP/s", "x above", "difference", "what changes"});
    double above = 0;
    for (const Rung& rung : rungs) {
        if (!rung.run) {
            table.add({rung.name, "-", "-", "-", "(for 16 channels and more, and maps that 4x4 tiles cover well)"});
            continue;
        }
        const double seconds = median_seconds([&] { rung.run(y.data()); }, o.seconds);
        if (!above) plain = y;
        table.add({rung.name, format("%.1f", 2e-9 * static_cast<double>(g.macs()) / seconds),
                   above ? format("%.2f", above / seconds) : "", format("%.1e", largest_difference(y, *rung.plain)),
                   rung.idea});
        above = seconds;
    }
    std::printf("%sGFLOP/s count the multiplications and additions of the plain definition, zeros too.\n",
                table.str().c_str());
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app("One convolution at six speeds, a line a rung: what one idea each brings", "conv-ladder");
    const auto count = [&](const char* name, int64_t& value, const char* help) {
        app.add_option(name, value, help)->check(CLI::Range(1, 1024))->capture_default_str();
    };
    count("--channels", o.channels, "Of the images");
    count("--outputs", o.outputs, "Channels of the result");
    count("--size", o.size, "Pixels along a side of the images");
    count("--batch", o.batch, "Images");
    app.add_option("--threads", o.threads, "One shows what the kernels do alone")
        ->check(CLI::Range(1, 4096))
        ->capture_default_str();
    app.add_option("--sparsity", o.sparsity, "Share of zeros on the last rung")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    app.add_option("--seconds", o.seconds, "That each rung is measured for")
        ->check(tools::NonNegativeNumber)
        ->capture_default_str();
    tools::check_words(app);
    CLI11_PARSE(app, argc, argv);
    try {
        climb(o);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "conv-ladder: %s\n", error.what());
        return 1;
    }
}
