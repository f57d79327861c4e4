#include "lathe/core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <utility>

#include "lathe/core/error.h"

// Under AddressSanitizer every block is its own malloc, so that a stray access is seen.
#if defined(__SANITIZE_ADDRESS__)
#define LATHE_PLAIN_MALLOC 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LATHE_PLAIN_MALLOC 1
#endif
#endif

namespace lathe::memory {

namespace {

constexpr size_t kSmall = 1024;            // blocks up to here come from per-size free lists
constexpr size_t kHugePage = size_t{2} << 20;

size_t rounded(size_t bytes) { return (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment; }

class Arena {
public:
    void* allocate(size_t bytes) {
        const size_t size = rounded(bytes);
        std::lock_guard lock(mutex_);
        void* block = size <= kSmall ? take_small(size) : take(size);
        stats_.in_use += size;
        stats_.peak = std::max(stats_.peak, stats_.in_use);
        return block;
    }

    void release(void* block, size_t bytes) noexcept {
        const size_t size = rounded(bytes);
        std::lock_guard lock(mutex_);
        stats_.in_use -= size;
        if (size <= kSmall) {
            auto& list = small_[size / kAlignment];
            *static_cast<void**>(block) = list;
            list = block;
        } else {
            give(block, size);
        }
    }

    Stats stats() {
        std::lock_guard lock(mutex_);
        return stats_;
    }

    void reset_peak() {
        std::lock_guard lock(mutex_);
        stats_.peak = stats_.in_use;
    }

private:
    using Free = std::pair<size_t, char*>;  // (size, start): the smallest that fits, the lowest address among equals

    void* take_small(size_t size) {
        void*& list = small_[size / kAlignment];
        if (!list) {
            constexpr size_t kSlab = 64 * kSmall;
            char* slab = static_cast<char*>(take(kSlab));
            for (size_t at = 0; at + size <= kSlab; at += size) {
                *reinterpret_cast<void**>(slab + at) = list;
                list = slab + at;
            }
        }
        void* block = list;
        list = *static_cast<void**>(block);
        return block;
    }

    void* take(size_t size) {
        reserve();
        auto fit = by_size_.lower_bound({size, nullptr});
        if (fit == by_size_.end()) {
            extend(size);
            fit = by_size_.lower_bound({size, nullptr});
        }
        const auto [free_size, start] = *fit;
        erase(start, free_size);
        if (free_size > size) insert(start + size, free_size - size);
        return start;
    }

    void give(void* block, size_t size) {
        char* start = static_cast<char*>(block);
        auto next = by_start_.lower_bound(start);
        if (next != by_start_.end() && start + size == next->first) {
            const size_t next_size = next->second;
            erase(start + size, next_size);
            size += next_size;
        }
        auto after = by_start_.lower_bound(start);
        if (after != by_start_.begin()) {
            const auto [before, before_size] = *std::prev(after);
            if (before + before_size == start) {
                erase(before, before_size);
                start = before;
                size += before_size;
            }
        }
        insert(start, size);
    }

    // Reserves address space once; pages cost nothing until touched.
    void reserve() {
        if (base_) return;
        for (reserved_ = size_t{1} << 40; reserved_ >= size_t{1} << 30; reserved_ /= 2) {
            void* p = mmap(nullptr, reserved_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (p == MAP_FAILED) continue;
            base_ = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(p) + kHugePage - 1) / kHugePage * kHugePage);
            reserved_ -= kHugePage;
            madvise(base_, reserved_, MADV_HUGEPAGE);
            return;
        }
        fail("memory: the system gives no address space");
    }

    void extend(size_t size) {
        size_t have = 0;  // a free block at the very end is used first
        if (!by_start_.empty()) {
            const auto [start, free_size] = *by_start_.rbegin();
            if (start + free_size == base_ + stats_.mapped) have = free_size;
        }
        const size_t grow = (size - have + kHugePage - 1) / kHugePage * kHugePage;
        check(stats_.mapped + grow <= std::min(reserved_, physical()), "memory: cannot allocate ", size,
              " bytes: ", stats_.in_use, " are in use and the machine has ", physical());
        char* start = base_ + stats_.mapped;
        stats_.mapped += grow;
        give(start, grow);
    }

    void insert(char* start, size_t size) {
        by_start_[start] = size;
        by_size_.insert({size, start});
    }
    void erase(char* start, size_t size) {
        by_start_.erase(start);
        by_size_.erase({size, start});
    }

    std::mutex mutex_;
    char* base_ = nullptr;
    size_t reserved_ = 0;
    std::map<char*, size_t> by_start_;
    std::set<Free> by_size_;
    void* small_[kSmall / kAlignment + 1] = {};
    Stats stats_;
};

[[maybe_unused]] Arena& arena() {
    static Arena* arena = new Arena;  // never destroyed: static tensors may outlive main
    return *arena;
}

}  // namespace

size_t physical() {
    static const size_t bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
    return bytes;
}

#ifdef LATHE_PLAIN_MALLOC
void* allocate(size_t bytes) {
    void* block = bytes <= physical() ? std::aligned_alloc(kAlignment, rounded(bytes)) : nullptr;  // the sanitizer would abort
    check(block != nullptr, "memory: cannot allocate ", bytes, " bytes: the machine has ", physical());
    return block;
}
void release(void* block, size_t) noexcept { std::free(block); }
Stats stats() { return {}; }
void reset_peak() {}
#else
void* allocate(size_t bytes) { return arena().allocate(bytes); }
void release(void* block, size_t bytes) noexcept { arena().release(block, bytes); }
Stats stats() { return arena().stats(); }
void reset_peak() { arena().reset_peak(); }
#endif

}  // namespace lathe::memory
