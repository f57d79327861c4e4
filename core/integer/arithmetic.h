#pragma once
#include <math.h>
#include <stdint.h>

// The arithmetic of integer inference, written down once: what fake quantization simulates, what the executor's kernels
// compute, vectors and all, and what generated C includes. So it is C as well as C++ and knows nothing of Lathe.
// Values are  real = scale (integer - zero).
//
// Rounding is to nearest with ties towards plus infinity, once, at the end of each operation ("single rounding" of
// TFLite and CMSIS-NN). Their other convention rounds twice, to 31 bits and then by a division: a value just below a
// tie is first rounded onto it and then away, so it errs by more than half a step, and its rule for ties needs the
// sign of each value, which costs vectors a third more instructions.
#ifdef __cplusplus
namespace lathe::integer {
#endif

// real = m 2^(s - 31), m in [2^30, 2^31) or 0.
typedef struct {
    int32_t m, s;
} Multiplier;

// The nearest one; of less than 2^-32 it is 0. real is finite, positive or zero, and less than 2^30.
static inline Multiplier multiplier_of(double real) {
    int s = 0;
    Multiplier found = {0, 0};
    int64_t m = (int64_t)llround(ldexp(frexp(real, &s), 31));
    if (m == (int64_t)1 << 31) {
        m >>= 1;
        ++s;
    }
    if (m == 0 || s < -31) return found;
    found.m = (int32_t)m;
    found.s = s;
    return found;
}

// round((v m + beside) 2^-shift), shift = 31 - s in 1..62: what else a result is made of, of finer steps than v's, is
// rounded with it. |v m + beside| is at most 2^62, and the result must fit into 32 bits.
static inline int32_t requantize_with(int32_t v, int32_t m, int64_t beside, int32_t shift) {
    return (int32_t)(((int64_t)v * m + beside + ((int64_t)1 << (shift - 1))) >> shift);
}
// round(v m 2^-shift)
static inline int32_t requantize(int32_t v, int32_t m, int32_t shift) { return requantize_with(v, m, 0, shift); }

static inline int32_t saturate(int32_t v, int32_t low, int32_t high) { return v < low ? low : v > high ? high : v; }

// The integer nearest to x / scale, ties to even, and then the zero; and its place in a range. NaN of NaN.
static inline float level_of(float x, float scale, float zero) { return nearbyintf(x / scale) + zero; }
static inline float clip(float level, float low, float high) {
    const float raised = level < low ? low : level;
    return high < raised ? high : raised;
}

// How real numbers become integers, activations at a network's input and in the simulation, weights, table entries: low
// of NaN. low and high are less than 2^24 in magnitude. Without branches, so that loops become vectors.
static inline int32_t quantize(float x, float scale, int32_t zero, int32_t low, int32_t high) {
    const float level = level_of(x, scale, (float)zero), least = (float)low;
    return (int32_t)clip(level > least ? level : least, least, (float)high);
}
static inline float dequantize(int32_t q, float scale, int32_t zero) { return scale * (float)(q - zero); }

// A sum of two scales, y = zero + (a - a_zero) a_scale / scale + (b - b_zero) b_scale / scale, as
// (a factor_a + b factor_b + offset) 2^-shift, rounded once; everything fits into 32 bits.
typedef struct {
    int32_t factor_a, factor_b, offset, shift;
} Sum;

// a_ratio = a_scale / scale and so on, positive and at most 2^20; zeros in 0..255.
static inline Sum sum_of(double a_ratio, int32_t a_zero, double b_ratio, int32_t b_zero, int32_t zero) {
    Sum sum = {0, 0, 0, 21};
    const double largest = a_ratio > b_ratio ? a_ratio : b_ratio;
    while (sum.shift > 1 && ldexp(largest, sum.shift) > (double)(1 << 21)) --sum.shift;
    sum.factor_a = (int32_t)lround(ldexp(a_ratio, sum.shift));
    sum.factor_b = (int32_t)lround(ldexp(b_ratio, sum.shift));
    sum.offset = zero * (1 << sum.shift) + (1 << (sum.shift - 1)) - a_zero * sum.factor_a - b_zero * sum.factor_b;
    return sum;
}

static inline int32_t add(int32_t a, int32_t b, Sum sum, int32_t low, int32_t high) {
    return saturate((a * sum.factor_a + b * sum.factor_b + sum.offset) >> sum.shift, low, high);
}

// A product, with the multiplier of a_scale b_scale / scale, in 0..high.
static inline int32_t multiply(int32_t a, int32_t a_zero, int32_t b, int32_t b_zero, int32_t m, int32_t shift,
                               int32_t zero, int32_t high) {
    return saturate(requantize((a - a_zero) * (b - b_zero), m, shift) + zero, 0, high);
}

// The mean of `count` values whose integers add up to sum, with the multiplier of x_scale / (scale divisor); in
// 0..high.
static inline int32_t mean(int32_t sum, int32_t count, int32_t x_zero, int32_t m, int32_t shift, int32_t zero,
                           int32_t high) {
    return saturate(requantize(sum - count * x_zero, m, shift) + zero, 0, high);
}

#ifdef __cplusplus
}  // namespace lathe::integer
#endif
