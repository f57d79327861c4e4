#include "lathe/core/measure/timing.h"

#include <chrono>
#include <random>

#include "lathe/core/measure/median.h"

namespace lathe::kernels {

std::vector<float> random_weights(const Conv2dShape& g, SparsePattern pattern, double sparsity) {
    std::mt19937 engine(1);
    const int64_t row = g.kernel_h * g.kernel_w * (g.in_c / g.groups);
    std::vector<float> weight(static_cast<size_t>(g.out_c * row));
    const auto at = [&](int64_t i) -> float& { return weight[static_cast<size_t>(i)]; };
    const auto keep = [&] { return static_cast<float>(std::uniform_real_distribution<double>()(engine) >= sparsity); };
    for (int64_t i = 0; i < g.out_c * row; ++i) switch (pattern) {
        case SparsePattern::unstructured: at(i) = keep(); break;
        case SparsePattern::row_blocks: at(i) = i % 4 != 0 ? at(i - 1) : keep(); break;
        case SparsePattern::column_blocks: at(i) = i / row % 4 != 0 ? at(i - row) : keep(); break;
        case SparsePattern::one_of_four:
        case SparsePattern::two_of_four:
            if (i % 4 != 0) break;
            const int64_t first = static_cast<int64_t>(engine() % 4), step = 1 + static_cast<int64_t>(engine() % 3);
            at(i + first) = 1;
            if (pattern == SparsePattern::two_of_four) at(i + (first + step) % 4) = 1;
    }
    return weight;
}

std::vector<double> median_seconds(const std::vector<std::function<void()>>& works, double seconds) {
    using Clock = std::chrono::steady_clock;
    const auto since = [](Clock::time_point begin) {
        return std::chrono::duration<double>(Clock::now() - begin).count();
    };
    std::vector<std::vector<double>> times(works.size());
    const auto start = Clock::now();
    for (int turn = -1; turn < 3 || since(start) < seconds; ++turn)
        for (size_t i = 0; i < works.size(); ++i) {
            const auto begin = Clock::now();
            works[i]();
            if (turn >= 0) times[i].push_back(since(begin));
        }
    std::vector<double> medians;
    for (const std::vector<double>& all : times) medians.push_back(median(all));
    return medians;
}

std::vector<double> median_seconds(const std::vector<const PreparedConv2d*>& layers, const Conv2dShape& shape,
                                   double seconds) {
    const std::vector<float> x(static_cast<size_t>(shape.batch * shape.in_h * shape.in_w * shape.in_c), 0.5f);
    std::vector<float> y(static_cast<size_t>(shape.batch * shape.out_h * shape.out_w * shape.out_c));
    std::vector<std::function<void()>> works;
    for (const PreparedConv2d* layer : layers)
        works.emplace_back([&, layer] { layer->forward(shape.batch, x.data(), {.low = 0}, y.data()); });
    return median_seconds(works, seconds);
}

}  // namespace lathe::kernels
