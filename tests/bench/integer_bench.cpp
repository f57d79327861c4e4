// integer-bench [THREADS [NET…]]: networks of the zoo as nn::Inference runs them in float32 and as integer programs,
// in turns: medians of milliseconds (seconds.h) for batches of 1 and 32. LATHE_CPU picks the instruction set.
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lathe/compress/integer/lower.h"
#include "lathe/core/measure/median.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/models/registry.h"
#include "lathe/nn/run/inference.h"
#include "lathe/tests/bench/seconds.h"
#include "lathe/tests/compress/integer/prepared.h"

using namespace lathe;

namespace {

constexpr int kRuns = 31;

void measure(const std::string& name, int64_t batch, int bits, TextTable& table) {
    const bool small = name == "mobilenetv2";  // on images of CIFAR-10; the others as they usually are
    const auto model = nn::make_model(name, {.classes = 10, .input = small ? Shape{32, 32, 3} : Shape{}});
    model->eval();
    const Tensor x = model->example(batch);
    const compress::IntegerProgram program(
        compress::lower_to_integer(testing::Preparation(*model, model->example(4), bits).run()),
        nn::description_of(*model));
    const nn::Inference inference(*model, x);
    std::vector<double> real, whole;
    for (int run = -3; run < kRuns; ++run) {
        const double start = seconds();
        inference(x);
        const double half = seconds();
        program(x);
        if (run >= 0) real.push_back(half - start), whole.push_back(seconds() - half);
    }
    const double f = median(real), q = median(whole);
    table.add({name, std::to_string(batch), std::to_string(bits), format("%.3f", 1e3 * f), format("%.3f", 1e3 * q),
               format("%.2f", f / q), human_bytes(program.memory_plan().total)});
}

}  // namespace

int main(int argc, char** argv) {
    if (argc > 1) set_threads(std::atoi(argv[1]));
    std::vector<std::string> nets(argv + std::min(argc, 2), argv + argc);
    if (nets.empty()) nets = {"vgg-cifar", "resnet20", "mobilenetv2", "mobilenetv1-025", "resnet8"};
    TextTable table({"network", "batch", "bits", "float ms", "integer ms", "ratio", "arena"});
    for (const int64_t batch : {1, 32})
        for (const std::string& name : nets) measure(name, batch, 8, table);
    for (const std::string& name : nets) measure(name, 1, 4, table);
    std::printf("%s%d thread%s\n", table.str().c_str(), threads(), threads() == 1 ? "" : "s");
}
