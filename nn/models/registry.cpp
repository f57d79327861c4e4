#include "lathe/nn/models/registry.h"

#include "lathe/nn/models/autoencoder.h"
#include "lathe/nn/models/ds_cnn.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/nn/models/mobilenetv1_025.h"
#include "lathe/nn/models/mobilenetv2.h"
#include "lathe/nn/models/resnet20.h"
#include "lathe/nn/models/resnet8.h"
#include "lathe/nn/models/vgg_cifar.h"

namespace lathe::nn {

namespace {

using Factory = Model (*)(const ModelOptions&);

const std::vector<std::pair<std::string, Factory>> kZoo = {
    {"lenet5", models::lenet5},       {"vgg-cifar", models::vgg_cifar},
    {"resnet20", models::resnet20},   {"mobilenetv2", models::mobilenetv2},
    {"resnet8", models::resnet8},     {"mobilenetv1-025", models::mobilenetv1_025},
    {"ds-cnn", models::ds_cnn},       {"autoencoder", models::autoencoder},
};

}  // namespace

std::vector<std::string> model_names() {
    std::vector<std::string> names;
    for (const auto& [name, factory] : kZoo) names.push_back(name);
    return names;
}

std::unique_ptr<Model> make_model(const std::string& name, const ModelOptions& options) {
    for (const auto& [known, factory] : kZoo)
        if (known == name) return std::unique_ptr<Model>(new Model(factory(options)));
    const std::string hint = nearest_name(name, model_names());
    fail("unknown model '", name, "'", hint.empty() ? "" : "; ", hint);
}

}  // namespace lathe::nn
