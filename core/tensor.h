#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/shape.h"

namespace lathe {

// float32 trains; float64 serves gradient checks; the integers hold labels, pixels and quantized values.
enum class DType : uint8_t { f32, f64, i8, u8, i32, i64 };

size_t size_of(DType dtype);
const char* name_of(DType dtype);  // "f32", ...
inline bool is_float(DType dtype) { return dtype == DType::f32 || dtype == DType::f64; }

template <class T>
struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::f32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::f64; };
template <> struct DTypeOf<int8_t> { static constexpr DType value = DType::i8; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::u8; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::i32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::i64; };

// A contiguous row-major array: a handle on shared storage, a shape and an element type. Copying the handle shares the
// elements; clone() copies them. Images are [N, H, W, C]. Every request for writable elements counts as a write
// (version()), which is how a gradient notices that a value it needs was overwritten.
class Tensor {
public:
    Tensor() = default;  // empty: no storage, false
    Tensor(const Tensor&) = default;
    Tensor(Tensor&&) = default;
    // A handle just returned cannot be assigned: that would change nothing
    Tensor& operator=(const Tensor&) & = default;
    Tensor& operator=(Tensor&&) & = default;
    explicit Tensor(const Shape& shape, DType dtype = DType::f32);  // elements uninitialised

    static Tensor zeros(const Shape& shape, DType dtype = DType::f32);
    static Tensor full(const Shape& shape, double value, DType dtype = DType::f32);
    template <class T>
    static Tensor of(const Shape& shape, const std::vector<T>& values);  // Error: count differs from the shape's
    // A view of elements that somebody else keeps for as long as it is used.
    static Tensor borrow(void* elements, const Shape& shape, DType dtype = DType::f32);
    static Tensor scalar(double value, DType dtype = DType::f32) { return full({}, value, dtype); }

    explicit operator bool() const { return storage_ != nullptr; }
    const Shape& shape() const { return shape_; }
    int64_t dim(int axis) const { return shape_[shape_.axis(axis)]; }
    int rank() const { return shape_.rank(); }
    int64_t numel() const { return numel_; }
    DType dtype() const { return dtype_; }
    size_t bytes() const { return static_cast<size_t>(numel_) * size_of(dtype_); }

    // Elements for reading, for writing. Error: T is not the tensor's element type.
    template <class T>
    const T* data() const {
        expect_dtype(DTypeOf<T>::value);
        return reinterpret_cast<const T*>(raw());
    }
    template <class T>
    T* mutable_data() {
        expect_dtype(DTypeOf<T>::value);
        return reinterpret_cast<T*>(mutable_raw());
    }
    const std::byte* raw() const;
    std::byte* mutable_raw();

    Tensor clone() const;
    Tensor to(DType dtype) const;                // converted copy; the same handle when already of that type
    Tensor reshape(const Shape& shape) const;    // the same elements. Error: another count
    Tensor rows(int64_t start, int64_t count) const;  // a view of [start, start + count) along axis 0
    Tensor permute(const std::vector<int>& axes) const;  // copy with axes reordered. Error: an axis twice
    Tensor select(int axis, const std::vector<int64_t>& indices) const;  // copy of the named slices along the axis

    void fill_(double value);
    void copy_(const Tensor& source);  // Error: shape or type differs
    double item() const;               // the only element, of any type. Error: not exactly one element
    int64_t nonzeros() const;          // elements other than zero
    double at(int64_t flat_index) const;  // any element, as double (slow; for tests and reports)

    uint32_t version() const;  // grows with every request for writable elements of this storage
    bool unique() const;       // nobody else shares the storage
    bool shares_storage(const Tensor& other) const { return storage_ == other.storage_; }

private:
    struct Storage;
    void expect_dtype(DType dtype) const {
        if (dtype != dtype_ || !storage_) [[unlikely]]
            fail_dtype(dtype);
    }
    [[noreturn]] void fail_dtype(DType dtype) const;

    std::shared_ptr<Storage> storage_;
    Shape shape_;
    int64_t numel_ = 0;
    int64_t offset_ = 0;  // bytes into the storage
    DType dtype_ = DType::f32;
};

// While it lives, the first tensor of so many bytes that this thread makes has its elements at `place`, which must
// outlive that tensor: so an op writes its result where its caller wants it. Whether it did shows in the result's
// raw().
class PlaceNextTensor {
public:
    PlaceNextTensor(void* place, size_t bytes);
    ~PlaceNextTensor();
    PlaceNextTensor(const PlaceNextTensor&) = delete;
    PlaceNextTensor& operator=(const PlaceNextTensor&) = delete;
};

template <class T>
Tensor Tensor::of(const Shape& shape, const std::vector<T>& values) {
    check(static_cast<int64_t>(values.size()) == shape.numel(), "tensor: expected ", shape.numel(),
          " values for shape ", shape, ", got ", values.size());
    Tensor tensor(shape, DTypeOf<T>::value);
    T* out = tensor.mutable_data<T>();
    for (size_t i = 0; i < values.size(); ++i) out[i] = values[i];
    return tensor;
}

// Calls f with a float or a double, by the type of the tensor: `with_float(x, [&](auto zero) { using T =
// decltype(zero); … })`. Error: x is not of a floating type.
template <class F>
auto with_float(const Tensor& x, F&& f) {
    if (x.dtype() == DType::f32) return f(float{});
    check(x.dtype() == DType::f64, "expected a float32 or float64 tensor, got ", name_of(x.dtype()));
    return f(double{});
}

}  // namespace lathe
