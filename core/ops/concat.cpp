#include "lathe/core/ops/concat.h"

#include "lathe/core/kernels/rows/copy_box.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

namespace {

Shape result_shape(Shapes inputs, int axis) {
    check(!inputs.empty(), "concat: expected at least one input");
    const Shape& first = inputs[0];
    axis = first.axis(axis);
    Shape shape = first;
    shape[axis] = 0;
    for (const Shape& x : inputs) {
        Shape fitting = first;
        if (x.rank() == first.rank()) fitting[axis] = x[axis];
        check(x == fitting, "concat: expected inputs like ", first, " but for axis ", axis, ", got ", x);
        shape[axis] += x[axis];
    }
    return shape;
}

}  // namespace

Variable concat(const std::vector<Variable>& inputs, int axis) {
    std::vector<Shape> shapes;
    for (const Variable& x : inputs) shapes.push_back(x.shape());
    const Shape shape = result_shape(shapes, axis);
    axis = shape.axis(axis);
    const DType dtype = inputs[0].dtype();
    std::vector<bool> needs;
    detail::Inputs pointers;
    for (const Variable& x : inputs) {
        check(x.dtype() == dtype, "concat: expected inputs of type ", name_of(dtype), ", got ", name_of(x.dtype()));
        needs.push_back(x.requires_grad());
        pointers.push_back(&x);
    }
    int64_t inner = static_cast<int64_t>(size_of(dtype));  // bytes from one index of the axis to the next
    for (int i = axis + 1; i < shape.rank(); ++i) inner *= shape[i];

    Tensor y(shape, dtype);
    std::byte* to = y.mutable_raw();
    for (const Variable& x : inputs) {
        kernels::copy_box(x.shape(), size_of(dtype), x.value().raw(), x.shape(), to, shape);
        to += x.dim(axis) * inner;
    }

    auto backward = [shapes = std::move(shapes), needs = std::move(needs), shape, axis, inner](Tensor dy) {
        Gradients gradients(shapes.size());  // each input's own part of dy
        const std::byte* from = dy.raw();
        for (size_t i = 0; i < shapes.size(); ++i) {
            if (needs[i]) {
                gradients[i] = Tensor(shapes[i], dy.dtype());
                kernels::copy_box(shapes[i], size_of(dy.dtype()), from, shape, gradients[i].mutable_raw(), shapes[i]);
            }
            from += shapes[i][axis] * inner;
        }
        return gradients;
    };
    auto attributes = [&] { return Attributes{{"axis", int64_t{axis}}}; };
    return record("concat", pointers, std::move(y), std::move(backward), attributes);
}

namespace row {
OpInfo concat() {
    return {.name = "concat",
            .min_inputs = 1,
            .max_inputs = -1,
            .attributes = {axis_spec()},
            .run = [](const Attributes& a, Inputs x, Mode) { return ops::concat({x.begin(), x.end()}, axis_of(a)); },
            .shape = [](const Attributes& a, Shapes x) { return result_shape(x, axis_of(a)); },
            .traits = {.any_layout = true},
            .channels = ChannelRule::concat};
}
}  // namespace row

}  // namespace lathe::ops
