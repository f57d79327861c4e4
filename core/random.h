#pragma once
#include <cstdint>

namespace lathe {

// A counter-based stream (Philox 4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): the
// numbers follow from (seed, stream, position) alone, so any thread can draw its own part of one sequence and a stopped
// run resumes exactly. Give each use its own stream: an epoch, an image, a layer.
class Random {
public:
    explicit Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

    uint32_t bits();                        // 32 random bits
    double uniform();                       // [0, 1), 32 bits of it
    double uniform(double low, double high) { return low + (high - low) * uniform(); }
    double normal();                        // mean 0, standard deviation 1
    int64_t below(int64_t count);           // an integer in [0, count), unbiased. Error: count is not in [1, 2^32]

    uint64_t position() const { return position_; }     // 32-bit numbers drawn so far
    void seek(uint64_t position) { position_ = position; block_ = ~uint64_t{0}; }

private:
    uint64_t seed_, stream_;
    uint64_t position_ = 0;
    uint64_t block_ = ~uint64_t{0};  // the block of four numbers that words_ holds
    uint32_t words_[4] = {};
};

// The calling thread's generator of things that have no seed of their own (initial weights, dropout): seed() restarts
// it. Each thread has one, which begins as seed(0): what runs on one draws the same whatever others do.
void seed(uint64_t value);
Random& global_random();

// Puts global_random() back at the end of a scope to where it was before.
class KeepGlobalRandom {
public:
    KeepGlobalRandom() : before_(global_random()) {}
    ~KeepGlobalRandom() { global_random() = before_; }
    KeepGlobalRandom(const KeepGlobalRandom&) = delete;
    KeepGlobalRandom& operator=(const KeepGlobalRandom&) = delete;

private:
    Random before_;
};

// Mixes several numbers, in their order, into one well-spread seed or stream.
uint64_t mix(uint64_t a, uint64_t b, uint64_t c = 0);

}  // namespace lathe
