#include "lathe/nn/model.h"

namespace lathe::nn {

Model::Model(std::string architecture, ModelOptions options, std::unique_ptr<Module> net)
    : architecture_(std::move(architecture)), options_(std::move(options)), net_(std::move(net)) {
    child("", *net_);
}

Variable Model::forward(const Variable& x) {
    const Shape& input = options_.input;
    check(x.value().rank() == 4 && x.dim(3) == input[2], architecture_, ": expected input [N, H, W, ", input[2], "], got ", x.shape());
    return (*net_)(x);
}

}  // namespace lathe::nn
