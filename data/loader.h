#pragma once
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "lathe/data/dataset.h"

namespace lathe::data {

struct LoaderOptions {
    int64_t batch = 128;
    bool shuffle = false;    // a new order every epoch
    bool drop_last = false;  // leave out a last batch that is not full
    bool join_one = false;   // a single example that is left over joins the batch before, if there is one
    uint64_t seed = 0;       // of the order and of the augmentation
    int workers = 1;         // background threads; 0: next() does the work itself
};

// Hands out a dataset in batches that background threads decode and augment ahead of time. The batches of an epoch
// follow from (seed, epoch) alone, whatever the number of workers, and arrive in order. Up to 32 wait beside one for
// each worker, fewer when they are large: to wake a thread can take as long as to build a batch of small images, so
// workers that have filled these places sleep until only a quarter is left.
class Loader {
public:
    // Error: batch < 1, workers < 0, no example.
    explicit Loader(Dataset dataset, const LoaderOptions& options = {});
    ~Loader();
    Loader(const Loader&) = delete;
    Loader& operator=(const Loader&) = delete;

    const Dataset& dataset() const { return dataset_; }
    int64_t batches() const;  // per epoch

    // Begins an epoch, at its given batch (a resumed run goes on in the middle). What was under way is dropped.
    void start(int64_t epoch, int64_t first_batch = 0);
    // The next batch; false when the epoch is over or none was started. Error: what reading the images raised.
    bool next(Batch& batch);

    double wait_seconds() const { return wait_seconds_; }  // time that next() has spent waiting, since start()

private:
    struct Slot {
        Batch batch;
        std::exception_ptr error;
    };
    void stop();
    void work();
    Slot build(int64_t batch) const;

    const Dataset dataset_;
    const LoaderOptions options_;
    uint64_t epoch_seed_ = 0;
    std::vector<int64_t> order_;
    double wait_seconds_ = 0;

    std::mutex mutex_;
    std::condition_variable built_, delivered_;
    int64_t next_to_build_ = 0, next_to_deliver_ = 0;
    bool stopping_ = false;
    std::vector<std::optional<Slot>> slots_;  // batch b waits in slot b % size
    bool running_low() const { return 4 * (next_to_build_ - next_to_deliver_) <= static_cast<int64_t>(slots_.size()); }
    std::vector<std::thread> threads_;
};

}  // namespace lathe::data
