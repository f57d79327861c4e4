#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

namespace lathe {

// Memory of tensors and kernel workspaces: one reserved stretch of address space, cut best-fit and merged on release,
// whose touched pages stay with the process. After the first training step every request is served from pages that
// are already mapped, so a step asks the system for nothing. Blocks are aligned to 64 bytes. Thread-safe.
namespace memory {

constexpr size_t kAlignment = 64;

// Error: the system has no memory left.
void* allocate(size_t bytes);
void release(void* block, size_t bytes) noexcept;

// For what the calling thread gives back in reverse order, and before it ends: a stack of its own, so that no thread
// waits for another, and the bytes that one task wrote, still in the caches of the thread's core, serve the next.
void* push(size_t bytes);
void pop(void* block, size_t bytes) noexcept;

struct Stats {
    size_t in_use = 0;  // bytes handed out now, small free blocks included that a thread keeps for its next requests
    size_t peak = 0;    // the most since the last reset_peak; what other threads pushed counts as if at that moment
    size_t mapped = 0;  // bytes of the stretch ever touched
};
Stats stats();
void reset_peak();
size_t physical();  // bytes of memory that the machine has, or that this process may have of them (a container)

}  // namespace memory

// An array of T, uninitialised, aligned to 64 bytes; of no elements it is null.
template <class T, void* (*allocate)(size_t bytes), void (*release)(void* block, size_t bytes) noexcept>
class RawArray {
public:
    explicit RawArray(size_t count)
        : bytes_(count * sizeof(T)), data_(count ? static_cast<T*>(allocate(bytes_)) : nullptr) {}
    ~RawArray() {
        if (data_) release(data_, bytes_);
    }
    RawArray(const RawArray&) = delete;
    RawArray& operator=(const RawArray&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t bytes() const { return bytes_; }
    T& operator[](size_t i) { return data_[i]; }

private:
    size_t bytes_;
    T* data_;
};

// One that is kept: arranged weights.
template <class T>
using AlignedArray = RawArray<T, memory::allocate, memory::release>;

// Scratch for the length of a scope: a local variable, never a member of what is kept.
template <class T>
using Workspace = RawArray<T, memory::push, memory::pop>;

}  // namespace lathe
