#include "lathe/core/ops/reshape.h"

#include <algorithm>

namespace lathe::ops {

namespace {

Variable view(const char* op, const Variable& x, const Shape& shape) {
    if (shape == x.shape()) return x;
    auto backward = [x_shape = x.shape()](Tensor dy) { return Gradients{dy.reshape(x_shape)}; };
    auto attributes = [&] { return Attributes{{"shape", std::vector<int64_t>(shape.begin(), shape.end())}}; };
    return record(op, {&x}, x.value().reshape(shape), std::move(backward), attributes);
}

}  // namespace

Variable reshape(const Variable& x, const std::vector<int64_t>& shape) {
    std::vector<int64_t> extents = shape;
    const auto open = std::find(extents.begin(), extents.end(), -1);
    if (open != extents.end()) {
        int64_t known = 1;
        for (int64_t extent : extents)
            if (extent != -1) known *= extent;
        check(known > 0 && x.value().numel() % known == 0 && std::count(extents.begin(), extents.end(), -1) == 1,
              "reshape: expected one -1 and extents that divide ", x.shape(), ", got ", Attributes{{"shape", shape}}.str());
        *open = x.value().numel() / known;
    }
    return view("reshape", x, Shape(extents));
}

Variable flatten(const Variable& x, int start_axis) {
    const int start = x.shape().axis(start_axis);
    Shape shape;
    for (int i = 0; i < start; ++i) shape.push_back(x.dim(i));
    int64_t rest = 1;
    for (int i = start; i < x.value().rank(); ++i) rest *= x.dim(i);
    shape.push_back(rest);
    return view("flatten", x, shape);
}

}  // namespace lathe::ops
