#include "lathe/core/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <utility>
#include <vector>

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

// A thread's workspaces, one above the other. What does not fit comes from the arena, and when the stack is empty next
// it grows by that much.
struct WorkspaceStack {
    static constexpr size_t kMost = 4 << 20;

    char* base = nullptr;
    size_t capacity = 0, wanted = 0;
    size_t elsewhere = 0;  // bytes from the arena for want of room
    std::atomic<size_t> used{0}, peak{0};  // written by the thread alone, but for reset_peak

    bool holds(const void* block) const { return block >= base && block < base + capacity; }

    void* push(size_t size) {
        const size_t before = used.load(std::memory_order_relaxed), now = before + size;
        used.store(now, std::memory_order_relaxed);
        if (now > peak.load(std::memory_order_relaxed)) peak.store(now, std::memory_order_relaxed);
        return base + before;
    }

    void pop(const void* block, size_t size) {
        const size_t now = used.load(std::memory_order_relaxed) - size;
        used.store(now, std::memory_order_relaxed);
        if (block == base + now) return;
        std::fputs("memory: expected workspaces to be given back in reverse order, on their thread\n", stderr);
        std::abort();
    }
};

constinit thread_local WorkspaceStack workspaces;

class Arena {
public:
    // Makes room for what a thread wanted last; nothing is pushed now. Not in use until it is.
    void grow(WorkspaceStack& stack) {
        std::lock_guard lock(mutex_);
        if (stack.capacity) give(stack.base, stack.capacity);
        stack.capacity = 0;
        stack.base = static_cast<char*>(take(stack.wanted));
        stack.capacity = stack.wanted;
    }

    void open(WorkspaceStack& stack) {
        std::lock_guard lock(mutex_);
        stacks_.push_back(&stack);
    }

    void close(WorkspaceStack& stack) noexcept {
        std::lock_guard lock(mutex_);
        if (stack.capacity) give(stack.base, stack.capacity);
        stack.capacity = 0;
        std::erase(stacks_, &stack);
    }

    void* allocate(size_t size) {
        std::lock_guard lock(mutex_);
        void* block = take(size);
        count_use(size);
        return block;
    }

    void release(void* block, size_t size) noexcept {
        std::lock_guard lock(mutex_);
        note_peak();
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
        note_peak();
        for (size_t i = 0; i < count; ++i) small_[c].push(from.pop());
        stats_.in_use -= count * class_size(c);
    }

    Stats stats() {
        std::lock_guard lock(mutex_);
        note_peak();
        Stats all = stats_;
        for (const WorkspaceStack* stack : stacks_) {
            all.in_use += stack->used;
            if (stack != &workspaces) all.peak += stack->peak;
        }
        return all;
    }

    void reset_peak() {
        std::lock_guard lock(mutex_);
        for (WorkspaceStack* stack : stacks_) stack->peak = stack->used.load();
        stats_.peak = stats_.in_use + workspaces.used;
    }

private:
    using Free = std::pair<size_t, char*>;  // (size, start): the smallest that fits, the lowest address among equals

    void count_use(size_t size) {
        note_peak();
        stats_.in_use += size;
        note_peak();
    }

    // What the calling thread has pushed, at most, since what is in use changed last.
    void note_peak() {
        stats_.peak = std::max(stats_.peak, stats_.in_use + workspaces.peak);
        workspaces.peak = workspaces.used.load();
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
    std::vector<WorkspaceStack*> stacks_;  // of all threads that pushed
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
    void open() {
        cache.state = ThreadCache::open;
        arena().open(workspaces);
    }
    ~CloseCache() {
        arena().close(workspaces);
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
void* push(size_t bytes) { return allocate(bytes); }
void pop(void* block, size_t bytes) noexcept { release(block, bytes); }
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

void* push(size_t bytes) {
    WorkspaceStack& stack = workspaces;
    const size_t size = rounded(bytes);
    if (cache.state != ThreadCache::open || size > WorkspaceStack::kMost) [[unlikely]] {
        if (cache.state == ThreadCache::fresh) close_cache.open();
        if (size > WorkspaceStack::kMost || cache.state == ThreadCache::closed) return allocate(bytes);
    }
    const size_t used = stack.used.load(std::memory_order_relaxed);
    if (used == 0 && stack.elsewhere == 0 && stack.wanted > stack.capacity) arena().grow(stack);
    if (used + size <= stack.capacity) return stack.push(size);
    void* block = allocate(bytes);
    stack.elsewhere += size;
    stack.wanted = std::min(std::max(stack.wanted, used + stack.elsewhere), WorkspaceStack::kMost);
    return block;
}

void pop(void* block, size_t bytes) noexcept {
    WorkspaceStack& stack = workspaces;
    const size_t size = rounded(bytes);
    if (stack.holds(block)) return stack.pop(block, size);
    if (size <= WorkspaceStack::kMost && cache.state == ThreadCache::open) stack.elsewhere -= size;
    release(block, bytes);
}

Stats stats() { return arena().stats(); }
void reset_peak() { arena().reset_peak(); }
#endif

}  // namespace lathe::memory
