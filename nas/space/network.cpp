#include "lathe/nas/space/network.h"

#include <algorithm>

#include "lathe/nas/space/layers.h"
#include "lathe/nn/blocks/basic_block.h"
#include "lathe/nn/blocks/conv_bn.h"
#include "lathe/nn/blocks/inverted_residual.h"
#include "lathe/nn/init.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/layers/pool2d.h"
#include "lathe/nn/models/options.h"
#include "lathe/nn/models/registry.h"

namespace lathe::nas {

namespace {

constexpr const char* kArch = "arch";  // of Model::metadata

// The network's input follows from the arch, its channels from both.
std::unique_ptr<nn::Model> from_options(const Space& space, const nn::ModelOptions& o) {
    const PathScope scope(space.name);
    check(o.width == 1 && o.widths.empty() && o.dropout <= 0,
          "expected no width, widths or dropout (its arch says what it is)");
    const Arch arch = o.arch.empty() ? space.largest() : space.parse(o.arch);
    const Shape input{arch.image_size, arch.image_size, 3};
    check(o.input.rank() == 0 || o.input == input, "expected images of ", input, ", the arch's, got ", o.input);
    return network(space, arch, o.classes);
}

void add_conv_bn(nn::Sequential& net, const char* name, const nn::Conv2dOptions& conv, Activation activation) {
    nn::add_conv_bn(net, name, conv, activation, nn::models::kKerasBatchNormEps);
}

}  // namespace

void add_first(nn::Sequential& net, const Layers& layers) {
    add_conv_bn(net, "first",
                {.in = 3, .out = layers.first, .kernel = 3, .stride = layers.first_stride, .padding = 1, .bias = false},
                layers.kind == BlockKind::basic ? Activation::relu : Activation::relu6);
    if (layers.second)
        add_conv_bn(net, "second", {.in = layers.first, .out = layers.second, .bias = false}, Activation::none);
}

void add_block(nn::Sequential& net, BlockKind kind, const Block& block) {
    const std::string name = std::to_string(block.place);
    if (kind == BlockKind::basic)
        net.add<nn::BasicBlock>(name, {.in = block.in,
                                         .out = block.out,
                                         .stride = block.stride,
                                         .inner = block.expanded,
                                         .shortcut = nn::Shortcut::projection,
                                         .eps = nn::models::kKerasBatchNormEps});
    else
        net.add<nn::InvertedResidual>(name, {.in = block.in,
                                               .out = block.out,
                                               .expanded = block.expanded,
                                               .kernel = block.kernel,
                                               .stride = block.stride,
                                               .squeezed = block.squeezed,
                                               .squeeze = Activation::relu6,
                                               .eps = nn::models::kKerasBatchNormEps});
}

void add_last(nn::Sequential& net, const Layers& layers) {
    if (layers.last)
        add_conv_bn(net, "last", {.in = layers.blocks.back().out, .out = layers.last, .bias = false},
                    Activation::relu6);
}

void add_classifier(nn::Sequential& net, const Layers& layers, int64_t classes) {
    net.add<nn::GlobalAvgPool>("pool");
    net.add<nn::Linear>("classifier",
                        {.in = layers.last ? layers.last : layers.blocks.back().out, .out = classes});
}

std::string stage_name(size_t stage) { return "stage" + std::to_string(stage + 1); }

std::unique_ptr<nn::Model> network(const Space& space, const Arch& arch, int64_t classes) {
    const PathScope scope(space.name);
    const Layers layers = layers_of(space, arch);
    const nn::ModelOptions options = nn::models::complete(
        {.classes = classes}, {.classes = layers.classes, .input = {layers.image_size, layers.image_size, 3}});

    auto net = std::make_unique<nn::Sequential>();
    nn::Sequential& features = net->add<nn::Sequential>("features");
    add_first(features, layers);
    nn::Sequential* stage = nullptr;
    for (const Block& block : layers.blocks) {
        if (block.place == 0) stage = &features.add<nn::Sequential>(stage_name(block.stage));
        add_block(*stage, layers.kind, block);
    }
    add_last(features, layers);
    add_classifier(*net, layers, options.classes);
    nn::init::he_normal(features, nn::init::Fan::out);

    auto model = std::make_unique<nn::Model>(space.name, options, std::move(net));
    model->metadata[kArch] = arch.str();
    return model;
}

std::string arch_of(const nn::Model& model) {
    const auto found = model.metadata.find(kArch);
    return found == model.metadata.end() ? "" : found->second;
}

void register_spaces() {
    const std::vector<std::string> known = nn::model_names();
    for (const std::string& name : space_names())
        if (!space_named(name).joint() && std::find(known.begin(), known.end(), name) == known.end())
            nn::register_model(name, [name](const nn::ModelOptions& o) { return from_options(space_named(name), o); });
}

}  // namespace lathe::nas
