#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "lathe/tools/training_data.h"

// The third lab's way from end to end, with nothing taken as given: a supernet is trained, its subnets are measured, a
// predictor learns from them, a search within limits finds one, which is cut out, trained with quantization and runs in
// integers alone.
namespace lathe::tools {

struct SmallSpaceOptions {
    std::string supernet, space = "ofa-mobilenet-cifar";
    TrainingDataOptions data;
    uint64_t split_seed = 0;  // of `supernet`
    int64_t epochs = 12, subnets = 100, qat = 3;

    SmallSpaceOptions() { data.data = "shapes"; }
    void add_to(CLI::App& app);
};

void walk_small_space(const SmallSpaceOptions& o, const std::string& out);

}  // namespace lathe::tools
