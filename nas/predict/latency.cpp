#include "lathe/nas/predict/latency.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/core/ceil_div.h"
#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/files/json.h"
#include "lathe/core/measure/median.h"
#include "lathe/nas/predict/rank_correlation.h"
#include "lathe/nas/space/layers.h"
#include "lathe/nas/space/network.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/run/inference.h"

namespace lathe::nas {

namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* kFormat = "lathe latency table";
constexpr const char* kCall = "call";

std::unique_ptr<nn::Model> model_of(const Shape& input, int64_t classes, std::unique_ptr<nn::Sequential> net) {
    return std::make_unique<nn::Model>("part", nn::ModelOptions{.classes = classes, .input = input}, std::move(net));
}

// A network that does nothing but begin and end.
std::unique_ptr<nn::Model> call_model() {
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::GlobalAvgPool>("pool");
    return model_of({1, 1, 8}, 0, std::move(net));
}

// run(n): the seconds of n runs, one after the other.
Measurement measure_runs(const std::function<double(int64_t)>& run) {
    constexpr double kSample = 300e-6;  // seconds of a sample at least: the clock and what wakes up are small beside it
    constexpr int kSamples = 9;
    run(3);
    const double once = std::max(run(1), 1e-7);
    const int64_t runs = std::max<int64_t>(1, static_cast<int64_t>(kSample / once));
    std::vector<double> samples;
    for (int i = 0; i < kSamples; ++i) samples.push_back(run(runs) / static_cast<double>(runs));
    std::sort(samples.begin(), samples.end());
    constexpr size_t kQuarter = kSamples / 4;
    return {samples[kSamples / 2], samples[kSamples - 1 - kQuarter] - samples[kQuarter]};
}

}  // namespace

std::vector<Part> parts_of(const Space& space, const Arch& arch) {
    const Layers layers = layers_of(space, arch);
    const auto image = [](int64_t side, int64_t channels) {
        return concatenated(side, "x", side, "x", channels);
    };
    std::vector<Part> parts{{kCall, call_model}};
    int64_t side = layers.image_size;
    parts.push_back({concatenated("first ", image(side, 3), ", 3x3 by ", layers.first_stride, " to ", layers.first,
                                  layers.second ? concatenated(", to ", layers.second) : std::string()),
                     [layers] {
                         auto net = std::make_unique<nn::Sequential>();
                         add_first(*net, layers);
                         return model_of({layers.image_size, layers.image_size, 3}, 0, std::move(net));
                     }});
    side = ceil_div(side, layers.first_stride);
    for (const Block& block : layers.blocks) {
        parts.push_back({concatenated("block ", image(side, block.in), ", ", block.expanded, " inside, ", block.kernel,
                                      "x", block.kernel, " by ", block.stride, ", to ", block.out,
                                      block.squeezed ? concatenated(", squeezed to ", block.squeezed) : std::string()),
                         [kind = layers.kind, block, side] {
                             auto net = std::make_unique<nn::Sequential>();
                             add_block(*net, kind, block);
                             return model_of({side, side, block.in}, 0, std::move(net));
                         }});
        side = ceil_div(side, block.stride);
    }
    const int64_t in = layers.blocks.back().out;
    parts.push_back({concatenated("last ", image(side, in),
                                  layers.last ? concatenated(", to ", layers.last) : std::string(), ", ",
                                  layers.classes, " classes"),
                     [layers, side, in] {
                         auto net = std::make_unique<nn::Sequential>();
                         add_last(net->add<nn::Sequential>("features"), layers);
                         add_classifier(*net, layers, layers.classes);
                         return model_of({side, side, in}, layers.classes, std::move(net));
                     }});
    return parts;
}

std::vector<Part> distinct_parts(const Space& space) {
    std::vector<Part> found;
    std::set<std::string> keys;
    Arch arch = space.largest();  // at full depth, which has the blocks of every depth
    for (int wid : space.choices.wid)
        for (int size : space.choices.image_size)
            for (int kernel : space.choices.ks)
                for (int expansion : space.choices.e) {
                    arch.wid = wid, arch.image_size = size;
                    std::fill(arch.ks.begin(), arch.ks.end(), kernel);
                    std::fill(arch.e.begin(), arch.e.end(), expansion);
                    for (Part& part : parts_of(space, arch))
                        if (keys.insert(part.key).second) found.push_back(std::move(part));
                }
    return found;
}

Measurement measure_here(nn::Model& model) {
    model.eval();
    const Tensor x = model.example(1);
    const nn::Inference run(model, x);
    return measure_runs([&](int64_t runs) {
        const auto begin = Clock::now();
        for (int64_t i = 0; i < runs; ++i) run(x);
        return std::chrono::duration<double>(Clock::now() - begin).count();
    });
}

Measurement measure_integer_here(nn::Model& model) {
    constexpr int64_t kImages = 8;
    model.eval();
    Tensor images = model.example(kImages).clone();
    Random random(1);
    for (int64_t i = 0; i < images.numel(); ++i) images.mutable_data<float>()[i] = static_cast<float>(random.normal());
    const data::Dataset dataset({.name = "random images"}, {.inputs = {images}, .targets = {images}});
    const compress::IntegerProgram program =
        compress::lower_to_integer(*compress::prepare_quantization(model, dataset).model);
    compress::IntegerRun run(program, 1);
    std::vector<float> y(static_cast<size_t>(program(images.rows(0, 1)).numel()));
    return measure_runs([&](int64_t runs) {
        std::vector<double> seconds(program.net().graph.nodes.size(), 0.0);
        for (int64_t i = 0; i < runs; ++i) run(1, images.data<float>(), y.data(), &seconds);
        return std::accumulate(seconds.begin(), seconds.end(), 0.0);
    });
}

void LatencyTable::add(const Part& part, const Meter& meter) {
    if (parts_.contains(part.key)) return;
    const auto model = part.make();
    const Measurement taken = meter(*model);
    check(std::isfinite(taken.seconds) && taken.seconds > 0, "latency: expected a time above 0 s, got ", taken.seconds,
          " s for ", part.key);
    parts_[part.key] = taken;
}

double LatencyTable::seconds(const Arch& arch) const {
    const auto seconds_of = [&](const std::string& key) {
        const auto found = parts_.find(key);
        check(found != parts_.end(), "latency: the table of ", space_.name, " has no ", key);
        return found->second.seconds;
    };
    const double call = seconds_of(kCall);
    double total = call;
    for (const Part& part : parts_of(space_, arch))
        if (part.key != kCall) total += std::max(0.0, seconds_of(part.key) - call);
    return total;
}

void LatencyTable::save(const std::string& path) const {
    nlohmann::ordered_json parts = nlohmann::ordered_json::object();
    for (const auto& [key, taken] : parts_) parts[key] = {taken.seconds, taken.spread};
    const nlohmann::ordered_json all{
        {"format", kFormat}, {"space", space_.name}, {"meter", meter_}, {"parts", std::move(parts)}};
    write_file_atomically(path, all.dump(1) + "\n");
}

LatencyTable LatencyTable::load(const std::string& path) {
    const std::string contents = read_text_file(path);
    const nlohmann::json all = nlohmann::json::parse(checked_json(contents, path));
    const auto text = [&](const char* key) {
        const bool has = all.is_object() && all.contains(key) && all[key].is_string();
        return has ? all[key].get<std::string>() : std::string();
    };
    check(text("format") == kFormat && all.contains("parts") && all["parts"].is_object(), path,
          ": expected a table of `lathe nas measure`");
    LatencyTable table(space_named(text("space")), text("meter"));
    for (const auto& [key, taken] : all["parts"].items()) {
        check(taken.is_array() && taken.size() == 2 && taken[0].is_number() && taken[1].is_number() &&
                  taken[0].get<double>() > 0,
              path, ": expected [seconds, spread] for ", key);
        table.parts_[key] = {taken[0].get<double>(), taken[1].get<double>()};
    }
    return table;
}

LatencyCheck check_latency(const LatencyTable& table, const Space& space, const Meter& meter, int64_t networks,
                           uint64_t seed, const std::function<void(int64_t done)>& on_network) {
    check(networks >= 2, "latency: expected at least 2 networks to compare, got ", networks);
    LatencyCheck result;
    std::vector<double> errors;
    Random random(seed);
    for (int64_t i = 0; i < networks; ++i) {
        const Arch arch = space.sample(random);
        const auto model = network(space, arch);
        result.predicted.push_back(table.seconds(arch));
        result.measured.push_back(meter(*model).seconds);
        errors.push_back(std::abs(result.predicted.back() / result.measured.back() - 1));
        if (on_network) on_network(i + 1);
    }
    result.spearman = spearman(result.measured, result.predicted);
    result.median_error = median(errors);
    return result;
}

}  // namespace lathe::nas
