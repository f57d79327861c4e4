#include "lathe/core/shape.h"

#include <algorithm>

#include "lathe/core/error.h"

namespace lathe {

namespace {
constexpr int64_t kMaxElements = int64_t{1} << 60;  // their bytes can still be counted
}

Shape::Shape(std::initializer_list<int64_t> dims) {
    for (int64_t extent : dims) push_back(extent);
}

Shape::Shape(const std::vector<int64_t>& dims) {
    for (int64_t extent : dims) push_back(extent);
}

int64_t Shape::numel() const {
    int64_t product = 1;
    for (int64_t extent : *this)
        check(!__builtin_mul_overflow(product, extent, &product) && product <= kMaxElements, "shape: ", *this,
              " has more elements than any memory");
    return product;
}

bool Shape::operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

void Shape::push_back(int64_t extent) {
    check(rank_ < kMaxRank, "shape: expected at most ", kMaxRank, " dimensions, got more");
    check(extent >= 0, "shape: expected extents of at least 0, got ", extent);
    dims_[rank_++] = extent;
}

int Shape::axis(int axis) const {
    const int counted = axis < 0 ? axis + rank_ : axis;
    check(counted >= 0 && counted < rank_, "axis ", axis, " is out of range for shape ", *this);
    return counted;
}

std::string Shape::str() const { return concatenated(*this); }

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
    out << '[';
    for (int i = 0; i < shape.rank(); ++i) out << (i ? ", " : "") << shape[i];
    return out << ']';
}

}  // namespace lathe
