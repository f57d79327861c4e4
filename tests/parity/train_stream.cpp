// Trains resnet20 on CIFAR-10 as `lathe train --model resnet20 --data cifar10 --lr 0.1 --momentum 0.9 --weight-decay
// 5e-4
// --lr-schedule cosine --validation 0` does, and writes every step to stdout for parity.py, which has PyTorch take the
// same one:
//   build/train-stream DATA_ROOT OUT EPOCHS FIRST SEED     (a run of EPOCHS, ended after the FIRST of them)
// OUT gets init.safetensors (the weights before the first step), log.csv and the checkpoints. The stream: one line of
// JSON, then for each step i32 N, f32 x [N, 32, 32, 3], i32 labels [N], f32 loss, f32 learning rate, in native byte
// order.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/random.h"
#include "lathe/data/cifar10.h"
#include "lathe/data/transforms.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/trainer.h"

using namespace lathe;

namespace {

void write(const void* bytes, size_t count) {
    check(std::fwrite(bytes, 1, count, stdout) == count, "train-stream: the reader has gone");
}
template <class T>
void write(T value) {
    write(&value, sizeof value);
}

void run(const std::string& root, const std::string& out, int64_t epochs, int64_t first, uint64_t seed) {
    lathe::seed(seed);
    const auto train = data::cifar10(root, data::Split::train).augmented(data::random_crop(32, 4), data::random_flip());
    const auto test = data::cifar10(root, data::Split::test);
    auto model = nn::make_model("resnet20");
    std::filesystem::create_directories(out);
    optim::save_weights(out + "/init.safetensors", *model);

    optim::FitOptions options;
    options.epochs = epochs;
    options.batch = 128;
    options.schedule = optim::cosine();
    options.seed = seed;
    options.out = out;
    const nlohmann::json header = {{"images", train.size()}, {"epochs", first}, {"mean", train.normalization().mean},
                                   {"std", train.normalization().std}, {"momentum", 0.9}, {"weight_decay", 5e-4}};
    const std::string line = header.dump() + "\n";
    write(line.data(), line.size());

    optim::Trainer trainer(*model, optim::sgd({.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4}));
    options.loss = [](const Variable& logits, const data::Batch& batch) {
        const Variable loss = ops::cross_entropy(logits, batch.target());
        write(static_cast<int32_t>(batch.target().numel()));
        write(batch.input().raw(), batch.input().bytes());
        write(batch.target().raw(), batch.target().bytes());
        write(static_cast<float>(loss.value().item()));
        return loss;
    };
    options.on_batch = [](const optim::BatchReport& report) {
        if (!report.validating) write(static_cast<float>(report.lr));
    };
    options.on_epoch = [&](const optim::EpochReport& report) {
        if (report.epoch == first && first < epochs) trainer.request_stop();
    };
    trainer.fit(train, test, options);
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 6) {
        std::cerr << "usage: train-stream DATA_ROOT OUT EPOCHS FIRST SEED\n";
        return 2;
    }
    run(argv[1], argv[2], std::stoll(argv[3]), std::stoll(argv[4]), std::stoull(argv[5]));
} catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
}
