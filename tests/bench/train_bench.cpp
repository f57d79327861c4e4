// Measures one network in one process, for bench.py:  build/train-bench train|recomputed|infer|int8|layers NET BATCH
// THREADS
//
// Prints {"params": …, "macs": …} once warm. Then, for each line on stdin with a number of seconds, runs steps for
// that long (at least one) and prints {"seconds": [a step…], "faults": [a step…], "peak_bytes": …,
// "peak_gops": …}. torch_worker.py and ort_worker.mjs speak the same. A training step is forward, cross entropy,
// backward and SGD with momentum and weight decay on fixed random data; `recomputed` is the same that recomputes
// activations. `int8` runs the network's integer program, loaded from a file: "load_seconds" is from opening it to the
// first result. `layers` prints for each line what a training step costs layer by layer and, as "bandwidth", what
// memory gives. NET is one of the zoo, `mlp`, or `tape`: ten ops on 1x8 tensors, to see what an op costs by itself.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/ops/sum.h"
#include "lathe/core/parallel.h"
#include "lathe/core/measure/peak.h"
#include "lathe/core/random.h"
#include "lathe/nn/run/recomputed.h"
#include "lathe/core/graph/cost.h"
#include "lathe/nn/run/inference.h"
#include "lathe/nn/layers/activation.h"
#include "lathe/nn/layers/flatten.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/run/profile.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/optimizer.h"
#include "lathe/tests/compress/integer/prepared.h"

using namespace lathe;
using nlohmann::json;

namespace {

std::unique_ptr<nn::Module> ten_ops() {
    auto net = std::make_unique<nn::Sequential>();
    for (int i = 0; i < 5; ++i) {
        net->add<nn::Linear>("linear" + std::to_string(i), {.in = 8, .out = 8});
        net->add<nn::ReLU>("relu" + std::to_string(i));
    }
    return net;
}

std::unique_ptr<nn::Module> mlp() {
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::Flatten>("flatten");
    net->add<nn::Linear>("fc1", {.in = 784, .out = 128});
    net->add<nn::ReLU>("relu1");
    net->add<nn::Linear>("fc2", {.in = 128, .out = 64});
    net->add<nn::ReLU>("relu2");
    net->add<nn::Linear>("fc3", {.in = 64, .out = 10});
    return net;
}

struct Subject {
    std::unique_ptr<nn::Module> net;
    Tensor x, labels;
};

std::unique_ptr<nn::Model> of_zoo(const std::string& net) {
    nn::ModelOptions options;
    if (net == "mobilenetv2") options.input = {32, 32, 3}, options.classes = 10;
    return nn::make_model(net, options);
}

Subject make_subject(const std::string& net, int64_t batch) {
    Subject subject;
    Shape shape{batch, 8};
    if (net == "tape") {
        subject.net = ten_ops();
    } else if (net == "mlp") {
        subject.net = mlp();
        shape = Shape{batch, 28, 28, 1};
    } else {
        auto model = of_zoo(net);
        shape = Shape{batch, model->input_shape()[0], model->input_shape()[1], model->input_shape()[2]};
        subject.net = std::move(model);
    }
    Random random(0);
    subject.x = Tensor(shape);
    float* x = subject.x.mutable_data<float>();
    for (int64_t i = 0; i < subject.x.numel(); ++i) x[i] = static_cast<float>(random.normal());
    subject.labels = Tensor({batch}, DType::i32);
    int32_t* labels = subject.labels.mutable_data<int32_t>();
    for (int64_t i = 0; i < batch; ++i) labels[i] = static_cast<int32_t>(random.below(10));
    return subject;
}

std::function<void()> training_step(Subject& s, bool classify, bool recomputed) {
    std::shared_ptr<optim::Optimizer> sgd = optim::sgd({.lr = 1e-3, .momentum = 0.9, .weight_decay = 5e-4});
    const auto segments = recomputed ? std::make_shared<nn::Recomputed>(*s.net, s.x) : nullptr;
    return [&s, sgd, classify, segments] {
        s.net->zero_grad();
        const Variable logits = segments ? (*segments)(s.x) : (*s.net)(s.x);
        backward(classify ? ops::cross_entropy(logits, s.labels) : ops::sum(logits));
        sgd->step(*s.net);
    };
}

std::function<void()> inference_step(Subject& s) {
    const auto run = std::make_shared<const nn::Inference>(*s.net, s.x);
    return [&s, run] { (*run)(s.x); };
}

json facts(nn::Module& net, const Tensor& x) {
    return {{"params", net.parameter_count()}, {"macs", macs(nn::trace(net, x.rows(0, 1)))}};
}

double seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// In a process of its own, whose memory is not counted.
void elsewhere(const std::function<void()>& work) {
    const pid_t child = fork();
    if (child == 0) {
        work();
        std::_Exit(0);
    }
    int status = 0;
    check(child > 0 && waitpid(child, &status, 0) == child && status == 0,
          "expected a child process that makes the file and ends with 0, got ", status);
}

void save_program(const std::string& net, const std::string& path) {
    const auto model = of_zoo(net);
    model->eval();
    nn::Description about = nn::description_of(*model);
    about.metadata["facts"] = facts(*model, model->example()).dump();
    const Graph prepared = testing::Preparation(*model, model->example(4)).run();
    compress::save(compress::IntegerProgram(compress::lower_to_integer(prepared), about), path);
}

// hello: facts of the network, and how long its program took to load.
std::function<void()> integer_step(const std::string& net, int64_t batch, json& hello) {
    const std::string path = std::filesystem::temp_directory_path() / ("lathe-bench-" + std::to_string(getpid()));
    elsewhere([&] { save_program(net, path); });
    const double start = seconds();
    const auto program = compress::load_program(path);
    const double loaded = seconds();
    std::filesystem::remove(path);
    const Tensor x = nn::Model::example(batch, program->about().options.input);
    const double first = seconds();
    (*program)(x);
    const double load_seconds = loaded - start + seconds() - first;
    hello = json::parse(program->about().metadata.at("facts"));
    hello["load_seconds"] = load_seconds;
    return [program, x] { (*program)(x); };
}

int64_t page_faults() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

int64_t peak_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
    return 0;
}

// `peak` is the probe of what the step does most.
json run_block(const std::function<void()>& step, double length, double (*peak)()) {
    const double peak_gops = peak(), end = seconds() + length;
    std::vector<double> times;
    std::vector<int64_t> faults;
    while (times.empty() || seconds() < end) {
        const int64_t faults_before = page_faults();
        const double start = seconds();
        step();
        times.push_back(seconds() - start);
        faults.push_back(page_faults() - faults_before);
    }
    return {{"seconds", times}, {"faults", faults}, {"peak_bytes", peak_bytes()}, {"peak_gops", peak_gops}};
}

// Every layer's times, medians over as many steps as fit into the time given.
json profile_layers(Subject& s, double length) {
    const double start = seconds();
    nn::profile_training(*s.net, s.x, 1);
    const int runs = std::clamp(static_cast<int>(2 * length / (seconds() - start)), 3, 1000);
    const double peak = peak_gflops();
    const nn::NetworkProfile result = nn::profile_training(*s.net, s.x, runs);
    json out = {{"peak_gflops", std::max(peak, peak_gflops())}, {"bandwidth", peak_bandwidth()}};
    for (const nn::LayerProfile& layer : result.layers)
        out["layers"].push_back(
            {{"name", layer.name},
             {"op", layer.op},
             {"kernel", layer.kernel},
             {"output", layer.output.str()},
             {"forward", {{"seconds", layer.seconds}, {"flop", layer.forward_flop()}, {"bytes", layer.forward_bytes}}},
             {"backward",
              {{"seconds", layer.backward_seconds},
               {"flop", layer.backward_flop()},
               {"bytes", layer.backward_bytes}}}});
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string mode = argc == 5 ? argv[1] : "";
    if (mode != "train" && mode != "recomputed" && mode != "infer" && mode != "int8" && mode != "layers") {
        std::cerr << "usage: train-bench train|recomputed|infer|int8|layers NET BATCH THREADS\n";
        return 2;
    }
    const std::string net = argv[2];
    const int64_t batch = std::stoll(argv[3]);
    set_threads(std::stoi(argv[4]));
    Subject subject;
    json hello;
    std::function<void()> step;
    if (mode == "int8") {
        step = integer_step(net, batch, hello);
    } else {
        subject = make_subject(net, batch);
        hello = facts(*subject.net, subject.x);
        step = mode == "infer" ? inference_step(subject) : training_step(subject, net != "tape", mode == "recomputed");
    }
    hello["isa"] = kernels::name_of(kernels::active_isa());
    for (int i = 0; i < 3; ++i) step();
    std::cout << hello << std::endl;
    for (std::string line; std::getline(std::cin, line);) {
        const double length = std::stod(line);
        std::cout << (mode == "layers" ? profile_layers(subject, length)
                                       : run_block(step, length, mode == "int8" ? peak_integer_gops : peak_gflops))
                  << std::endl;
    }
}
