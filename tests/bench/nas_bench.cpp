// How many subnets of mcunetv2 a search gets through: costs alone, then evolution with a predictor's answers.
//   build/nas-bench [THREADS=1]
#include <cstdio>
#include <cstdlib>

#include "lathe/core/text_table.h"
#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/search/evolution.h"
#include "lathe/tests/bench/seconds.h"

using namespace lathe;
using namespace lathe::nas;

int main(int argc, char** argv) {
    set_threads(argc > 1 ? std::atoi(argv[1]) : 1);
    Random random(1);
    std::vector<Arch> archs;
    for (int i = 0; i < 100000; ++i) archs.push_back(mcunetv2().sample(random));
    double begin = seconds(), macs = 0;
    for (const Arch& arch : archs) macs += static_cast<double>(efficiency(mcunetv2(), arch).macs);
    const double of_costs = seconds() - begin;
    std::printf("costs, 1 thread: %s subnets a second, of %.1f M MACs on average\n",
                with_commas(static_cast<int64_t>(1e5 / of_costs)).c_str(), macs * 1e-11);

    seed(1);
    const AccuracyPredictor predictor(mcunetv2(), mcunetv2().choices, 0.9);
    begin = seconds();
    const SearchResult found = evolve(
        mcunetv2(), [&](std::span<const Arch> few) { return predictor(few); },
        {{Quantity::lab_macs, 30'000'000}, {Quantity::peak_memory, 200 * 1024}}, {.iterations = 99});
    std::printf("evolution, %d threads: %s subnets scored in %.2f s\n", threads(), with_commas(found.scored).c_str(),
                seconds() - begin);
}
