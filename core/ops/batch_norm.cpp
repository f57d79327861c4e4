#include "lathe/core/ops/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "lathe/core/kernels/norm/batch_norm.h"
#include "lathe/core/memory.h"
#include "lathe/core/ops/detail/row.h"

namespace lathe::ops {

using kernels::ChannelAffine;
using kernels::ChannelGradient;

namespace {

void check_shapes(const Shape& x, std::initializer_list<const Shape*> of_channels) {
    check(x.rank() == 2 || x.rank() == 4, "batch_norm: expected x [N, C] or [N, H, W, C], got ", x);
    constexpr const char* names[] = {"weight", "bias", "running_mean", "running_var"};
    const char* const* name = names;
    for (const Shape* shape : of_channels) {
        check(is_absent(*shape) || *shape == Shape{x.back()}, "batch_norm: expected ", *name, " [", x.back(), "], got ",
              *shape);
        ++name;
    }
}

void check_call(const Variable& x, const Variable& weight, const Variable& bias, const Variable& running_mean,
                const Variable& running_var, const BatchNormOptions& o) {
    check_shapes(x.shape(), {&shape_of(weight), &shape_of(bias), &shape_of(running_mean), &shape_of(running_var)});
    for (const Variable* v : {&weight, &bias, &running_mean, &running_var})
        check(!*v || v->dtype() == x.dtype(), "batch_norm: expected values like x, of type ", name_of(x.dtype()),
              ", got ", name_of(v->dtype()));
    check(bool(running_mean) == bool(running_var), "batch_norm: expected running_mean and running_var, got only one");
    check((o.training && !o.folded) || running_mean, "batch_norm: expected running statistics when ",
          o.folded ? "folded" : "not training");
    check(!o.training || x.value().numel() > x.shape().back(),
          "batch_norm: expected more than one value per channel when training, got x ", x.shape());
    check(o.activation <= Activation::hard_swish,
          "batch_norm: expected activation none, relu, relu6 or hard_swish, got ", name_of(o.activation));
}

// Rows of the saved coefficients [4, C].
enum { kMean, kScale, kBias, kInvStd };

template <class T>
ChannelAffine<T> affine(const Tensor& coefficients, Activation activation) {
    const int64_t c = coefficients.dim(1);
    const T* at = coefficients.data<T>();
    return {at + kMean * c, at + kScale * c, at + kBias * c, activation};
}

double away_from_zero(double weight) {
    return std::abs(weight) < kLeastFoldedWeight ? std::copysign(kLeastFoldedWeight, weight) : weight;
}

// running = (1 - momentum) running + momentum batch, of both statistics. batch f64 [2, C]: mean and unbiased variance.
void move_running(Variable running_mean, Variable running_var, const Tensor& batch, double momentum) {
    with_float(running_mean.value(), [&](auto zero) {
        using T = decltype(zero);
        const double* from = batch.data<double>();
        for (Variable* running : {&running_mean, &running_var}) {
            T* to = running->value().mutable_data<T>();
            for (int64_t k = 0; k < batch.dim(1); ++k, ++from)
                to[k] = static_cast<T>((1 - momentum) * static_cast<double>(to[k]) + momentum * *from);
        }
    });
}

struct Forward {
    Tensor coefficients;  // [4, C], for backward
    Tensor batch;         // f64 [2, C], when training: mean and unbiased variance
};

template <class T>
Forward forward(const Variable& x, const Variable& weight, const Variable& bias, const Variable& running_mean,
                const Variable& running_var, const BatchNormOptions& o, Tensor& y) {
    const int64_t c = x.shape().back(), n = x.value().numel() / c;
    Workspace<double> mean(static_cast<size_t>(c)), variance(static_cast<size_t>(c));
    if (o.training) {
        kernels::channel_moments(n, c, x.value().data<T>(), mean.data(), variance.data());
    } else {
        std::copy_n(running_mean.value().data<T>(), c, mean.data());
        std::copy_n(running_var.value().data<T>(), c, variance.data());
    }

    Forward made{.coefficients = Tensor({4, c}, x.dtype()),
                 .batch = o.training ? Tensor({2, c}, DType::f64) : Tensor{}};
    T* out = made.coefficients.mutable_data<T>();
    for (int64_t k = 0; k < c; ++k) {
        double w = weight ? weight.value().data<T>()[k] : 1, factor = 1;
        if (o.folded) {
            factor = folded_factor(w, running_var.value().data<T>()[k], o.eps);
            w = away_from_zero(w);
        }
        if (o.training) {
            mean[k] /= factor, variance[k] /= factor * factor;
            double* batch = made.batch.mutable_data<double>();
            batch[k] = mean[k];
            batch[c + k] = variance[k] * (static_cast<double>(n) / static_cast<double>(n - 1));
        }
        const double inv_std = 1 / std::sqrt(variance[k] + o.eps) / factor;
        out[kMean * c + k] = static_cast<T>(mean[k] * factor);
        out[kScale * c + k] = static_cast<T>(w * inv_std);
        out[kBias * c + k] = bias ? bias.value().data<T>()[k] : T(0);
        out[kInvStd * c + k] = static_cast<T>(inv_std);
    }
    kernels::batch_norm_forward(n, c, x.value().data<T>(), affine<T>(made.coefficients, o.activation),
                                y.mutable_data<T>());
    return made;
}

// Backward: with dz = dy activation'(z), h = (x - mean) inv_std and scale = weight inv_std,
//   dbias = sum dz,   dweight = sum dz h,
//   dx = scale dz                                    in evaluation, where the statistics are constants;
//   dx = scale (dz - mean of dz - h mean of (dz h))   in training, where they depend on x.
// Sums and means run over the pixels of a channel. The kernels take (x - mean) for h.
//
// Where the last line comes from: for the n values x_i of a channel, z_i = weight h_i + bias, and with s = inv_std
// = (v + eps)^(-1/2) and v = mean of (x_i - mean)^2 the loss L reaches x_i on three ways. Let g_i = weight dz_i, which
// is dL/dh_i:
//   through h_i itself                g_i s
//   through the mean, dmean/dx = 1/n  dL/dmean = -s sum g    (by way of v nothing: x - mean adds up to 0)
//   through v, dv/dx_i = 2 (x_i - mean) / n  and  dL/dv = sum g_i (x_i - mean) (-1/2) s^3 = -1/2 s^2 sum g h
// and together  dx_i = s g_i - s mean of g - s h_i mean of (g h).  So dx has no part along a constant and none along h:
// what would only shift or stretch the channel is undone by the norm, and has no gradient.
//
// Folded, x / f stands in the place of x: all of it holds with inv_std / f for inv_std, f a constant.
template <class T>
Gradients backward(const Tensor& x, Tensor dy, const Tensor& coefficients, const BatchNormOptions& o, bool needs_x,
                   bool needs_weight, bool needs_bias) {
    const int64_t c = x.shape().back(), n = x.numel() / c;
    const ChannelAffine<T> a = affine<T>(coefficients, o.activation);
    const T* inv_std = coefficients.data<T>() + kInvStd * c;
    Workspace<double> sum(static_cast<size_t>(c)), product(static_cast<size_t>(c));
    if (o.training || needs_weight || needs_bias)
        kernels::batch_norm_sums(n, c, x.data<T>(), dy.data<T>(), a, sum.data(), product.data());

    Gradients gradients(5);
    if (needs_weight) {
        T* dweight = (gradients[1] = Tensor({c}, x.dtype())).template mutable_data<T>();
        for (int64_t k = 0; k < c; ++k) dweight[k] = static_cast<T>(product[k] * inv_std[k]);
    }
    if (needs_bias) {
        T* dbias = (gradients[2] = Tensor({c}, x.dtype())).template mutable_data<T>();
        for (int64_t k = 0; k < c; ++k) dbias[k] = static_cast<T>(sum[k]);
    }
    if (needs_x) {
        Workspace<T> slope(static_cast<size_t>(c)), constant(static_cast<size_t>(c));
        for (int64_t k = 0; k < c; ++k) {
            const double factor = o.training ? -static_cast<double>(a.scale[k]) / static_cast<double>(n) : 0;
            slope[k] = o.training ? static_cast<T>(factor * inv_std[k] * inv_std[k] * product[k]) : T(0);
            constant[k] = o.training ? static_cast<T>(factor * sum[k]) : T(0);
        }
        const T* d = dy.data<T>();
        Tensor dx = dy.unique() ? dy : Tensor(dy.shape(), dy.dtype());
        kernels::batch_norm_backward(n, c, x.data<T>(), d, a, {slope.data(), constant.data()}, dx.mutable_data<T>());
        gradients[0] = std::move(dx);
    }
    return gradients;
}

}  // namespace

Variable batch_norm(const Variable& x, const Variable& weight, const Variable& bias, Variable running_mean,
                    Variable running_var, const BatchNormOptions& options) {
    check_call(x, weight, bias, running_mean, running_var, options);
    Tensor y(x.shape(), x.dtype());
    Forward made;
    with_float(y, [&](auto zero) {
        made = forward<decltype(zero)>(x, weight, bias, running_mean, running_var, options, y);
    });
    if (options.training && running_mean && !options.folded && !recomputing())  // else they had this batch before
        move_running(running_mean, running_var, made.batch, options.momentum);
    const bool moves_later = options.training && options.folded;
    auto step = [x = Saved(x), coefficients = made.coefficients, options, needs_weight = weight.requires_grad(),
                 needs_bias = bias.requires_grad(), batch = moves_later ? made.batch : Tensor{},
                 mean = moves_later ? running_mean : Variable(),
                 var = moves_later ? running_var : Variable()](Tensor dy) {
        if (batch) move_running(mean, var, batch, options.momentum);
        return with_float(dy, [&](auto zero) {
            return backward<decltype(zero)>(*x, std::move(dy), coefficients, options, x.needs(), needs_weight,
                                            needs_bias);
        });
    };
    auto attributes = [&] {
        Attributes all{
            {"momentum", options.momentum}, {"eps", options.eps}, {"activation", text_of(options.activation)}};
        if (options.folded) all.add("folded", int64_t{1});
        return all;
    };
    return record("batch_norm", {&x, &weight, &bias, &running_mean, &running_var}, std::move(y), std::move(step),
                  attributes);
}

double folded_factor(double weight, double running_var, double eps) {
    return away_from_zero(weight) / std::sqrt(running_var + eps);
}

namespace row {
namespace {

bool is_folded(const Attributes& a) { return a.has("folded") && a.integer("folded") != 0; }

// In evaluation: scale = weight / sqrt(var + eps), shift = bias - mean scale. A channel of scale 0 gives its bias
// whatever x is, so the shift is taken there as it stands. Folded, x has the scale already.
OpInfo::Affine affine(const Attributes& a, std::span<const Tensor> x) {
    const Tensor &weight = x[1], &bias = x[2], &mean = x[3], &variance = x[4];
    OpInfo::Affine y{.activation = activation_of(a)};
    for (int64_t k = 0; k < mean.numel(); ++k) {
        const double w = weight ? weight.at(k) : 1, eps = a.real("eps");
        const double scale = is_folded(a) ? folded_factor(w, variance.at(k), eps) : w / std::sqrt(variance.at(k) + eps);
        y.scale.push_back(is_folded(a) ? 1 : scale);
        y.shift.push_back((bias ? bias.at(k) : 0) - mean.at(k) * scale);
    }
    return y;
}

}  // namespace

OpInfo batch_norm() {
    return {.name = "batch_norm",
            .min_inputs = 5,
            .max_inputs = 5,
            .attributes = {{.type = AttributeSpec::real, .name = "momentum", .otherwise = 0.1},
                           {.type = AttributeSpec::real, .name = "eps", .otherwise = 1e-5},
                           activation_spec(),
                           {.type = AttributeSpec::integer, .name = "folded", .optional = true}},
            .run = [](const Attributes& a, Inputs x, Mode mode) {
                const bool frozen = x[1] && !x[1].requires_grad();
                return ops::batch_norm(x[0], x[1], x[2], x[3], x[4],
                                       {.training = mode == Mode::training && !frozen, .momentum = a.real("momentum"),
                                        .eps = a.real("eps"), .activation = activation_of(a),
                                        .folded = is_folded(a)});
            },
            .shape = [](const Attributes&, Shapes x) {
                check_shapes(x[0], {&x[1], &x[2], &x[3], &x[4]});
                return x[0];
            },
            .traits = {.per_channel = true, .lab_macs = true},
            .channels = ChannelRule::norm,
            .affine = affine};
}
}  // namespace row

}  // namespace lathe::ops
