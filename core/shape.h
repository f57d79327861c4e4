#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>
#include <vector>

namespace lathe {

// The extents of a tensor, outermost first. Held inline: making and copying one costs no allocation.
class Shape {
public:
    static constexpr int kMaxRank = 6;

    Shape() = default;
    Shape(std::initializer_list<int64_t> dims);
    explicit Shape(const std::vector<int64_t>& dims);

    int rank() const { return rank_; }
    int64_t operator[](int axis) const { return dims_.data()[axis]; }
    int64_t& operator[](int axis) { return dims_.data()[axis]; }
    int64_t back() const { return dims_.data()[rank_ - 1]; }
    const int64_t* begin() const { return dims_.data(); }
    const int64_t* end() const { return dims_.data() + rank_; }
    int64_t numel() const;  // product of the extents; 1 for rank 0. Error: above 2^60
    bool operator==(const Shape& other) const;

    void push_back(int64_t extent);
    // The axis counted from the front; negative ones count from the back. Error: out of range.
    int axis(int axis) const;
    std::string str() const;  // "[128, 32, 32, 3]"

private:
    std::array<int64_t, kMaxRank> dims_{};
    int rank_ = 0;
};

std::ostream& operator<<(std::ostream& out, const Shape& shape);

}  // namespace lathe
