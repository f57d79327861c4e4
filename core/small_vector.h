#pragma once
#include <array>
#include <cstddef>
#include <initializer_list>
#include <utility>
#include <vector>

namespace lathe {

// A sequence whose first N elements live inside it: what an op needs a handful of costs no allocation.
template <class T, size_t N>
class SmallVector {
public:
    SmallVector() = default;
    explicit SmallVector(size_t count) : size_(count) {
        if (count > N) rest_.resize(count - N);
    }
    SmallVector(std::initializer_list<T> items) {
        for (const T& item : items) push_back(item);
    }

    void push_back(T item) {
        if (size_ < N) few_[size_] = std::move(item);
        else rest_.push_back(std::move(item));
        ++size_;
    }

    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }
    T& operator[](size_t i) { return i < N ? few_[i] : rest_[i - N]; }
    const T& operator[](size_t i) const { return i < N ? few_[i] : rest_[i - N]; }

private:
    std::array<T, N> few_{};
    std::vector<T> rest_;
    size_t size_ = 0;
};

}  // namespace lathe
