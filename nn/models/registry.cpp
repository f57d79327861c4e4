#include "lathe/nn/models/registry.h"

#include <filesystem>
#include <mutex>

#include "lathe/core/files/file.h"
#include "lathe/nn/models/autoencoder.h"
#include "lathe/nn/models/description.h"
#include "lathe/nn/models/ds_cnn.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/nn/models/mobilenetv1_025.h"
#include "lathe/nn/models/mobilenetv2.h"
#include "lathe/nn/models/resnet20.h"
#include "lathe/nn/models/resnet8.h"
#include "lathe/nn/models/vgg_cifar.h"

namespace lathe::nn {

namespace {

template <Model (*make)(const ModelOptions&)>
std::unique_ptr<Model> of_zoo(const ModelOptions& options) {
    return std::unique_ptr<Model>(new Model(make(options)));
}

struct Registry {
    std::mutex mutex;
    std::vector<std::pair<std::string, ModelFactory>> models{
        {"lenet5", of_zoo<models::lenet5>},
        {"vgg-cifar", of_zoo<models::vgg_cifar>},
        {"resnet20", of_zoo<models::resnet20>},
        {"mobilenetv2", of_zoo<models::mobilenetv2>},
        {"resnet8", of_zoo<models::resnet8>},
        {"mobilenetv1-025", of_zoo<models::mobilenetv1_025>},
        {"ds-cnn", of_zoo<models::ds_cnn>},
        {"autoencoder", of_zoo<models::autoencoder>},
    };
};

Registry& registry() {
    static Registry all;
    return all;
}

ModelFactory find_model(const std::string& name) {
    const std::lock_guard lock(registry().mutex);
    for (const auto& [known, factory] : registry().models)
        if (known == name) return factory;
    return {};
}

}  // namespace

std::vector<std::string> model_names() {
    const std::lock_guard lock(registry().mutex);
    std::vector<std::string> names;
    for (const auto& [name, factory] : registry().models) names.push_back(name);
    return names;
}

void register_model(const std::string& name, ModelFactory factory) {
    check(!find_model(name), "register_model: the name '", name, "' is taken");
    const std::lock_guard lock(registry().mutex);
    registry().models.emplace_back(name, std::move(factory));
}

std::unique_ptr<Model> make_model(const std::string& name, const ModelOptions& options) {
    if (const ModelFactory factory = find_model(name)) return factory(options);
    if (name.ends_with(".json")) {
        const std::vector<std::byte> bytes = read_file(name);
        const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        return model_from_description(text, std::filesystem::path(name).stem().string(), options);
    }
    const std::string hint = nearest_name(name, model_names());
    fail("unknown model '", name, "'", hint.empty() ? "" : "; ", hint);
}

}  // namespace lathe::nn
