#include "lathe/optim/checkpoint.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lathe/core/files/file.h"
#include "lathe/core/files/json.inc"
#include "lathe/core/files/safetensors.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/model_file.h"

namespace lathe::optim {

namespace {

using nlohmann::json;

// A checkpoint is a model's file with these on top:
//   optim.state.WEIGHT.SLOT   the optimizer's slots, arranged as in memory
//   optim.average.NAME        the averaged weights and buffers
//   optim.history             f64 [finished epochs, columns]
// and metadata, as JSON: the settings of the run, the unfinished epoch, how often each parameter was updated, and the
// metrics of the history's columns.
constexpr const char* kTraining = "lathe.training";
constexpr const char *kState = "optim.state.", *kAverage = "optim.average.", *kHistory = "optim.history";

// An epoch as a row of numbers: the results' by name, then these.
constexpr std::pair<const char*, double EpochReport::*> kColumns[] = {
    {"lr", &EpochReport::lr},
    {"seconds", &EpochReport::seconds},
    {"examples_per_second", &EpochReport::examples_per_second},
    {"wait", &EpochReport::wait},
};
constexpr std::pair<const char*, Result EpochReport::*> kResults[] = {
    {"train", &EpochReport::train},
    {"validation", &EpochReport::validation},
};

// Calls f(name, number) for every column; the epoch has the metrics that there are.
template <class Epoch, class F>
void for_each_column(Epoch& epoch, F&& f) {
    for (const auto& [part, result] : kResults) {
        f(std::string(part) + "_loss", (epoch.*result).loss);
        for (auto& metric : (epoch.*result).metrics) f(part + ("_" + metric.name), metric.value);
    }
    for (const auto& [name, value] : kColumns) f(name, epoch.*value);
}

size_t columns(const EpochReport& epoch) {
    size_t count = 0;
    for_each_column(epoch, [&](const std::string&, double) { ++count; });
    return count;
}

void check_finite(const std::string& path, const std::string& name, const Tensor& values) {
    with_float(values, [&](auto zero) {
        const auto* value = values.data<decltype(zero)>();
        int64_t finite = 0;
        for (int64_t i = 0; i < values.numel(); ++i) finite += std::isfinite(value[i]);
        check(finite == values.numel(), path, ": not written, since ", values.numel() - finite, " elements of '", name,
              "' are not finite");
    });
}

TensorFile weights_file(nn::Module& module) {
    if (auto* model = dynamic_cast<nn::Model*>(&module)) return nn::to_file(*model);
    return {.tensors = module.state(), .metadata = {}};
}

void load_weights_file(nn::Module& module, const TensorFile& file) {
    if (auto* model = dynamic_cast<nn::Model*>(&module)) return nn::load_weights(*model, file, "");
    std::map<std::string, Tensor> weights = file.tensors;
    std::erase_if(weights, [](const auto& item) { return item.first.starts_with("optim."); });
    module.load_state(weights);
}

Tensor history_tensor(const std::vector<EpochReport>& epochs) {
    Tensor history({static_cast<int64_t>(epochs.size()), static_cast<int64_t>(columns(epochs.front()))}, DType::f64);
    double* out = history.mutable_data<double>();
    for (const EpochReport& epoch : epochs)
        for_each_column(epoch, [&](const std::string&, double value) { *out++ = value; });
    return history;
}

// {"train": [["accuracy", "%"]], "validation": …}: what a row of the history says beyond kColumns and losses.
json metrics_of(const EpochReport& epoch) {
    json metrics = json::object();
    for (const auto& [part, result] : kResults) {
        metrics[part] = json::array();
        for (const Metric& metric : (epoch.*result).metrics) metrics[part].push_back({metric.name, metric.unit});
    }
    return metrics;
}

std::vector<EpochReport> read_history(const TensorFile& file, const json& metrics) {
    const auto found = file.tensors.find(kHistory);
    if (found == file.tensors.end()) return {};
    EpochReport row;
    for (const auto& [part, result] : kResults)
        for (const json& metric : metrics.at(part)) (row.*result).metrics.push_back({metric.at(0), 0, metric.at(1)});
    const Tensor& history = found->second;
    check(history.rank() == 2 && history.dim(1) == static_cast<int64_t>(columns(row)) && history.dtype() == DType::f64,
          kHistory, ": expected f64 [epochs, ", columns(row), "], got ", name_of(history.dtype()), " ",
          history.shape());
    std::vector<EpochReport> epochs(static_cast<size_t>(history.dim(0)), row);
    const double* in = history.data<double>();
    for (size_t i = 0; i < epochs.size(); ++i) {
        epochs[i].epoch = static_cast<int64_t>(i) + 1;
        for_each_column(epochs[i], [&](const std::string& name, double& value) {
            value = *in++;
            check(!std::isnan(value), kHistory, ": expected numbers, got nan as ", name, " of epoch ", i + 1);
        });
    }
    return epochs;
}

json to_json(const Progress& p) {
    return {{"batches", p.batches}, {"examples", p.train.examples}, {"loss", p.train.loss},
            {"sums", p.train.sums}, {"seconds", p.seconds},         {"waited", p.waited}};
}

Progress read_progress(const json& stored) {
    Progress p;
    stored.at("batches").get_to(p.batches);
    stored.at("examples").get_to(p.train.examples);
    stored.at("loss").get_to(p.train.loss);
    stored.at("sums").get_to(p.train.sums);
    stored.at("seconds").get_to(p.seconds);
    stored.at("waited").get_to(p.waited);
    return p;
}

void check_settings(const RunSettings& stored, const RunSettings& wanted) {
    for (const auto& [name, value] : wanted) {
        const auto found = stored.find(name);
        const bool data = name.ends_with("examples");
        check(found != stored.end() && found->second == value, "the run was begun with ", name, " ",
              found == stored.end() ? "unset" : found->second, ", cannot resume it with ", value,
              data ? ": put back what was added, removed or renamed since, or start a new run from these weights" : "");
    }
}

// The names of the optimizer's slots in a file.
std::vector<std::string> slots_in(const TensorFile& file) {
    std::vector<std::string> names;
    for (auto at = file.tensors.lower_bound(kState); at != file.tensors.end() && at->first.starts_with(kState); ++at)
        names.push_back(at->first);
    return names;
}

// Hands the parameters the slots that the file has for them.
void load_slots(nn::Module& module, const TensorFile& file, const std::map<std::string, int64_t>& updates,
                const std::vector<std::string>& written) {
    for (const std::string& name : written)
        check(file.tensors.contains(name), "expected the optimizer's state '", name, "', which is missing");
    size_t left = slots_in(file).size();
    for (const auto& [name, parameter] : module.named_parameters()) {
        const auto count = updates.find(name);
        parameter->updates() = count == updates.end() ? 0 : count->second;
        const std::string prefix = concatenated(kState, name, ".");
        for (auto at = file.tensors.lower_bound(prefix); at != file.tensors.end() && at->first.starts_with(prefix);
             ++at) {
            const std::string slot = at->first.substr(prefix.size());
            if (slot.find('.') != std::string::npos) continue;  // of a parameter whose name goes on
            check(at->second.shape() == parameter->shape() && at->second.dtype() == parameter->value().dtype(),
                  at->first, ": expected shape ", parameter->shape(), ", got ", at->second.shape());
            parameter->slots()[slot] = at->second.clone();
            --left;
        }
    }
    check(left == 0, "expected optimizer state of this model's parameters only, got ", left, " tensors more");
}

void load_averages(Ema& ema, const TensorFile& file) {
    std::map<std::string, Tensor> averages;
    for (const auto& [name, tensor] : file.tensors)
        if (name.starts_with(kAverage)) averages[name.substr(std::strlen(kAverage))] = tensor;
    ema.load_state(averages);
}

}  // namespace

void save_checkpoint(const std::string& path, nn::Module& module, const Ema* ema, const Progress& progress,
                     const RunSettings& settings) {
    TensorFile file = weights_file(module);
    json updates = json::object();
    for (const auto& [name, parameter] : module.named_parameters()) {
        check_finite(path, name, parameter->value());
        for (const auto& [slot, tensor] : parameter->slots())
            file.tensors[concatenated(kState, name, ".", slot)] = tensor;
        updates[name] = parameter->updates();
    }
    if (ema)
        for (const auto& [name, average] : ema->state()) file.tensors[kAverage + name] = average;
    json training{{"settings", settings},
                  {"progress", to_json(progress)},
                  {"updates", updates},
                  {"slots", slots_in(file)}};
    if (!progress.epochs.empty()) {
        file.tensors[kHistory] = history_tensor(progress.epochs);
        training["metrics"] = metrics_of(progress.epochs.front());
    }
    file.metadata[kTraining] = text_of(training);
    write_safetensors(path, file);
}

Progress load_checkpoint(const std::string& path, nn::Module& module, Ema* ema, const RunSettings& settings) {
    const TensorFile file = read_safetensors(path);
    const PathScope scope(path);
    const auto entry = file.metadata.find(kTraining);
    check(entry != file.metadata.end(), "expected a checkpoint, got a file without the state of a training run");
    try {
        const json training = parse_json(entry->second, kTraining);
        check_settings(training.at("settings").get<RunSettings>(), settings);
        Progress progress = read_progress(training.at("progress"));
        progress.epochs = read_history(file, training.value("metrics", json::object()));
        load_weights_file(module, file);
        load_slots(module, file, training.at("updates").get<std::map<std::string, int64_t>>(),
                   training.at("slots").get<std::vector<std::string>>());
        if (ema) load_averages(*ema, file);
        return progress;
    } catch (const json::exception&) {
        fail("expected the state of a training run in the metadata '", kTraining, "', got something else");
    }
}

void save_weights(const std::string& path, nn::Module& module) { write_safetensors(path, weights_file(module)); }

void write_log(const std::string& path, const std::vector<EpochReport>& epochs) {
    std::string names = "epoch", text;
    for_each_column(epochs.empty() ? EpochReport{} : epochs.front(), [&](std::string name, double) {
        std::replace(name.begin(), name.end(), ' ', '_');
        names += "," + name;
    });
    for (const EpochReport& epoch : epochs) {
        text += '\n' + std::to_string(epoch.epoch);
        for_each_column(epoch, [&](const std::string&, double value) { text += format(",%.6g", value); });
    }
    write_file_atomically(path, names + text + "\n");
}

}  // namespace lathe::optim
