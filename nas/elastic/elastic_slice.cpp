#include "lathe/nas/elastic/elastic_slice.h"

#include <algorithm>

#include "lathe/core/ops/linear.h"
#include "lathe/core/ops/permute.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/slice.h"

namespace lathe::nas {

namespace {

Tensor identity(int64_t side) {
    Tensor matrix = Tensor::zeros({side, side});
    for (int64_t i = 0; i < side; ++i) matrix.mutable_data<float>()[i * (side + 1)] = 1;
    return matrix;
}

// w [K, n, n, C], the matrix [m^2, m^2] with m = n - 2  ->  [K, m, m, C].
Variable smaller_kernel(const Variable& w, const Variable& matrix) {
    const int64_t m = w.dim(1) - 2, k = w.dim(0), c = w.dim(3);
    const Variable centre = ops::slice(ops::slice(w, 1, 1, m), 2, 1, m);
    const Variable taps = ops::reshape(ops::permute(centre, {0, 3, 1, 2}), {k * c, m * m});
    return ops::permute(ops::reshape(ops::linear(taps, matrix), {k, c, m, m}), {0, 2, 3, 1});
}

}  // namespace

ElasticSlice::ElasticSlice(const Tensor& weight) : full_(weight.shape()) {
    check(full_.rank() >= 1, "elastic_slice: expected a weight with channels, got a single number");
    if (has_kernel() && full_[1] == full_[2] && full_[1] % 2 == 1)
        for (int64_t n = full_[1] - 2; n >= 3; n -= 2) matrices_.emplace_back(identity(n * n).to(weight.dtype()));
    use({});
}

nn::TransformPtr ElasticSlice::make(const Attributes& config, const Tensor& weight) {
    auto slice = std::make_unique<ElasticSlice>(weight);
    slice->use({.out = config.integer("out"), .in = config.integer("in"), .kernel = config.integer("kernel")});
    return slice;
}

Attributes ElasticSlice::config() const {
    return {{"out", active_.out}, {"in", active_.in}, {"kernel", active_.kernel}};
}

std::string ElasticSlice::describe() const {
    return concatenated("elastic, ", active_.out, " of ", full_[0], " outputs, ", active_.in, " of ", full_.back(),
                          " inputs", has_kernel() ? concatenated(", kernel ", active_.kernel, " of ", full_[1]) : "");
}

void ElasticSlice::use(ActivePart part) {
    const int64_t inputs = full_.rank() > 1 ? full_.back() : 1, kernel = has_kernel() ? full_[1] : 1;
    if (part.out == 0) part.out = full_[0];
    if (part.in == 0) part.in = inputs;
    if (part.kernel == 0) part.kernel = kernel;
    check(part.out >= 1 && part.out <= full_[0] && part.in >= 1 && part.in <= inputs,
          "elastic_slice: expected up to ", full_[0], " outputs and ", inputs, " inputs, got ", part.out, " and ",
          part.in);
    const bool smaller = part.kernel >= 3 && part.kernel < kernel && part.kernel % 2 == 1;
    check(part.kernel == kernel || (smaller && !matrices_.empty()),
          "elastic_slice: expected the kernel ", kernel, " or an odd one from 3 on below it, got ", part.kernel);
    if (part == active_) return;
    active_ = part;
    ++version_;
}

// Channels first: the matrices then have less to do.
Variable ElasticSlice::apply(const Variable& weight, nn::Box& box) {
    Variable w = weight;
    const auto keep = [&](int axis, int64_t count) {
        if (count < w.dim(axis)) w = ops::slice(w, axis, 0, count);
        box.shape[axis] = count;
    };
    keep(0, active_.out);
    if (full_.rank() > 1) keep(full_.rank() - 1, active_.in);
    for (size_t i = 0; has_kernel() && w.dim(1) > active_.kernel; ++i) {
        w = smaller_kernel(w, matrices_[i].effective());
        for (int axis : {1, 2}) ++box.begin[axis], box.shape[axis] -= 2;
    }
    return w;
}

std::vector<nn::OwnParameter> ElasticSlice::parameters() {
    std::vector<nn::OwnParameter> own;
    int64_t side = has_kernel() ? full_[1] : 0;
    for (nn::Parameter& matrix : matrices_) {
        own.push_back({concatenated(side, "to", side - 2, "_matrix"), &matrix, nn::Along::none()});
        side -= 2;
    }
    return own;
}

void ElasticSlice::select_(int axis, const std::vector<int64_t>& indices) {
    const int last = full_.rank() - 1;
    check(axis == 0 || axis == last, "elastic_slice: expected to keep inputs or outputs, got axis ", axis, " of ",
          full_);
    const auto of_active = [&](int64_t active) {
        const auto kept = std::count_if(indices.begin(), indices.end(), [&](int64_t i) { return i < active; });
        return std::max<int64_t>(1, kept);
    };
    ActivePart part = active_;
    (axis == 0 ? part.out : part.in) = of_active(axis == 0 ? active_.out : active_.in);
    full_[axis] = static_cast<int64_t>(indices.size());
    use(part);
    ++version_;
}

void register_elastic_slice() { nn::register_transform("elastic_slice", {.make = ElasticSlice::make}); }

}  // namespace lathe::nas
