#include "lathe/core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <utility>

#include "lathe/core/error.h"
#include "lathe/core/measure/cgroup.h"

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

constexpr size_t kHugePage = size_t{2} << 20;

size_t rounded(size_t bytes) { return (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment; }

// Small blocks come in a few sizes: multiples of the alignment up to kFine, then powers of two up to kSmall.
constexpr size_t kFine = 1024, kSmall = 16 << 10;
constexpr size_t kFineClasses = kFine / kAlignment, kClasses = kFineClasses + 4;
constexpr size_t kSlab = 64 << 10;  // small blocks are cut from stretches of this size

[[maybe_unused]] size_t class_of(size_t size) {  // the sanitized build leaves blocks to the system
    return size <= kFine ? size / kAlignment - 1 : kFineClasses - 1 + std::bit_width((size - 1) / kFine);
}
size_t class_size(size_t c) { return c < kFineClasses ? (c + 1) * kAlignment : kFine << (c - kFineClasses + 1); }
static_assert(kFine << (kClasses - kFineClasses) == kSmall);

// Free blocks of one size, linked through their first bytes.
struct FreeList {
    void* first = nullptr;
    size_t count = 0;

    void push(void* block) {
        *static_cast<void**>(block) = first;
        first = block;
        ++count;
    }
    void* pop() {
        void* block = first;
        first = *static_cast<void**>(block);
        --count;
        return block;
    }
};

class Arena {
public:
    void* allocate(size_t size) {
        std::lock_guard lock(mutex_);
        void* block = take(size);
        count_use(size);
        return block;
    }

    void release(void* block, size_t size) noexcept {
        std::lock_guard lock(mutex_);
        stats_.in_use -= size;
        give(block, size);
    }

    // Moves blocks of a class between the arena and a thread's list.
    void allocate_small(size_t c, size_t count, FreeList& to) {
        std::lock_guard lock(mutex_);
        FreeList& list = small_[c];
        const size_t size = class_size(c);
        if (list.count < count) {
            char* slab = static_cast<char*>(take(kSlab));
            for (size_t at = 0; at + size <= kSlab; at += size) list.push(slab + at);
        }
        for (size_t i = 0; i < count; ++i) to.push(list.pop());
        count_use(count * size);
    }

    void release_small(size_t c, size_t count, FreeList& from) noexcept {
        std::lock_guard lock(mutex_);
        for (size_t i = 0; i < count; ++i) small_[c].push(from.pop());
        stats_.in_use -= count * class_size(c);
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

    void count_use(size_t size) {
        stats_.in_use += size;
        stats_.peak = std::max(stats_.peak, stats_.in_use);
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
            void* p =
                mmap(nullptr, reserved_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
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
              " bytes: ", stats_.in_use, " are in use and this process may have ", physical());
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
    FreeList small_[kClasses];
    Stats stats_;
};

[[maybe_unused]] Arena& arena() {
    static Arena* arena = new Arena;  // never destroyed: static tensors may outlive main
    return *arena;
}

// The small blocks that a thread keeps for its next requests, which then need no lock. It holds no more than half a
// slab of a class: what one thread allocates and another releases goes back through the arena.
struct ThreadCache {
    enum State : uint8_t { fresh, open, closed } state = fresh;  // closed: the thread is ending
    FreeList lists[kClasses];

    void* allocate(size_t c) {
        FreeList& list = lists[c];
        if (list.count == 0) [[unlikely]] refill(c);
        return list.pop();
    }

    void release(void* block, size_t c) noexcept {
        FreeList& list = lists[c];
        list.push(block);
        if (list.count > most(c) || state != open) [[unlikely]] spill(c);
    }

    static size_t most(size_t c) { return kSlab / 2 / class_size(c); }
    void refill(size_t c);
    void spill(size_t c) noexcept;
};

constinit thread_local ThreadCache cache;

// Gives the thread's blocks back when it ends; static tensors may be released even later, past the cache.
struct CloseCache {
    void open() { cache.state = ThreadCache::open; }
    ~CloseCache() {
        for (size_t c = 0; c < kClasses; ++c) arena().release_small(c, cache.lists[c].count, cache.lists[c]);
        cache.state = ThreadCache::closed;
    }
};
thread_local CloseCache close_cache;

void ThreadCache::refill(size_t c) {
    if (state == fresh) close_cache.open();
    arena().allocate_small(c, state == open ? std::max<size_t>(1, most(c) / 2) : 1, lists[c]);
}

void ThreadCache::spill(size_t c) noexcept {
    if (state == fresh) close_cache.open();
    if (state == closed) arena().release_small(c, lists[c].count, lists[c]);
    else if (lists[c].count > most(c)) arena().release_small(c, lists[c].count / 2, lists[c]);
}

}  // namespace

size_t physical() {
    static const size_t bytes = [] {
        const size_t machine =
            static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<size_t>(sysconf(_SC_PAGE_SIZE));
        const auto limit = cgroup_limits().memory;
        return limit ? std::min(machine, static_cast<size_t>(*limit)) : machine;
    }();
    return bytes;
}

#ifdef LATHE_PLAIN_MALLOC
void* allocate(size_t bytes) {
    void* block =
        bytes <= physical() ? std::aligned_alloc(kAlignment, rounded(bytes)) : nullptr;  // the sanitizer would abort
    check(block != nullptr, "memory: cannot allocate ", bytes, " bytes: this process may have ", physical());
    return block;
}
void release(void* block, size_t) noexcept { std::free(block); }
Stats stats() { return {}; }
void reset_peak() {}
#else
void* allocate(size_t bytes) {
    check(bytes <= physical(), "memory: cannot allocate ", bytes, " bytes: this process may have ", physical());
    const size_t size = rounded(bytes);
    return size <= kSmall ? cache.allocate(class_of(size)) : arena().allocate(size);
}
void release(void* block, size_t bytes) noexcept {
    const size_t size = rounded(bytes);
    size <= kSmall ? cache.release(block, class_of(size)) : arena().release(block, size);
}
Stats stats() { return arena().stats(); }
void reset_peak() { arena().reset_peak(); }
#endif

}  // namespace lathe::memory
