#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/compress/quantize/linear.h"

namespace lathe::compress {

// How the range of an activation is chosen from what calibration images made of it.
enum class Observer {
    min_max,         // all that was seen, as in the course lab
    moving_average,  // of each batch's ends, a tenth of a new one's: a rare batch counts little
    percentile,      // all but the outermost: of a hundred thousand values five at each end
    entropy,         // the least Kullback-Leibler divergence of the quantized histogram (Migacz 2017, "8-bit inference
                     // with TensorRT")
    mse,             // the least mean squared error
    automatic,       // of the others the one with the least error at the network's output, each place by itself
};
const char* name_of(Observer observer);
Observer observer_of(const std::string& name);  // "min-max", "percentile", …, "auto". Error: none of these
std::vector<std::string> observer_names();
const std::vector<Observer>& plain_observers();  // all but automatic

// What one place of a network was seen to hold: its ends, and where its values lie between them. All batches are shown
// twice, once for each.
class Observed {
public:
    void see_ends(const Tensor& x);    // Error: NaN or infinity
    void see_values(const Tensor& x);

    // Always with zero. Error: nothing was seen, or an observer that is not plain.
    Range range(Observer observer, int bits) const;
    Range ends() const { return {low_, high_}; }

    // Of values quantized with a grid for that range: the mean of their squares, and of the squares of the errors from
    // rounding and from clipping.
    struct Error {
        double signal = 0, rounding = 0, clipping = 0;
        double noise() const { return rounding + clipping; }
        double snr() const;  // signal-to-noise ratio in decibels; infinite without noise
    };
    Error error(const Range& range, int bits) const;

private:
    static constexpr int kBins = 2048;
    double center(int bin) const { return low_ + (bin + 0.5) * width(); }
    double width() const { return (high_ - low_) / kBins; }
    double divergence(const Range& range, int bits) const;
    Range inner_range() const;

    bool seen_ = false;
    double low_ = 0, high_ = 0, moving_low_ = 0, moving_high_ = 0;
    std::vector<int64_t> bins_;  // of values other than zero, which every grid holds
    int64_t zeros_ = 0, count_ = 0;
};

}  // namespace lathe::compress
