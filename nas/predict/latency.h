#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "lathe/nas/space/space.h"
#include "lathe/nn/model.h"

namespace lathe::nas {

// A part of a subnet that runs by itself: its first convolutions, a block, what comes behind the blocks; and a call, of
// a network that does nothing. Parts with the same key are the same network.
struct Part {
    std::string key{};  // "block 96x96x16, 48 inside, 3x3 by 2, to 24"
    std::function<std::unique_ptr<nn::Model>()> make{};  // with fresh weights
};
std::vector<Part> parts_of(const Space& space, const Arch& arch);
std::vector<Part> distinct_parts(const Space& space);  // of all its networks, which share most of them

// What one image took, in seconds: the median of several measurements, and how far their quartiles lie apart.
struct Measurement {
    double seconds = 0, spread = 0;
};
using Meter = std::function<Measurement(nn::Model& model)>;
Measurement measure_here(nn::Model& model);  // as nn::Inference runs it in this process
// As the integer program that it becomes with grids of 8 bits for random images, without what turning floats into
// integers takes and back: between the parts of a network nothing is turned.
Measurement measure_integer_here(nn::Model& model);

// How long the subnets of a space take: the sum of what their parts took alone (as once-for-all's tables, Cai et al.
// 2020, arXiv 1908.09791), each measured once, less what a call of each took.
class LatencyTable {
public:
    // meter: what times stand for ("avx512, 1 thread"), which must be the same for all.
    LatencyTable(const Space& space, std::string meter) : space_(space), meter_(std::move(meter)) {}
    // Error: no such table.
    static LatencyTable load(const std::string& path);
    void save(const std::string& path) const;

    // Measures a part unless it is known already.
    void add(const Part& part, const Meter& meter);
    // Error: a part that was not measured (names it).
    double seconds(const Arch& arch) const;

    const Space& space() const { return space_; }
    const std::string& meter() const { return meter_; }
    const std::map<std::string, Measurement>& parts() const { return parts_; }

private:
    Space space_;
    std::string meter_;
    std::map<std::string, Measurement> parts_;
};

// What a table says of networks beside what they take whole.
struct LatencyCheck {
    std::vector<double> measured, predicted;  // seconds
    double spearman = 0;
    double median_error = 0;                  // of |predicted / measured - 1|
};
// On so many random subnets of `space`, the table's or a part of it. on_network is told after each how many are done.
LatencyCheck check_latency(const LatencyTable& table, const Space& space, const Meter& meter, int64_t networks,
                           uint64_t seed, const std::function<void(int64_t done)>& on_network = {});

}  // namespace lathe::nas
