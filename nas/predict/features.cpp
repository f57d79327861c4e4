#include "lathe/nas/predict/features.h"

#include <algorithm>

namespace lathe::nas {

namespace {

// Writes a one where the value stands among the choices, and goes on behind them.
void one_of(float*& to, const std::vector<int>& choices, int value) {
    to[std::find(choices.begin(), choices.end(), value) - choices.begin()] = 1;
    to += choices.size();
}

void of_blocks(float*& to, const Space& space, const Arch& arch, const std::vector<int>& choices,
               const std::vector<int>& values) {
    size_t index = 0;
    for (size_t s = 0; s < space.stages.size(); ++s)
        for (int i = 0; i < space.stages[s].full_depth; ++i, ++index)
            if (i < space.depth(arch, s)) one_of(to, choices, values[index]);
            else to += choices.size();
}

}  // namespace

int64_t feature_count(const Space& space) {
    const Choices& c = space.choices;
    size_t count = c.image_size.size() + c.wid.size();
    for (const BlockChoice& choice : kBlockChoices) count += space.blocks() * (c.*choice.choices).size();
    return static_cast<int64_t>(count);
}

Tensor features(const Space& space, std::span<const Arch> archs) {
    Tensor x = Tensor::zeros({static_cast<int64_t>(archs.size()), feature_count(space)});
    float* to = x.mutable_data<float>();
    for (const Arch& arch : archs) {
        space.check(arch);
        one_of(to, space.choices.image_size, arch.image_size);
        one_of(to, space.choices.wid, arch.wid);
        for (const auto& [key, values, choices] : kBlockChoices)
            if (!(space.choices.*choices).empty()) of_blocks(to, space, arch, space.choices.*choices, arch.*values);
    }
    return x;
}

}  // namespace lathe::nas
