#include "lathe/core/ops/reshape.h"

#include <algorithm>

#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

Shape resolved(const Shape& x, const std::vector<int64_t>& wanted) {
    std::vector<int64_t> extents = wanted;
    int64_t known = 1;
    for (size_t i = 0; i < extents.size(); ++i) {
        check(extents[i] >= -1, "reshape: expected extents of at least 0, or -1, got ",
              Attributes{{"shape", wanted}}.str());
        if (extents[i] == 0 && static_cast<int>(i) < x.rank()) extents[i] = x[static_cast<int>(i)];
        if (extents[i] != -1) known *= extents[i];
    }
    const auto open = std::count(extents.begin(), extents.end(), -1);
    if (open > 0) {
        check(open == 1 && known > 0 && x.numel() % known == 0, "reshape: expected one -1 and extents that divide ", x,
              ", got ", Attributes{{"shape", wanted}}.str());
        *std::find(extents.begin(), extents.end(), -1) = x.numel() / known;
    }
    const Shape shape(extents);
    check(shape.numel() == x.numel(), "reshape: expected a shape of ", x.numel(), " elements like ", x, ", got ",
          shape);
    return shape;
}

// How a graph keeps a shape that was asked for, see reshape.h.
std::vector<int64_t> kept(const Shape& x, const std::vector<int64_t>& wanted, const Shape& got) {
    std::vector<int64_t> shape = wanted;
    if (shape.empty() || x.rank() == 0 || x.numel() == 0) return shape;
    if (got[0] == x[0]) shape[0] = 0;
    const bool open = std::count(shape.begin(), shape.end(), -1) > 0;
    if (!open && (shape.size() > 1 || shape[0] != 0)) shape.back() = -1;
    return shape;
}

Shape flattened(const Shape& x, int start_axis) {
    const int start = x.axis(start_axis);
    Shape shape;
    for (int i = 0; i < start; ++i) shape.push_back(x[i]);
    int64_t rest = 1;
    for (int i = start; i < x.rank(); ++i) rest *= x[i];
    shape.push_back(rest);
    return shape;
}

template <class MakeAttributes>
Variable view(const char* op, const Variable& x, const Shape& shape, MakeAttributes attributes) {
    if (shape == x.shape()) return x;
    auto backward = [x_shape = x.shape()](Tensor dy) { return Gradients{dy.reshape(x_shape)}; };
    return record(op, {&x}, x.value().reshape(shape), std::move(backward), attributes);
}

}  // namespace

Variable reshape(const Variable& x, const std::vector<int64_t>& shape) {
    const Shape got = resolved(x.shape(), shape);
    return view("reshape", x, got, [&] { return Attributes{{"shape", kept(x.shape(), shape, got)}}; });
}

Variable flatten(const Variable& x, int start_axis) {
    return view("flatten", x, flattened(x.shape(), start_axis), [&] {
        return Attributes{{"start_axis", int64_t{start_axis}}};
    });
}

namespace row {
OpInfo reshape() {
    return {.name = "reshape",
            .attributes = {{.type = AttributeSpec::integers, .name = "shape", .required = true}},
            .run = [](const Attributes& a, Inputs x, Mode) { return ops::reshape(x[0], a.integers("shape")); },
            .shape = [](const Attributes& a, Shapes x) { return resolved(x[0], a.integers("shape")); },
            .traits = {.view = true},
            .channels = ChannelRule::reshape};
}

OpInfo flatten() {
    return {.name = "flatten",
            .attributes = {{.type = AttributeSpec::integer, .name = "start_axis", .otherwise = int64_t{1}}},
            .run = [](const Attributes& a, Inputs x,
                      Mode) { return ops::flatten(x[0], static_cast<int>(a.integer("start_axis"))); },
            .shape = [](const Attributes& a,
                        Shapes x) { return flattened(x[0], static_cast<int>(a.integer("start_axis"))); },
            .traits = {.view = true},
            .channels = ChannelRule::reshape};
}
}  // namespace row

}  // namespace lathe::ops
