#include "lathe/core/tensor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lathe/core/memory.h"

namespace lathe {

size_t size_of(DType dtype) {
    switch (dtype) {
        case DType::f32: case DType::i32: return 4;
        case DType::f64: case DType::i64: return 8;
        case DType::i8: case DType::u8: return 1;
    }
    fail("unknown element type");
}

const char* name_of(DType dtype) {
    switch (dtype) {
        case DType::f32: return "f32";
        case DType::f64: return "f64";
        case DType::i8: return "i8";
        case DType::u8: return "u8";
        case DType::i32: return "i32";
        case DType::i64: return "i64";
    }
    return "?";
}

struct Tensor::Storage {
    Storage(size_t bytes, void* borrowed)
        : bytes(bytes),
          data(static_cast<std::byte*>(borrowed ? borrowed : memory::allocate(bytes))),
          owned(!borrowed) {}
    ~Storage() {
        if (owned) memory::release(data, bytes);
    }
    Storage(const Storage&) = delete;
    Storage& operator=(const Storage&) = delete;

    size_t bytes;
    std::byte* data;
    bool owned;
    uint32_t version = 0;
};

namespace {

struct Place {
    void* elements = nullptr;
    size_t bytes = 0;
};
constinit thread_local Place next_place;

// Where a new tensor of so many bytes is to stand; null: anywhere.
void* take_place(size_t bytes) {
    if (!next_place.elements || next_place.bytes != bytes) [[likely]]
        return nullptr;
    return std::exchange(next_place.elements, nullptr);
}

template <class F>
void visit_dtype(DType dtype, F&& f) {
    switch (dtype) {
        case DType::f32: f(float{}); break;
        case DType::f64: f(double{}); break;
        case DType::i8: f(int8_t{}); break;
        case DType::u8: f(uint8_t{}); break;
        case DType::i32: f(int32_t{}); break;
        case DType::i64: f(int64_t{}); break;
    }
}

}  // namespace

PlaceNextTensor::PlaceNextTensor(void* place, size_t bytes) { next_place = {place, bytes}; }
PlaceNextTensor::~PlaceNextTensor() { next_place = {}; }

Tensor::Tensor(const Shape& shape, DType dtype) : shape_(shape), numel_(shape.numel()), dtype_(dtype) {
    storage_ = std::make_shared<Storage>(bytes(), take_place(bytes()));
}

Tensor Tensor::borrow(void* elements, const Shape& shape, DType dtype) {
    Tensor view;
    view.shape_ = shape;
    view.numel_ = shape.numel();
    view.dtype_ = dtype;
    view.storage_ = std::make_shared<Storage>(view.bytes(), elements);
    return view;
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
    Tensor tensor(shape, dtype);
    std::memset(tensor.mutable_raw(), 0, tensor.bytes());
    return tensor;
}

Tensor Tensor::full(const Shape& shape, double value, DType dtype) {
    Tensor tensor(shape, dtype);
    tensor.fill_(value);
    return tensor;
}

const std::byte* Tensor::raw() const { return storage_ ? storage_->data + offset_ : nullptr; }

std::byte* Tensor::mutable_raw() {
    if (!storage_) return nullptr;
    ++storage_->version;
    return storage_->data + offset_;
}

int64_t Tensor::nonzeros() const {
    int64_t count = 0;
    visit_dtype(dtype_, [&](auto zero) {
        const auto* values = data<decltype(zero)>();
        count = numel_ - std::count(values, values + numel_, zero);
    });
    return count;
}

Tensor Tensor::clone() const {
    if (!storage_) return {};
    Tensor copy(shape_, dtype_);
    std::memcpy(copy.mutable_raw(), raw(), bytes());
    return copy;
}

Tensor Tensor::to(DType dtype) const {
    if (dtype == dtype_ || !storage_) return *this;
    Tensor out(shape_, dtype);
    visit_dtype(dtype_, [&](auto from) {
        visit_dtype(dtype, [&](auto into) {
            using From = decltype(from);
            using Into = decltype(into);
            const From* source = data<From>();
            Into* target = out.mutable_data<Into>();
            for (int64_t i = 0; i < numel_; ++i) target[i] = static_cast<Into>(source[i]);
        });
    });
    return out;
}

Tensor Tensor::reshape(const Shape& shape) const {
    check(shape.numel() == numel_, "reshape: expected a shape of ", numel_, " elements like ", shape_, ", got ", shape);
    Tensor view = *this;
    view.shape_ = shape;
    return view;
}

Tensor Tensor::rows(int64_t start, int64_t count) const {
    check(rank() > 0 && start >= 0 && count >= 0 && count <= shape_[0] - start, "rows: expected a range inside ",
          shape_, ", got ", start, " and ", count, " more");
    Tensor view = *this;
    view.shape_[0] = count;
    const int64_t row = shape_[0] ? numel_ / shape_[0] : 0;
    view.numel_ = row * count;
    view.offset_ += start * row * static_cast<int64_t>(size_of(dtype_));
    return view;
}

Tensor Tensor::permute(const std::vector<int>& axes) const {
    constexpr int64_t kTaken = -1;
    const int rank = shape_.rank();
    check(static_cast<int>(axes.size()) == rank, "permute: expected ", rank, " axes for ", shape_, ", got ",
          axes.size());
    Shape shape;
    std::vector<int64_t> source_stride(rank, 1), stride(rank);
    for (int i = rank - 2; i >= 0; --i) source_stride[i] = source_stride[i + 1] * shape_[i + 1];
    for (int i = 0; i < rank; ++i) {
        const int axis = shape_.axis(axes[i]);
        shape.push_back(shape_[axis]);
        stride[i] = std::exchange(source_stride[axis], kTaken);
        check(stride[i] != kTaken, "permute: expected every axis of ", shape_, " once, got axis ", axis, " again");
    }
    Tensor out(shape, dtype_);
    visit_dtype(dtype_, [&](auto zero) {
        using T = decltype(zero);
        const T* source = data<T>();
        T* target = out.mutable_data<T>();
        std::vector<int64_t> index(rank, 0);
        int64_t from = 0;
        for (int64_t i = 0; i < numel_; ++i) {
            target[i] = source[from];
            for (int axis = rank - 1; axis >= 0; --axis) {
                from += stride[axis];
                if (++index[axis] < shape[axis]) break;
                from -= stride[axis] * shape[axis];
                index[axis] = 0;
            }
        }
    });
    return out;
}

Tensor Tensor::select(int axis, const std::vector<int64_t>& indices) const {
    axis = shape_.axis(axis);
    Shape shape = shape_;
    shape[axis] = static_cast<int64_t>(indices.size());
    size_t inner = size_of(dtype_);
    for (int i = axis + 1; i < rank(); ++i) inner *= static_cast<size_t>(shape_[i]);
    int64_t outer = 1;
    for (int i = 0; i < axis; ++i) outer *= shape_[i];
    Tensor out(shape, dtype_);
    std::byte* target = out.mutable_raw();
    for (int64_t o = 0; o < outer; ++o)
        for (int64_t index : indices) {
            check(index >= 0 && index < shape_[axis], "select: index ", index, " is out of range for axis ", axis,
                  " of ", shape_);
            std::memcpy(target, raw() + static_cast<size_t>(o * shape_[axis] + index) * inner, inner);
            target += inner;
        }
    return out;
}

void Tensor::fill_(double value) {
    visit_dtype(dtype_, [&](auto zero) {
        using T = decltype(zero);
        std::fill_n(mutable_data<T>(), numel_, static_cast<T>(value));
    });
}

void Tensor::copy_(const Tensor& source) {
    check(source.shape_ == shape_ && source.dtype_ == dtype_, "copy: expected ", name_of(dtype_), " ", shape_, ", got ",
          name_of(source.dtype_), " ", source.shape_);
    std::memcpy(mutable_raw(), source.raw(), bytes());
}

double Tensor::item() const {
    check(numel_ == 1, "item: expected a tensor of one element, got ", shape_);
    return at(0);
}

double Tensor::at(int64_t i) const {
    check(i >= 0 && i < numel_, "at: index ", i, " is out of range for ", shape_);
    double value = 0;
    visit_dtype(dtype_, [&](auto zero) { value = static_cast<double>(data<decltype(zero)>()[i]); });
    return value;
}

uint32_t Tensor::version() const { return storage_ ? storage_->version : 0; }
bool Tensor::unique() const { return storage_.use_count() == 1; }

void Tensor::fail_dtype(DType dtype) const {
    if (!storage_) fail("expected a tensor of ", name_of(dtype), ", got an empty one");
    fail("expected a tensor of ", name_of(dtype), ", got ", name_of(dtype_), " ", shape_);
}

}  // namespace lathe
