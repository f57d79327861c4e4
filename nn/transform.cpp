#include "lathe/nn/transform.h"

#include "lathe/nn/mask.h"

namespace lathe::nn {

namespace {

std::map<std::string, TransformFactory>& factories() {
    static std::map<std::string, TransformFactory> known{
        {"mask", []() -> std::unique_ptr<WeightTransform> { return std::make_unique<Mask>(); }}};
    return known;
}

}  // namespace

void register_transform(const std::string& kind, TransformFactory factory) { factories()[kind] = factory; }

std::unique_ptr<WeightTransform> make_transform(const std::string& kind) {
    const auto found = factories().find(kind);
    check(found != factories().end(), "weight transform: unknown kind '", kind, "'");
    return found->second();
}

}  // namespace lathe::nn
