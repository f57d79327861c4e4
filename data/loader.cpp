#include "lathe/data/loader.h"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace lathe::data {

namespace {

constexpr uint64_t kOrderStream = ~uint64_t{0};  // images have the streams from 0 on

// Batches that wait beside one for each worker.
constexpr int64_t kMostAhead = 32, kBytesAhead = 16 << 20;

int64_t batches_ahead(const Dataset& dataset, int64_t batch) {
    return std::clamp<int64_t>(kBytesAhead / std::max<int64_t>(batch * dataset.example_bytes(), 1), 1, kMostAhead);
}

}  // namespace

Loader::Loader(Dataset dataset, const LoaderOptions& options)
    : dataset_(std::move(dataset)), options_(options) {
    check(options.batch >= 1, "loader: expected batches of at least 1 example, got ", options.batch);
    check(options.workers >= 0, "loader: expected at least 0 workers, got ", options.workers);
    check(batches() > 0, "loader: expected enough examples for a batch of ", options.drop_last ? options.batch : 1,
          ", got ", dataset_.size());
    slots_.resize(static_cast<size_t>(options.workers + batches_ahead(dataset_, options.batch)));
    next_to_build_ = next_to_deliver_ = batches();
}

Loader::~Loader() { stop(); }

int64_t Loader::batches() const {
    const int64_t full = dataset_.size() / options_.batch, left = dataset_.size() % options_.batch;
    const bool joined = options_.join_one && left == 1 && full > 0;
    return full + (left > 0 && !joined && !options_.drop_last);
}

void Loader::start(int64_t epoch, int64_t first_batch) {
    check(first_batch >= 0 && first_batch <= batches(), "loader: expected to start at a batch up to ", batches(),
          ", got ", first_batch);
    stop();
    epoch_seed_ = mix(options_.seed, static_cast<uint64_t>(epoch));
    if (options_.shuffle) {
        order_ = permutation(dataset_.size(), Random(epoch_seed_, kOrderStream));
    } else {
        order_.resize(static_cast<size_t>(dataset_.size()));
        std::iota(order_.begin(), order_.end(), int64_t{0});
    }
    wait_seconds_ = 0;
    next_to_build_ = next_to_deliver_ = first_batch;
    for (int i = 0; i < options_.workers; ++i) threads_.emplace_back([this] { work(); });
}

void Loader::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    delivered_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    for (auto& slot : slots_) slot.reset();
    stopping_ = false;
}

Loader::Slot Loader::build(int64_t batch) const {
    const bool joins = batch + 1 == batches() && !options_.drop_last;
    const auto begin = order_.begin() + batch * options_.batch;
    const auto end = joins ? order_.end() : begin + options_.batch;
    Slot slot;
    try {
        slot.batch = dataset_.batch({begin, end}, epoch_seed_);
    } catch (...) {
        slot.error = std::current_exception();
    }
    return slot;
}

void Loader::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        delivered_.wait(lock, [this] {
            return stopping_ || next_to_build_ < next_to_deliver_ + static_cast<int64_t>(slots_.size());
        });
        if (stopping_ || next_to_build_ == batches()) return;
        const int64_t batch = next_to_build_++;
        lock.unlock();
        Slot slot = build(batch);
        lock.lock();
        slots_[static_cast<size_t>(batch) % slots_.size()] = std::move(slot);
        built_.notify_one();
    }
}

bool Loader::next(Batch& batch) {
    if (next_to_deliver_ == batches()) return false;
    const auto before = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    std::optional<Slot>& waiting = slots_[static_cast<size_t>(next_to_deliver_) % slots_.size()];
    if (options_.workers == 0)
        waiting = build(next_to_deliver_);
    else
        built_.wait(lock, [&] { return waiting.has_value(); });
    wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
    if (waiting->error) std::rethrow_exception(waiting->error);
    batch = std::move(waiting->batch);
    waiting.reset();
    ++next_to_deliver_;
    const bool wake = running_low();
    lock.unlock();
    if (wake) delivered_.notify_all();
    return true;
}

}  // namespace lathe::data
