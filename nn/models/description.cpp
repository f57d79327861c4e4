#include "lathe/nn/models/description.h"

#include <algorithm>
#include <map>
#include <optional>

#include "lathe/core/graph/fold.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/blocks/squeeze_excite.h"
#include "lathe/nn/files/graph_json.h"
#include "lathe/nn/files/json.inc"
#include "lathe/nn/graph_module.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/conv2d.h"
#include "lathe/nn/layers/embedding.h"
#include "lathe/nn/layers/layer_norm.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"

namespace lathe::nn {

namespace {

using json_reader::json;

constexpr int64_t kMostChannels = 1 << 20, kMostSide = 1 << 14, kMostElements = 1 << 28;
constexpr size_t kMostLayers = 4096;

// The members of a layer's entry, each taken once; what is left over at the end is an error.
class Options {
public:
    Options(const json& entry, int64_t classes) : entry_(entry), classes_(classes) {}
    bool uses_classes() const { return uses_classes_; }

    int64_t count(const char* name, std::optional<int64_t> otherwise = {}) {
        if (!take(name)) return required(name, otherwise);
        const json& value = entry_[name];
        if (value == "classes") {
            uses_classes_ = true;
            check(classes_ > 0, "'", name,
                  "': expected a number of classes from the description or the data, got none");
            return classes_;
        }
        const int64_t number = json_reader::integer(value, quoted(name));
        check(number >= 1 && number <= kMostChannels, quoted(name), ": expected 1 to ", kMostChannels, ", got ",
              number);
        return number;
    }
    double real(const char* name, double otherwise) {
        return take(name) ? json_reader::real(entry_[name], quoted(name)) : otherwise;
    }
    bool flag(const char* name, bool otherwise) {
        if (!take(name)) return otherwise;
        check(entry_[name].is_boolean(), quoted(name), ": expected true or false");
        return entry_[name].get<bool>();
    }
    std::string text(const char* name, const std::string& otherwise) {
        return take(name) ? json_reader::text(entry_[name], quoted(name)) : otherwise;
    }
    Activation activation(const char* name, Activation otherwise = Activation::none) {
        return activation_named(text(name, lathe::name_of(otherwise)));
    }
    std::optional<ops::Pair> pair(const char* name) {
        if (!take(name)) return {};
        const std::vector<int64_t> both = numbers(name);
        check(both.size() <= 2, quoted(name), ": expected a number or [height, width]");
        return ops::Pair(both[0], both.back());
    }
    ops::Pair pair(const char* name, ops::Pair otherwise) { return pair(name).value_or(otherwise); }
    // A number, [vertical, horizontal] or [top, bottom, left, right].
    ops::Padding padding() {
        if (!take("padding")) return {};
        const std::vector<int64_t> sides = numbers("padding");
        if (sides.size() == 1) return sides[0];
        check(sides.size() == 2 || sides.size() == 4, "'padding': expected one, two or four numbers");
        return sides.size() == 2 ? ops::Padding(sides[0], sides[1])
                                 : ops::Padding(sides[0], sides[1], sides[2], sides[3]);
    }
    bool is_text(const char* name, const char* value) {
        if (!entry_.contains(name) || entry_[name] != value) return false;
        return take(name);
    }
    void finish() const {
        for (const auto& [key, value] : entry_.items())
            if (std::find(taken_.begin(), taken_.end(), key) == taken_.end()) {
                const std::string hint = nearest_name(key, taken_);
                fail("no option is called '", key, "'", hint.empty() ? "" : "; ", hint);
            }
    }

private:
    static std::string quoted(const char* name) { return concatenated("'", name, "'"); }
    bool take(const char* name) {
        taken_.emplace_back(name);
        return entry_.contains(name);
    }
    static int64_t required(const char* name, std::optional<int64_t> otherwise) {
        check(otherwise.has_value(), "expected the option '", name, "'");
        return *otherwise;
    }
    std::vector<int64_t> numbers(const char* name) const {
        const json& value = entry_[name];
        const std::vector<int64_t> found = value.is_array()
                                               ? json_reader::list(value, quoted(name), json_reader::integer)
                                               : std::vector{json_reader::integer(value, quoted(name))};
        check(!found.empty(), quoted(name), ": expected a number");
        for (int64_t number : found)
            check(number >= 0 && number <= kMostSide, quoted(name), ": expected 0 to ", kMostSide, ", got ", number);
        return found;
    }

    const json& entry_;
    int64_t classes_;
    bool uses_classes_ = false;
    std::vector<std::string> taken_{"name", "op", "inputs"};
};

// What a layer is made for: the node that it reads and that node's input, for a linear layer behind a flattened image.
struct Place {
    Shape input;
    int64_t pixels = 1;
};

using Maker = std::unique_ptr<Module> (*)(Options& o, const Place& at);

int64_t channels_of(const Place& at) {
    check(at.input.rank() >= 1, "expected an input with channels, got ", at.input);
    return at.input.back();
}

// Error: more numbers in one weight or one image's result than any sensible network has, told before there is memory
// for them.
void check_room(const char* what, std::initializer_list<int64_t> factors) {
    int64_t count = 1;
    for (int64_t factor : factors) {
        count *= factor;  // factors are below 2^31, what came before is at most 2^28
        check(count <= kMostElements, "expected at most 2^28 ", what, ", got more");
    }
}

const std::map<std::string, Maker>& makers() {
    static const std::map<std::string, Maker> all{
        {"conv2d",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             const bool same = o.is_text("padding", "same");
             const Conv2dOptions conv{.in = channels_of(at),
                                      .out = o.count("out"),
                                      .kernel = o.pair("kernel", {}),
                                      .stride = o.pair("stride", {}),
                                      .padding = same ? ops::Padding() : o.padding(),
                                      .same = same,
                                      .dilation = o.pair("dilation", {}),
                                      .groups = o.count("groups", 1),
                                      .bias = o.flag("bias", true)};
             check(at.input.rank() == 4, "expected images [N, H, W, C], got ", at.input);
             check_room("weights", {conv.in, conv.out, conv.kernel.h, conv.kernel.w});
             check_room("values", {at.input[1] + conv.padding.top + conv.padding.bottom,
                                   at.input[2] + conv.padding.left + conv.padding.right, conv.out});
             return std::make_unique<Conv2d>(conv);
         }},
        {"linear",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             const LinearOptions linear{
                 .in = channels_of(at), .out = o.count("out"), .bias = o.flag("bias", true), .pixels = at.pixels};
             check_room("weights", {linear.in, linear.out});
             check_room("values", {at.input.numel() / linear.in, linear.out});
             return std::make_unique<Linear>(linear);
         }},
        {"batch_norm",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             return std::make_unique<BatchNorm>(BatchNormOptions{.channels = channels_of(at),
                                                                 .eps = o.real("eps", 1e-5),
                                                                 .momentum = o.real("momentum", 0.1),
                                                                 .activation = o.activation("activation")});
         }},
        {"layer_norm",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             return std::make_unique<LayerNorm>(
                 LayerNormOptions{.features = channels_of(at), .eps = o.real("eps", 1e-5)});
         }},
        {"embedding",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             const EmbeddingOptions embedding{.rows = o.count("rows"), .features = o.count("features")};
             check_room("weights", {embedding.rows, embedding.features});
             check_room("values", {at.input.numel(), embedding.features});
             return std::make_unique<Embedding>(embedding);
         }},
        {"max_pool2d",
         [](Options& o, const Place&) -> std::unique_ptr<Module> {
             return std::make_unique<MaxPool2d>(MaxPool2dOptions{
                 .kernel = o.pair("kernel", {2}), .stride = o.pair("stride"), .padding = o.padding()});
         }},
        {"avg_pool2d",
         [](Options& o, const Place&) -> std::unique_ptr<Module> {
             return std::make_unique<AvgPool2d>(AvgPool2dOptions{
                 .kernel = o.pair("kernel", {2}), .stride = o.pair("stride"), .padding = o.padding(),
                 .count_include_pad = o.flag("count_include_pad", true)});
         }},
        {"squeeze_excite",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             return std::make_unique<SqueezeExcite>(
                 SqueezeExciteOptions{.channels = channels_of(at),
                                      .squeezed = o.count("squeezed"),
                                      .activation = o.activation("activation", Activation::relu),
                                      .gate = o.activation("gate", Activation::sigmoid)});
         }},
        {"basic_block",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             const std::string shortcut = o.text("shortcut", "subsample");
             check(shortcut == "subsample" || shortcut == "projection",
                   "'shortcut': expected subsample or projection, got '", shortcut, "'");
             check(at.input.rank() == 4, "expected images [N, H, W, C], got ", at.input);
             const int64_t out = o.count("out");
             check_room("weights", {std::max(out, channels_of(at)), out, 9});
             check_room("values", {at.input[1], at.input[2], out});
             return std::make_unique<BasicBlock>(
                 BasicBlockOptions{.in = channels_of(at),
                                   .out = out,
                                   .stride = o.count("stride", 1),
                                   .shortcut = shortcut == "subsample" ? Shortcut::subsample : Shortcut::projection,
                                   .bias = o.flag("bias", false),
                                   .eps = o.real("eps", 1e-5)});
         }},
        {"inverted_residual",
         [](Options& o, const Place& at) -> std::unique_ptr<Module> {
             InvertedResidualOptions options{
                 .in = channels_of(at), .out = o.count("out"), .expanded = o.count("expanded", channels_of(at)),
                 .kernel = o.count("kernel", 3), .stride = o.count("stride", 1),
                 .activation = o.activation("activation", Activation::relu6)};
             options.squeezed = o.count("squeezed", 0);
             check(at.input.rank() == 4, "expected images [N, H, W, C], got ", at.input);
             check_room("weights", {options.expanded, std::max({options.in, options.out,
                                                                options.kernel * options.kernel, options.squeezed})});
             check_room("values", {at.input[1], at.input[2], std::max(options.expanded, options.out)});
             return std::make_unique<InvertedResidual>(options);
         }},
    };
    return all;
}

class Builder {
public:
    Builder(const Shape& input, int64_t classes) : classes_(classes) {
        Shape shape{1};
        for (int64_t extent : input) shape.push_back(extent);
        graph_.nodes.push_back({.op = "input", .path = "input", .shape = shape, .activation = true});
        graph_.inputs = {0};
        index_["input"] = graph_.output = 0;
    }

    void add(const json& entry) {
        const std::string name = json_reader::text(json_reader::member(entry, "name", "a layer"), "a layer's name");
        const PathScope scope(name);
        check(!name.empty() && !index_.count(name), "another layer has this name");
        const std::string op = json_reader::text(json_reader::member(entry, "op", "a layer"), "'op'");
        std::vector<int> inputs{graph_.output};
        if (entry.contains("inputs")) {
            inputs.clear();
            for (const std::string& input : json_reader::list(entry["inputs"], "'inputs'", json_reader::text))
                inputs.push_back(find(input));
        }
        if (const auto maker = makers().find(op); maker != makers().end())
            add_layer(name, maker->second, entry, inputs);
        else add_op(name, op, entry, inputs);
        index_[name] = graph_.output;
    }

    bool uses_classes() const { return uses_classes_; }

    Graph finish() {
        check(graph_[graph_.output].is_op(), "expected at least one layer");
        Graph kept = pruned(std::move(graph_));
        kept.check();
        return kept;
    }

private:
    int find(const std::string& name) const {
        const auto found = index_.find(name);
        if (found != index_.end()) return found->second;
        std::vector<std::string> names;
        for (const auto& [known, index] : index_) names.push_back(known);
        const std::string hint = nearest_name(name, names);
        fail("no layer before is called '", name, "'", hint.empty() ? "" : "; ", hint);
    }

    // Pixels of the image whose flattening the node is, so that a file keeps PyTorch's order of a linear layer's
    // inputs.
    int64_t pixels(int index) const {
        const GraphNode& node = graph_[index];
        if (!node.op->traits.view || node.shape.rank() != 2) return 1;
        const Shape& image = graph_[node.inputs[0]].shape;
        return image.rank() == 4 ? image[1] * image[2] : 1;
    }

    // The layer, made as C++ code would make it, traced, and its graph taken over.
    void add_layer(const std::string& name, Maker make, const json& entry, const std::vector<int>& inputs) {
        check(inputs.size() == 1, "expected one input, got ", inputs.size());
        const GraphNode& from = graph_[inputs[0]];
        Options options(entry, classes_);
        const std::unique_ptr<Module> layer = make(options, {.input = from.shape, .pixels = pixels(inputs[0])});
        options.finish();
        uses_classes_ |= options.uses_classes();
        Graph part = trace(*layer, Tensor::zeros(from.shape, from.dtype));
        std::vector<int> place(part.nodes.size(), -1);
        for (int i = 0; i < part.size(); ++i) {
            if (i == part.input()) {
                place[static_cast<size_t>(i)] = inputs[0];
                continue;
            }
            GraphNode node = std::move(part[i]);
            node.path = node.path.empty() ? name : name + "." + node.path;
            for (int& input : node.inputs) input = input < 0 ? -1 : place[static_cast<size_t>(input)];
            graph_.nodes.push_back(std::move(node));
            place[static_cast<size_t>(i)] = graph_.size() - 1;
        }
        graph_.output = place[static_cast<size_t>(part.output)];
    }

    void add_op(const std::string& name, const std::string& op, const json& entry, const std::vector<int>& inputs) {
        const OpInfo& row = op_info(op);
        check(!row.leaf, "expected an op, got '", op, "'");
        GraphNode node{.op = op,
                       .path = name,
                       .inputs = inputs,
                       .dtype = graph_[inputs.empty() ? 0 : inputs[0]].dtype,
                       .activation = true};
        node.attributes = with_defaults(row, attributes_from_json(row, text_of(entry), {"name", "op", "inputs"}));
        row.check_call(node.attributes, inputs.size());
        node.shape = row.shape(node.attributes, graph_.input_shapes(node));
        check(node.shape.numel() <= kMostElements, "expected at most 2^28 values, got ", node.shape);
        graph_.nodes.push_back(std::move(node));
        graph_.output = graph_.size() - 1;
    }

    Graph graph_;
    std::map<std::string, int> index_;
    int64_t classes_;
    bool uses_classes_ = false;
};

Shape input_of(const json& file) {
    Shape shape;
    const std::vector<int64_t> extents =
        json_reader::list(json_reader::member(file, "input", "description"), "'input'", json_reader::integer);
    check(!extents.empty() && extents.size() < Shape::kMaxRank,
          "'input': expected [height, width, channels] or [features]");
    for (int64_t extent : extents) {
        check(extent >= 1 && extent <= kMostChannels, "'input': expected sizes from 1 to ", kMostChannels, ", got ",
              extent);
        shape.push_back(extent);
        check(shape.numel() <= kMostElements, "'input': expected at most 2^28 values, got ", shape);
    }
    return shape;
}

}  // namespace

std::unique_ptr<Model> model_from_description(const std::string& text, const std::string& name,
                                              const ModelOptions& given) {
    const PathScope scope(name);
    check(given.width == 1 && given.widths.empty() && given.dropout < 0 && given.arch.empty(),
          "expected a described network to say its own widths and dropout, got options for them");
    const json file = parse_json(text, "description");
    check(file.is_object(), "expected a JSON object with 'input' and 'layers'");
    for (const auto& [key, value] : file.items())
        if (key != "input" && key != "layers" && key != "classes") {
            const std::string hint = nearest_name(key, {"input", "layers", "classes"});
            fail("no member is called '", key, "'", hint.empty() ? "" : "; ", hint);
        }
    ModelOptions options = given;
    if (options.input.rank() == 0) options.input = input_of(file);
    if (options.classes == 0 && file.contains("classes")) {
        options.classes = json_reader::integer(file["classes"], "'classes'");
        check(options.classes >= 1 && options.classes <= kMostChannels, "'classes': expected 1 to ", kMostChannels,
              ", got ", options.classes);
    }
    options.dropout = 0;
    const json& layers = json_reader::member(file, "layers", "description");
    check(layers.is_array() && layers.size() <= kMostLayers, "'layers': expected a list of at most ", kMostLayers);
    Builder builder(options.input, options.classes);
    for (const json& layer : layers) builder.add(layer);
    Graph graph = builder.finish();
    const Shape output = graph[graph.output].shape, a_class_each{1, options.classes};
    check(!builder.uses_classes() || output == a_class_each, "expected an output ", a_class_each,
          " for its classes, got ", output);
    if (!builder.uses_classes()) {  // what it gives is a class each, unless it gives back what it takes
        const bool reconstructs = output == graph[graph.input()].shape;
        options.classes = output.rank() == 2 && !reconstructs ? output[1] : 0;
    }
    return std::make_unique<Model>(name, options, std::make_unique<GraphModule>(std::move(graph)));
}

}  // namespace lathe::nn
