#include "lathe/nas/elastic/compressed_subnet.h"

#include <numeric>

#include "lathe/compress/quantize/prepare.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/tape/variable.h"
#include "lathe/nas/space/network.h"

namespace lathe::nas {

namespace {

constexpr int64_t kBatch = 100;

// The dense convolutions of each block, by name.
std::vector<std::pair<std::string, Block>> dense_layers(const Space& space, const Arch& arch) {
    std::vector<std::pair<std::string, Block>> layers;
    for (const Block& block : layers_of(space, arch).blocks) {
        const bool basic = space.block == BlockKind::basic;
        const std::string name = concatenated("features.", stage_name(block.stage), ".", block.place, ".");
        for (const char* layer : {basic ? "conv1" : "conv.0.0", basic ? "conv2" : "conv.2"})
            layers.emplace_back(name + layer, block);
        if (basic && !block.residual()) layers.emplace_back(name + "downsample", block);
    }
    return layers;
}

// Training passes move the norms' statistics towards those of the batches; nothing else moves.
void follow_statistics(nn::Model& model, const data::Dataset& images) {
    const NoGrad no_grad;
    const nn::ModeScope training(model, true);
    for (int64_t begin = 0; begin + 2 <= images.size(); begin += kBatch) {
        std::vector<int64_t> batch(static_cast<size_t>(std::min(kBatch, images.size() - begin)));
        std::iota(batch.begin(), batch.end(), begin);
        model(images.batch(batch).input());
    }
}

}  // namespace

std::vector<std::pair<std::string, double>> sparsities_of(const Space& joint, const Arch& arch) {
    std::vector<std::pair<std::string, double>> sparsities;
    for (const auto& [name, block] : dense_layers(joint, arch))
        if (block.kept < 100) sparsities.emplace_back(name, (100 - block.kept) / 100.0);
    return sparsities;
}

std::vector<std::pair<std::string, int>> bits_of(const Space& joint, const Arch& arch) {
    std::vector<std::pair<std::string, int>> bits;
    for (const auto& [name, block] : dense_layers(joint, arch))
        if (block.bits < 8) bits.emplace_back(name, block.bits);
    return bits;
}

std::vector<std::pair<std::string, int>> bits_of(const nn::Model& model) {
    const std::string arch = arch_of(model);
    if (arch.find("\"bits\"") == std::string::npos) return {};
    const Space& joint = space_named(model.architecture() + "-joint");
    return bits_of(joint, joint.parse(arch));
}

std::unique_ptr<nn::Model> pruned_subnet(SpaceSupernet& net, const Space& joint, const Arch& arch,
                                         const data::Dataset& images) {
    check(joint.supernet == net.space().name, "expected a joint space of ", net.space().name, ", got ", joint.name);
    auto model = net.extract(net.subnet(arch.uncompressed()));
    model->metadata["arch"] = arch.str();
    const auto sparsities = sparsities_of(joint, arch);
    if (sparsities.empty()) return model;
    compress::prune_magnitude(*model, {.layers = sparsities});
    follow_statistics(*model, scaled(images, arch.image_size));
    return model;
}

std::unique_ptr<nn::Model> compressed_subnet(SpaceSupernet& net, const Space& joint, const Arch& arch,
                                             const data::Dataset& images) {
    const auto pruned = pruned_subnet(net, joint, arch, images);
    const data::Dataset calibration = scaled(images, arch.image_size).sample(256, 0);
    return compress::prepare_quantization(*pruned, calibration, {.layers = bits_of(joint, arch)}).model;
}

}  // namespace lathe::nas
