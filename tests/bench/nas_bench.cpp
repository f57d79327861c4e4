// How many subnets of mcunetv2 a search gets through: costs alone, then evolution with a predictor's answers. Then what
// a step of training a subnet costs within its supernet, against the same subnet as a network of its own.
//   build/nas-bench [THREADS=1]
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "lathe/core/measure/median.h"
#include "lathe/core/text_table.h"
#include "lathe/data/shapes.h"
#include "lathe/nas/elastic/space_supernet.h"
#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/search/evolution.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/bench/seconds.h"

using namespace lathe;
using namespace lathe::nas;

namespace {

// Of forward, backward and update on a batch of 64: the median of a few.
double seconds_of_step(nn::Module& net, int64_t side) {
    const auto optimizer = optim::sgd({.lr = 1e-3, .weight_decay = 5e-4});
    const Tensor x = nn::Model::example(64, {side, side, 3});
    std::vector<double> times;
    for (int i = 0; i < 9; ++i) {
        const double begin = seconds();
        const Variable y = net(x);
        backward(y, Tensor::full(y.shape(), 1e-3));
        optimizer->step(net);
        net.zero_grad();
        times.push_back(seconds() - begin);
    }
    return median(times);
}

void compare_steps(const Space& space) {
    SpaceSupernet net(space);
    net.calibrate_on(data::shapes(data::Split::train, {.count = 20}));
    Random random(1);
    std::vector<double> ratios;
    for (int i = 0; i < 20; ++i) {
        const Subnet subnet = i ? net.sample(random) : net.largest();
        const auto alone = net.extract(subnet);
        alone->train();
        const SubnetScope scope(net, subnet);
        const double own = seconds_of_step(*alone, net.active_image_size());
        ratios.push_back(seconds_of_step(net, net.active_image_size()) / own);
    }
    std::printf("%s: a step within the supernet takes %.2f times that of the subnet alone (%.2f to %.2f)\n",
                space.name.c_str(), median(ratios), *std::min_element(ratios.begin(), ratios.end()),
                *std::max_element(ratios.begin(), ratios.end()));
}

}  // namespace

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
    for (const Space* space : {&ofa_mobilenet_cifar(), &ofa_resnet_cifar()}) compare_steps(*space);
}
