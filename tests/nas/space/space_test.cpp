#include "lathe/nas/space/space.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/nas/space/layers.h"
#include "lathe/tests/nn/random_tensor.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::message_of;

namespace {

Arch example() {
    Arch arch = mcunetv2().smallest();
    arch.ks = {7, 7, 7, 5, 7, 5, 7, 3, 3, 5, 5, 3, 7, 7, 7, 3, 5, 3, 3, 5};
    arch.d = {1, 2, 1, 0, 2, 0};
    return arch;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    return text.replace(text.find(from), from.size(), to);
}

}  // namespace

TEST_CASE("mcunetv2 has the channels of the lab's three widths") {
    const int64_t expected[3][10] = {{16, 8, 16, 24, 40, 48, 96, 160, 384},
                                     {24, 16, 24, 32, 64, 72, 144, 240, 384},
                                     {32, 16, 24, 40, 80, 96, 192, 320, 384}};
    for (int wid = 0; wid < 3; ++wid) {
        Arch arch = mcunetv2().smallest();
        arch.wid = wid;
        const Layers layers = layers_of(mcunetv2(), arch);
        CHECK(layers.first == expected[wid][0]);
        CHECK(layers.second == expected[wid][1]);
        for (const Block& block : layers.blocks) CHECK(block.out == expected[wid][2 + block.stage]);
        CHECK(layers.last == expected[wid][8]);
    }
}

TEST_CASE("depths, strides, shortcuts and squeeze-and-excitation stand where the lab has them") {
    const Arch arch = example();
    const Layers layers = layers_of(mcunetv2(), arch);
    std::vector<size_t> indices;
    std::string strides, squeezed, residual;
    for (const Block& block : layers.blocks) {
        indices.push_back(block.index);
        strides += static_cast<char>('0' + block.stride);
        squeezed += block.squeezed ? 's' : '-';
        residual += block.residual() ? 'r' : '-';
        CHECK(block.kernel == arch.ks[block.index]);
        CHECK(block.expanded == 3 * block.in);
        if (block.squeezed) CHECK(block.squeezed == block.in / 4);
    }
    CHECK(indices == std::vector<size_t>{0, 1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 15, 16, 17, 18, 19});
    CHECK(strides == "2121112111121111");
    CHECK(squeezed == "---ssssssssssss-");
    CHECK(residual == "-r-rrr-rr-r-rrr-");
}

TEST_CASE("the space counts its networks exactly") {
    // 5 image sizes, 3 widths; stages of 1 to 3 blocks, four times 2 to 4, and 1; 9 kinds of each block.
    CHECK(mcunetv2().count() == "326379832388587287765");
    CHECK(ofa_mobilenet_cifar().count() == "39876894864");
    CHECK(ofa_resnet_cifar().count() == "14414517");
    Space one = mcunetv2();
    one.choices = {.wid = {0}, .ks = {3}, .e = {3, 4}, .d = {0}, .image_size = {96}};
    CHECK(one.count() == std::to_string(1 << 10));
}

TEST_CASE("a joint space chooses bits and zeros of each block, too, and is otherwise the space that it compresses") {
    const Space& joint = ofa_resnet_cifar_joint();
    CHECK(joint.supernet == "ofa-resnet-cifar");
    // Each block has 16 times as many kinds: of stages of 2, 3 or 4 blocks of 3 expansions, 48^2 + 48^3 + 48^4.
    CHECK(joint.count() == "1434021673515406589952");
    Random random(1);
    const Arch arch = joint.sample(random);
    joint.check(arch);
    CHECK(joint.parse(arch.str()) == arch);
    CHECK(arch.str().find(",\"bits\":[") != std::string::npos);
    ofa_resnet_cifar().check(arch.uncompressed());
    CHECK(message_of([&] { ofa_resnet_cifar().check(arch); }) == "arch: bits: expected 0 numbers, got 12");
    CHECK(message_of([&] { joint.check(arch.uncompressed()); }) == "arch: bits: expected 12 numbers, got 0");
    CHECK(message_of([&] { joint.parse(arch.uncompressed().str()); }) == "arch: 'bits' is missing");
    CHECK(joint.largest().bits == std::vector<int>(12, 8));
    CHECK(joint.largest().kept == std::vector<int>(12, 100));
    std::set<int> bits, kept;
    for (int i = 0; i < 50; ++i) {
        const Arch mutant = joint.mutated(arch, {.arch = 0.3, .image_size = 0}, random);
        bits.insert(mutant.bits.begin(), mutant.bits.end()), kept.insert(mutant.kept.begin(), mutant.kept.end());
    }
    CHECK(bits == std::set<int>{3, 4, 6, 8});
    CHECK(kept == std::set<int>{20, 30, 50, 100});
    Arch left_out = joint.smallest();
    left_out.bits[3] = 8, left_out.kept[3] = 100;  // the fourth block of the first stage, which has two
    CHECK(joint.canonical(left_out) == joint.smallest());
    Space plain = joint;
    plain.choices.bits.clear(), plain.choices.kept.clear();
    Random first(7), second(7);
    plain.supernet.clear();
    CHECK(plain.sample(first) == ofa_resnet_cifar().sample(second));
}

TEST_CASE("an arch is read from its text as it is written, and what is wrong with a text is named") {
    const Space& space = mcunetv2();
    const Arch arch = example();
    const std::string good = arch.str();
    CHECK(space.parse(good) == arch);
    CHECK(space.parse("smallest") == space.smallest());
    CHECK(space.parse("largest") == space.largest());
    CHECK(good.starts_with("{\"wid\":0,\"ks\":[7,7,7,5,"));
    const auto says = [&](const std::string& text) { return message_of([&] { space.parse(text); }); };
    CHECK(says("{}") == "arch: 'wid' is missing");
    CHECK(says("[1]").starts_with("arch: expected an object like {\"wid\":0"));
    CHECK(says("{") == "arch: expected JSON in UTF-8");
    CHECK(says(replaced(good, "\"ks\"", "\"kz\"")) == "arch: unknown key 'kz'; did you mean 'ks'?");
    CHECK(says(replaced(good, "\"wid\":0", "\"wid\":3")) == "arch: wid: expected 0, 1 or 2, got 3");
    CHECK(says(replaced(good, "\"wid\":0", "\"wid\":\"0\"")) == "arch: wid: expected an integer");
    CHECK(says(replaced(good, "7,7,7,5", "7,7,5")) == "arch: ks: expected 20 numbers, got 19");
    CHECK(says(replaced(good, "7,7,7,5", "7,7,9,5")) == "arch: ks[2]: expected 3, 5 or 7, got 9");
    CHECK(says(replaced(good, "[1,2,1,0,2,0]", "[1,2,1,0,2,7]")) == "arch: d[5]: expected 0, 1 or 2, got 7");
    CHECK(says(replaced(good, ":96", ":100")) == "arch: image_size: expected 96, 112, 128, 144 or 160, got 100");
    CHECK(message_of([] { space_named("mcunetv3"); }) ==
          "unknown design space 'mcunetv3'; did you mean 'mcunetv2'?");
}

TEST_CASE("samples have every choice, mutations change their share, children take after both parents") {
    const Space& space = mcunetv2();
    Random random(1);
    std::set<int> sizes, widths, kernels, depths;
    for (int i = 0; i < 200; ++i) {
        const Arch arch = space.sample(random);
        space.check(arch);
        sizes.insert(arch.image_size), widths.insert(arch.wid);
        kernels.insert(arch.ks.begin(), arch.ks.end()), depths.insert(arch.d.begin(), arch.d.end());
    }
    CHECK(sizes.size() == 5);
    CHECK(widths.size() == 3);
    CHECK(kernels == std::set<int>{3, 5, 7});
    CHECK(depths == std::set<int>{0, 1, 2});

    const Arch a = space.smallest(), b = space.largest();
    CHECK(space.mutated(a, {.arch = 0, .image_size = 0}, random) == a);
    int changed = 0;  // a new kernel is the old one in one case of three
    for (int i = 0; i < 500; ++i) {
        const Arch mutant = space.mutated(a, {.arch = 0.3, .image_size = 0}, random);
        for (int kernel : mutant.ks) changed += kernel != 3;
    }
    CHECK(changed == doctest::Approx(500 * 20 * 0.3 * 2 / 3).epsilon(0.05));
    int from_b = 0;
    for (int i = 0; i < 500; ++i) {
        const Arch child = space.crossed(a, b, random);
        for (size_t k = 0; k < child.ks.size(); ++k) {
            CHECK((child.ks[k] == 3 || child.ks[k] == 7));
            from_b += child.ks[k] == 7;
        }
    }
    CHECK(from_b == doctest::Approx(5000).epsilon(0.05));
    Random first(7), second(7);
    CHECK(space.sample(first) == space.sample(second));
}
