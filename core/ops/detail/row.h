#pragma once
#include "lathe/core/graph/op_table.h"
#include "lathe/core/ops/detail/window.h"

// What rows of the op table share: how they read attributes and say shapes.
namespace lathe::ops {

inline Pair pair_of(const Attributes& a, const char* name) {
    const std::vector<int64_t>& both = a.integers(name);
    return {both.at(0), both.at(1)};
}
inline Padding padding_of(const Attributes& a) {
    const std::vector<int64_t>& sides = a.integers("padding");
    return {sides.at(0), sides.at(1), sides.at(2), sides.at(3)};
}
inline Activation activation_of(const Attributes& a) { return activation_named(a.text("activation")); }
inline int axis_of(const Attributes& a) { return static_cast<int>(a.integer("axis")); }

inline Attribute list_of(Pair pair) { return std::vector<int64_t>{pair.h, pair.w}; }
inline Attribute list_of(const Padding& p) { return std::vector<int64_t>{p.top, p.bottom, p.left, p.right}; }
inline Attribute text_of(Activation activation) { return std::string(name_of(activation)); }

inline AttributeSpec stride_spec() {
    return {.type = AttributeSpec::integers, .name = "stride", .count = 2, .otherwise = list_of(Pair{})};
}
inline AttributeSpec padding_spec() {
    return {.type = AttributeSpec::integers, .name = "padding", .count = 4, .otherwise = list_of(Padding{})};
}
inline AttributeSpec activation_spec() {
    return {.type = AttributeSpec::text, .name = "activation", .otherwise = text_of(Activation::none)};
}
inline AttributeSpec axis_spec() { return {.type = AttributeSpec::integer, .name = "axis", .otherwise = int64_t{-1}}; }

// The input, or an absent one where the call has fewer.
inline Variable input_or_none(Inputs x, size_t i) { return i < x.size() ? x[i] : Variable(); }
inline const Shape& shape_or_none(Shapes x, size_t i) { return i < x.size() ? x[i] : kAbsent; }
inline const Shape& shape_of(const Variable& x) { return x ? x.shape() : kAbsent; }

inline Shape same_shape(const Attributes&, Shapes x) { return x[0]; }
inline Shape no_shape(const Attributes&, Shapes) { return {}; }  // of a single number

// The running extents of an axis are rows: rows of x, of its last axis.
inline int64_t rows_of(const Shape& x) { return x.back() ? x.numel() / x.back() : 0; }

}  // namespace lathe::ops
