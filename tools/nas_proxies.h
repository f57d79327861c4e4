#pragma once
#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/tools/data_options.h"

namespace lathe::tools {

// How alike something and the measured accuracies order networks.
struct Ordering {
    std::string by;  // "predictor", "macs", "parameters", or a proxy
    double kendall = 0, spearman = 0;
    double seconds = 0;  // that a proxy took for a network
};

// The options that compare zero-cost proxies with a predictor: --proxies, --images and those of the data.
struct ProxyOptions {
    int64_t networks = 0, images = 64;
    DataOptions data{};

    void add_to(CLI::App& command);

    // The images to work on, for networks of the space; none unless --proxies asks for it. Error: more networks than
    // rows held out, --proxies or --data without the other, or as DataOptions::open.
    std::optional<data::Dataset> open(const nas::Space& space, size_t held_out, uint64_t seed) const;
    // Of the first networks of the rows held out, which the report has in the same order.
    std::vector<Ordering> compare(const nas::Space& space, const nas::AccuracyTable& held_out,
                                  const nas::PredictorReport& report, const data::Dataset& sample, uint64_t seed,
                                  bool silent) const;
};

void add_proxy_images(CLI::App& command, int64_t& images);  // --images

std::string table_of(const std::vector<Ordering>& orderings);

}  // namespace lathe::tools
