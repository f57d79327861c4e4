#include "lathe/nas/elastic/compressed_subnet.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/data/shapes.h"
#include "lathe/nn/mask.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;

namespace {

data::Dataset pictures() { return data::shapes(data::Split::train, {.count = 60}); }

std::unique_ptr<SpaceSupernet> supernet(const Space& space) {
    seed(1);
    auto net = std::make_unique<SpaceSupernet>(space);
    net->calibrate_on(pictures());
    return net;
}

// How many different values the integers of a weight have, at most in one output channel.
size_t most_levels(nn::Model& model, const std::string& name) {
    const Tensor w = model.named_parameters(name).front().second->effective().value();
    const int64_t row = w.numel() / w.dim(0);
    size_t most = 0;
    for (int64_t k = 0; k < w.dim(0); ++k) {
        std::set<double> levels;
        for (int64_t i = k * row; i < (k + 1) * row; ++i) levels.insert(w.at(i));
        most = std::max(most, levels.size());
    }
    return most;
}

}  // namespace

TEST_CASE("a subnet of a joint space has the zeros and the bits that its arch says, block by block") {
    const Space& joint = ofa_mobilenet_cifar_joint();
    const auto net = supernet(ofa_mobilenet_cifar());
    Arch arch = joint.largest();
    arch.image_size = 24;
    arch.kept[1] = 20, arch.bits[1] = 4, arch.bits[2] = 3;
    const std::string second = "features.stage1.1.conv.", third = "features.stage1.2.conv.";
    CHECK(sparsities_of(joint, arch) ==
          std::vector<std::pair<std::string, double>>{{second + "0.0", 0.8}, {second + "2", 0.8}});
    CHECK(bits_of(joint, arch) == std::vector<std::pair<std::string, int>>{
                                      {second + "0.0", 4}, {second + "2", 4}, {third + "0.0", 3}, {third + "2", 3}});

    const auto pruned = pruned_subnet(*net, joint, arch, pictures());
    CHECK(bits_of(*pruned) == bits_of(joint, arch));
    CHECK(bits_of(*net->extract(net->largest())).empty());
    CHECK(joint.parse(pruned->metadata.at("arch")) == arch);
    for (const auto& [name, parameter] : pruned->named_parameters()) {
        CAPTURE(name);
        const auto* mask = parameter->find_transform<nn::Mask>();
        const bool expected = name == second + "0.0.weight" || name == second + "2.weight";
        REQUIRE((mask != nullptr) == expected);
        if (mask) CHECK(mask->sparsity() == doctest::Approx(0.8).epsilon(0.01));
    }
    const auto compressed = compressed_subnet(*net, joint, arch, pictures());
    CHECK(most_levels(*compressed, second + "2.weight") <= 16);
    CHECK(most_levels(*compressed, third + "2.weight") <= 8);
    CHECK(most_levels(*compressed, "features.stage2.0.conv.2.weight") > 16);
}

TEST_CASE("without zeros the network is the supernet's own; a space of another supernet is refused") {
    const Space& joint = ofa_resnet_cifar_joint();
    const auto net = supernet(ofa_resnet_cifar());
    const Arch arch = joint.smallest();
    Arch kept = arch;
    kept.kept.assign(kept.kept.size(), 100);
    const auto same = pruned_subnet(*net, joint, kept, pictures());
    const auto own = net->extract(net->subnet(arch.uncompressed()));
    const Tensor x = lathe::testing::random_tensor(own->example(2).shape());
    same->eval(), own->eval();
    CHECK(lathe::testing::same((*same)(x).value(), (*own)(x).value()));
    CHECK(message_of([&] { pruned_subnet(*net, ofa_mobilenet_cifar_joint(), ofa_mobilenet_cifar_joint().smallest(),
                                         pictures()); }) ==
          "expected a joint space of ofa-resnet-cifar, got ofa-mobilenet-cifar-joint");
}
