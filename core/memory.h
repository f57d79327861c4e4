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

struct Stats {
    size_t in_use = 0;  // bytes handed out now, small free blocks included that a thread keeps for its next requests
    size_t peak = 0;    // the most that was handed out at once since the last reset_peak
    size_t mapped = 0;  // bytes of the stretch ever touched
};
Stats stats();
void reset_peak();
size_t physical();  // bytes of memory that the machine has, or that this process may have of them (a container)

}  // namespace memory

// A scratch array of T for the length of a scope, uninitialised.
template <class T>
class Workspace {
public:
    explicit Workspace(size_t count)
        : bytes_(count * sizeof(T)), data_(count ? static_cast<T*>(memory::allocate(bytes_)) : nullptr) {}
    ~Workspace() {
        if (data_) memory::release(data_, bytes_);
    }
    Workspace(const Workspace&) = delete;
    Workspace& operator=(const Workspace&) = delete;

    T* data() { return data_; }
    const T* data() const { return data_; }
    T& operator[](size_t i) { return data_[i]; }

private:
    size_t bytes_;
    T* data_;
};

}  // namespace lathe
