#include "lathe/core/tape/gradcheck.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/random.h"

namespace lathe {

namespace {

Tensor random_direction(const Shape& shape, uint64_t seed) {
    Tensor direction(shape, DType::f64);
    Random random(seed);
    double* d = direction.mutable_data<double>();
    for (int64_t i = 0; i < direction.numel(); ++i) {
        const double size = random.uniform(0.5, 1.5);
        d[i] = random.bits() % 2 ? size : -size;
    }
    return direction;
}

double projected(const GradcheckFn& f, const std::vector<Tensor>& inputs, const Tensor& direction) {
    NoGrad no_grad;
    const Variable y = f({inputs.begin(), inputs.end()});
    const double* value = y.value().data<double>();
    const double* d = direction.data<double>();
    double total = 0;
    for (int64_t i = 0; i < direction.numel(); ++i) total += value[i] * d[i];
    return total;
}

}  // namespace

GradcheckResult gradcheck(const GradcheckFn& f, const std::vector<Tensor>& inputs, const GradcheckOptions& options) {
    std::vector<Variable> leaves;
    std::vector<Tensor> moved;
    for (const Tensor& input : inputs) {
        check(input.dtype() == DType::f64, "gradcheck: expected float64 inputs, got ", name_of(input.dtype()));
        moved.push_back(input.clone());
        leaves.push_back(Variable::leaf(input.clone()));
    }

    const Variable y = f(leaves);
    const Tensor direction = random_direction(y.shape(), options.seed);
    backward(y, direction);
    std::vector<Tensor> analytic;
    for (const Variable& leaf : leaves)
        analytic.push_back(leaf.grad() ? leaf.grad().clone() : Tensor::zeros(leaf.shape(), DType::f64));
    backward(f(leaves), direction);

    GradcheckResult result{.passed = true, .message = {}};
    auto report = [&](double error, size_t input, int64_t element, const char* what, double got, double expected) {
        if (!(error > result.worst)) {
            if (!std::isnan(error)) return;
        }
        result.worst = error;
        result.message = concatenated("input ", input, " element ", element, ": ", what, " ", got, ", expected ",
                                        expected, " (relative error ", error, ")");
        if (!(error <= options.tolerance)) result.passed = false;
    };

    for (size_t k = 0; k < inputs.size(); ++k) {
        const double* a = analytic[k].data<double>();
        double largest = 0;
        for (int64_t i = 0; i < inputs[k].numel(); ++i) largest = std::max(largest, std::abs(a[i]));
        for (int64_t i = 0; i < inputs[k].numel(); ++i) {
            double& x = moved[k].mutable_data<double>()[i];
            const double at = x, step = options.step * std::max(1.0, std::abs(at));
            x = at + step;
            const double above = projected(f, moved, direction);
            moved[k].mutable_data<double>()[i] = at - step;
            const double below = projected(f, moved, direction);
            moved[k].mutable_data<double>()[i] = at;
            const double numeric = (above - below) / (2 * step);
            const double scale = std::max({std::abs(a[i]), std::abs(numeric), 0.01 * largest, 1e-8});
            report(std::abs(a[i] - numeric) / scale, k, i, "gradient", a[i], numeric);
            const double twice = leaves[k].grad() ? leaves[k].grad().at(i) : 0;
            report(std::abs(twice - 2 * a[i]) / scale, k, i, "second backward accumulates to", twice, 2 * a[i]);
        }
    }
    return result;
}

}  // namespace lathe
