#include "lathe/nn/model.h"

#include "lathe/core/random.h"
#include "lathe/nn/layers/linear.h"

namespace lathe::nn {

Model::Model(std::string architecture, ModelOptions options, std::unique_ptr<Module> net)
    : architecture_(std::move(architecture)), options_(std::move(options)), net_(std::move(net)) {
    child("", *net_);
    for (const auto& [name, parameter] : named_parameters()) built_[name] = parameter->shape();
}

void Model::replace_classifier(int64_t classes) {
    std::string last_name;
    Linear* last = nullptr;
    for (const auto& [name, module] : named_modules())
        if (auto* linear = dynamic_cast<Linear*>(module)) {
            last_name = name;
            last = linear;
        }
    check(last && options_.classes > 0 && last->weight.value().dim(0) == options_.classes, architecture_,
          ": expected a last linear layer with an output for each class, to be replaced");
    last->reset(classes);
    options_.classes = classes;
    class_names.clear();
    for (const char* name : {".weight", ".bias"})
        if (auto built = built_.find(last_name + name); built != built_.end()) built->second[0] = classes;
}

Tensor Model::example(int64_t batch, const Shape& input) {
    Shape shape{batch};
    for (int64_t extent : input) shape.push_back(extent);
    Tensor x(shape);
    Random random(0);
    float* values = x.mutable_data<float>();
    for (int64_t i = 0; i < x.numel(); ++i) values[i] = static_cast<float>(random.normal());
    return x;
}

bool Model::resized() {
    for (const auto& [name, parameter] : named_parameters())
        if (parameter->shape() != built_.at(name)) return true;
    return false;
}

Variable Model::forward(const Variable& x) {
    const Shape& input = options_.input;
    check(x.value().rank() == input.rank() + 1 && x.shape().back() == input.back(), architecture_, ": expected input [N, ",
          input.rank() == 3 ? "H, W, " : "", input.back(), "], got ", x.shape());
    return (*net_)(x);
}

}  // namespace lathe::nn
