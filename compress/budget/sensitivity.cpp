#include "lathe/compress/budget/sensitivity.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <optional>
#include <string_view>

#include "lathe/compress/quantize/codebook.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/files/file.h"
#include "lathe/core/files/json.inc"
#include "lathe/core/fnv1a.h"
#include "lathe/core/ops/cross_entropy.h"
#include "lathe/core/text_table.h"
#include "lathe/data/loader.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/run/graph_runner.h"
#include "lathe/nn/snapshot.h"
#include "lathe/optim/evaluate.h"

namespace lathe::compress {

namespace {

using Json = nlohmann::ordered_json;

constexpr EnumNames<FewBits, 3> kFewBits{"quantization of weights", {
    {FewBits::codebook, "codebook"},
    {FewBits::channel_scales, "channel_scales"},
    {FewBits::one_scale, "one_scale"},
}};

// What is tried on a layer.
struct Setting {
    double sparsity;
    int bits;
    Tensor mask;
    std::function<Tensor(const Tensor& masked)> quantized;  // empty: the weights stay as they are
};

struct Subject {
    std::string name;
    nn::Parameter* parameter;
    std::vector<Setting> settings{};

    nn::Mask& mask() const { return *parameter->find_transform<nn::Mask>(); }
    Tensor masked() const {  // before any quantizer
        nn::Box box(parameter->shape());
        return mask().apply(Variable(parameter->value()), box).value();
    }
    Tensor weight(const Setting& setting) const {
        mask().set_mask(setting.mask);
        return setting.quantized ? setting.quantized(masked()) : parameter->effective().value();
    }
};

// A pruner that is asked for masks and importances only; which sparsity it would prune to does not matter.
WeightPruner make_pruner(nn::Module& module, const ScanOptions& o) {
    const bool by_pattern = o.pattern.kind == Pattern::n_of_m;
    return {module, {.sparsity = by_pattern ? 0 : 0.5,
                     .pattern = o.pattern,
                     .only = o.only,
                     .skip = o.skip,
                     .importance = o.importance}};
}

std::vector<int> widths_of(const ScanOptions& o) { return o.bits.empty() ? std::vector<int>{kFloatBits} : o.bits; }

// These add the setting of a width to every subject, at the mask that it has.
void add_float(std::vector<Subject>& subjects, double sparsity) {
    for (Subject& subject : subjects)
        subject.settings.push_back({sparsity, kFloatBits, subject.mask().mask(), {}});
}

void add_codebooks(nn::Module& module, std::vector<Subject>& subjects, double sparsity, int bits) {
    const nn::SnapshotScope restore(module);
    CodebookOptions options{.bits = bits};
    for (const Subject& subject : subjects) options.only.push_back(subject.name);
    quantize_kmeans(module, options);
    for (Subject& subject : subjects) {
        const auto* codebook = subject.parameter->find_transform<nn::Codebook>();
        subject.settings.push_back({sparsity, bits, subject.mask().mask(),
                                    [indices = codebook->indices(), entries = codebook->entries()](const Tensor& w) {
                                        return nn::look_up(Variable(w), Variable(entries), indices,
                                                           nn::Codebook::Gradient::mean).value();
                                    }});
    }
}

void add_grids(std::vector<Subject>& subjects, double sparsity, int bits, bool per_channel) {
    for (Subject& subject : subjects) {
        check(!subject.parameter->find_transform<nn::Codebook>(), "scan: expected '", subject.name,
              "' without a codebook");
        subject.settings.push_back({sparsity, bits, subject.mask().mask(),
                                    [grid = weight_grid(subject.masked(), bits, per_channel)](const Tensor& w) {
                                        return on_grid(w, grid);
                                    }});
    }
}

std::vector<Subject> make_subjects(nn::Module& module, WeightPruner& pruner, const ScanOptions& o) {
    std::vector<Subject> subjects;
    for (const auto& [name, parameter] : pruner.parameters()) subjects.push_back({name, parameter});
    const std::vector<Tensor> importances = pruner.importances();
    const NoGrad no_grad;
    for (double sparsity : o.sparsities) {
        for (size_t i = 0; i < subjects.size(); ++i) {
            const PathScope scope(subjects[i].name);
            subjects[i].mask().set_mask(make_mask(importances[i], sparsity, o.pattern));
        }
        for (int bits : widths_of(o))
            if (bits == kFloatBits) add_float(subjects, sparsity);
            else if (o.few_bits == FewBits::codebook) add_codebooks(module, subjects, sparsity, bits);
            else add_grids(subjects, sparsity, bits, o.few_bits == FewBits::channel_scales);
    }
    return subjects;
}

void add(Sensitivity::Point& to, const Tensor& logits, const Tensor& labels, int64_t images) {
    const std::vector<int64_t> predicted = optim::predictions(logits);
    int64_t correct = 0;
    for (size_t i = 0; i < predicted.size(); ++i) correct += predicted[i] == labels.data<int32_t>()[i];
    const auto share = static_cast<double>(predicted.size()) / static_cast<double>(images);
    to.accuracy += 100.0 * static_cast<double>(correct) / static_cast<double>(images);
    to.loss += share * ops::cross_entropy(logits, labels).value().item();
}

std::string_view bytes_of(const Tensor& tensor) {
    return {static_cast<const char*>(static_cast<const void*>(tensor.raw())), tensor.bytes()};
}

// All that the results follow from.
std::string fingerprint(nn::Module& module, const data::Dataset& images, const ScanOptions& o) {
    uint64_t hash = fnv1a("");
    for (const auto& [name, tensor] : module.state()) hash = fnv1a(bytes_of(tensor), fnv1a(name, hash));
    const data::Batch first = images.batch({0, images.size() / 2, images.size() - 1});
    hash = fnv1a(bytes_of(first.input()), fnv1a(bytes_of(first.target()), hash));
    std::string text = concatenated(hash, " ", images.size(), " ", o.pattern.str(), " ", name_of(o.importance.kind),
                                      " ", o.importance.seed, " ", o.importance.images, " ", o.seed);
    for (double sparsity : o.sparsities) text += concatenated(" ", sparsity);
    for (int bits : o.bits) text += concatenated(" ", bits, " bits by ", kFewBits[o.few_bits]);
    for (const std::string& pattern : o.only) text += " " + pattern;
    for (const std::string& pattern : o.skip) text += " -" + pattern;
    return text;
}

// As nn::GraphRunner takes them.
std::vector<size_t> in_order_of_reading(const Graph& graph, const std::vector<Subject>& subjects) {
    std::vector<size_t> order(subjects.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
        return nn::first_reader(graph, subjects[a].name) < nn::first_reader(graph, subjects[b].name);
    });
    return order;
}

Graph traced(nn::Module& module, const data::Dataset& images) {
    const NoGrad no_grad;
    return nn::trace(module, images.batch({0}).input());
}

Sensitivity scan(nn::Module& module, const data::Dataset& images, const ScanOptions& o) {
    const nn::SnapshotScope restore(module);
    const Graph graph = traced(module, images);  // with the weights as they are
    WeightPruner pruner = make_pruner(module, o);
    const std::vector<Subject> subjects = make_subjects(module, pruner, o);
    const NoGrad no_grad;
    Sensitivity result{.dense = {},
                       .layers = {},
                       .images = images.size(),
                       .data = images.describe(),
                       .passed_over = pruner.passed_over(),
                       .pattern = o.pattern,
                       .few_bits = o.few_bits};
    int64_t settings = 0;
    for (const Subject& subject : subjects) {
        result.layers.push_back({subject.name, subject.parameter->value().numel(), {}});
        for (const Setting& setting : subject.settings)
            result.layers.back().points.push_back({.sparsity = setting.sparsity, .bits = setting.bits}), ++settings;
    }
    const std::vector<size_t> order = in_order_of_reading(graph, subjects);
    data::Loader loader(images, {.batch = o.batch, .workers = o.workers});
    loader.start(0);
    data::Batch batch;
    int64_t done = 0;
    const int64_t total = loader.batches() * settings;
    while (loader.next(batch)) {
        nn::GraphRunner runner(graph, batch.input());
        add(result.dense, runner.output(), batch.target(), images.size());
        for (size_t i : order)
            for (size_t k = 0; k < subjects[i].settings.size(); ++k) {
                const Tensor weight = subjects[i].weight(subjects[i].settings[k]);
                const Tensor logits = runner.output_with(subjects[i].name, weight);
                add(result.layers[i].points[k], logits, batch.target(), images.size());
                check(!o.go_on || o.go_on(++done, total), "scan: stopped");
            }
    }
    return result;
}

Json to_json(const Sensitivity::Point& point) {
    return {{"sparsity", point.sparsity},
            {"bits", point.bits},
            {"accuracy", point.accuracy},
            {"loss", point.loss}};
}

Sensitivity::Point read_point(const Json& json) {
    const auto number = [&](const char* name) { return json.at(name).get<double>(); };
    return {.sparsity = number("sparsity"), .bits = json.at("bits").get<int>(), .accuracy = number("accuracy"),
            .loss = number("loss")};
}

template <class F>
bool any_point(const Sensitivity& scan, const F& holds) {  // all layers have the same
    return !scan.layers.empty() && std::any_of(scan.layers[0].points.begin(), scan.layers[0].points.end(), holds);
}

// "50%", "4 bits", "4 bits 50%": what the scan does not vary is not said.
std::string heading(const Sensitivity& scan, const Sensitivity::Point& point) {
    const std::string bits = point.bits == kFloatBits ? "float" : format("%d bits", point.bits),
                      sparsity = format("%.4g%%", 100 * point.sparsity);
    return !scan.has_bits() ? sparsity : !scan.has_sparsities() ? bits : bits + " " + sparsity;
}

}  // namespace

bool Sensitivity::has_bits() const {
    return any_point(*this, [](const Point& point) { return point.bits != kFloatBits; });
}
bool Sensitivity::has_sparsities() const {
    return any_point(*this, [](const Point& point) { return point.sparsity > 0; });
}

std::string Sensitivity::str() const {
    std::vector<std::string> header{"layer", "weights"};
    if (!layers.empty())
        for (const Point& point : layers[0].points) header.push_back(heading(*this, point));
    TextTable table(header);
    for (const Layer& layer : layers) {
        std::vector<std::string> row{layer.name, std::to_string(layer.weights)};
        for (const Point& point : layer.points) row.push_back(format("%.2f", point.accuracy));
        table.add(row);
    }
    return table.str() + passed_over_note(passed_over, pattern) +
           format("dense: %.2f%%, loss %.4f; %lld images of %s\n", dense.accuracy, dense.loss,
                  static_cast<long long>(images), printable(data).c_str());
}

std::string Sensitivity::csv() const {
    std::string text = "layer,weights,sparsity,bits,accuracy,loss\n";
    const auto add = [&](const std::string& name, int64_t weights, const Point& point) {
        text += format("%s,%lld,%g,%d,%.6g,%.6g\n", name.c_str(), static_cast<long long>(weights), point.sparsity,
                       point.bits, point.accuracy, point.loss);
    };
    add("dense", 0, dense);
    for (const Layer& layer : layers)
        for (const Point& point : layer.points) add(layer.name, layer.weights, point);
    return text;
}

std::string Sensitivity::json() const {
    Json out{{"data", data},           {"images", images},
             {"pattern", pattern.str()}, {"few_bits", kFewBits[few_bits]},
             {"dense", to_json(dense)}, {"layers", Json::array()},
             {"passed_over", passed_over}};
    for (const Layer& layer : layers) {
        Json points = Json::array();
        for (const Point& point : layer.points) points.push_back(to_json(point));
        out["layers"].push_back({{"name", layer.name}, {"weights", layer.weights}, {"points", points}});
    }
    return text_of(out, 1) + "\n";
}

Sensitivity parse_sensitivity(const std::string& json) {
    try {
        const auto in = parse_ordered_json(json, "sensitivity");
        Sensitivity result{.dense = read_point(in.at("dense")),
                           .layers = {},
                           .images = in.at("images").get<int64_t>(),
                           .data = in.at("data").get<std::string>(),
                           .passed_over = in.at("passed_over").get<std::vector<std::string>>(),
                           .pattern = parse_pattern(in.at("pattern").get<std::string>()),
                           .few_bits = kFewBits.value_of(in.at("few_bits").get<std::string>())};
        for (const Json& layer : in.at("layers")) {
            result.layers.push_back({layer.at("name").get<std::string>(), layer.at("weights").get<int64_t>(), {}});
            for (const Json& point : layer.at("points")) result.layers.back().points.push_back(read_point(point));
        }
        return result;
    } catch (const Json::exception&) {
        fail("sensitivity: expected the JSON of a scan");
    }
}

namespace {

// The scan in a file, when there is one of this key; a damaged file is about to be replaced.
std::optional<Sensitivity> kept_scan(const std::string& path, const std::string& key) {
    if (!std::filesystem::exists(path)) return {};
    try {
        const auto kept = parse_ordered_json(read_text_file(path), path);
        if (kept.is_object() && kept.contains("key") && kept["key"] == key && kept.contains("scan"))
            return parse_sensitivity(text_of(kept["scan"]));
    } catch (const Error&) {
    }
    return {};
}

}  // namespace

void check_settings(const ScanOptions& o) {
    check(!o.sparsities.empty(), "scan: expected at least one sparsity");
    for (double sparsity : o.sparsities)
        check(sparsity >= 0 && sparsity < 1, "scan: expected sparsities in [0, 1), got ", sparsity);
    const bool codebook = o.few_bits == FewBits::codebook;
    for (int bits : o.bits)
        check((bits >= (codebook ? 1 : 2) && bits <= 8) || (codebook && bits == kFloatBits),
              "scan: expected widths of ", codebook ? "1 to 8 bits or 32" : "2 to 8 bits", ", got ", bits);
}

Sensitivity scan_sensitivity(nn::Module& module, const data::Dataset& dataset, const ScanOptions& o) {
    check_settings(o);
    const data::Dataset images = o.images > 0 ? dataset.sample(o.images, o.seed) : dataset;
    check(images.size() > 0, "scan: expected at least one image");
    if (o.cache.empty()) return scan(module, images, o);

    const std::string key = fingerprint(module, images, o);
    if (auto kept = kept_scan(o.cache, key)) return *std::move(kept);
    const Sensitivity result = scan(module, images, o);
    const Json kept{{"key", key}, {"scan", parse_ordered_json(result.json(), "scan")}};
    write_file_atomically(o.cache, text_of(kept, 1) + "\n");
    return result;
}

}  // namespace lathe::compress
