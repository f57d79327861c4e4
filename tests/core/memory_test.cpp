#include "lathe/core/memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/random.h"
#include "lathe/core/tensor.h"

using namespace lathe;

namespace {

constexpr size_t kMiB = size_t{1} << 20;

// Under AddressSanitizer blocks come from malloc, and nothing is counted.
bool counted() {
    const Workspace<char> some(1);
    return memory::stats().in_use > 0;
}

bool aligned(const void* block) { return reinterpret_cast<uintptr_t>(block) % memory::kAlignment == 0; }

struct Block {
    explicit Block(size_t bytes) : bytes(bytes), data(memory::allocate(bytes)) {}
    size_t bytes;
    void* data;
    void release() const { memory::release(data, bytes); }
};

}  // namespace

TEST_CASE("blocks are aligned, writable and apart") {
    std::vector<Block> blocks;
    for (size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{1000}, size_t{1024},
                         size_t{1025}, size_t{5000}, 3 * kMiB + 7})
        for (int copy = 0; copy < 3; ++copy) {
            blocks.emplace_back(bytes);
            CHECK(aligned(blocks.back().data));
            std::memset(blocks.back().data, static_cast<int>(blocks.size()), bytes);
        }
    for (size_t i = 0; i < blocks.size(); ++i) {
        const auto* bytes = static_cast<const unsigned char*>(blocks[i].data);
        CHECK(std::all_of(bytes, bytes + blocks[i].bytes, [&](unsigned char b) { return b == i + 1; }));
        blocks[i].release();
    }
    Workspace<double> workspace(100);
    CHECK(aligned(workspace.data()));
    CHECK(Workspace<float>(0).data() == nullptr);
}

TEST_CASE("what is in use and its peak are counted in whole alignment units") {  // small ones, which threads keep for
                                                                                 // themselves, in bulk
    if (!counted()) return;
    const size_t before = memory::stats().in_use;
    memory::reset_peak();
    const Block a(20000), b(3 * kMiB);
    CHECK(memory::stats().in_use == before + 20032 + 3 * kMiB);
    b.release();
    CHECK(memory::stats().in_use == before + 20032);
    CHECK(memory::stats().peak == before + 20032 + 3 * kMiB);
    memory::reset_peak();
    CHECK(memory::stats().peak == before + 20032);
    a.release();
    CHECK(memory::stats().in_use == before);
    {
        const Tensor x({100, 64}), view = x.reshape({6400});
        CHECK(memory::stats().in_use == before + 25600);
    }
    CHECK(memory::stats().in_use == before);
}

TEST_CASE("a step that asks for what an earlier one released gets mapped memory") {
    if (!counted()) return;
    Random random(1);
    std::vector<size_t> sizes;
    for (int i = 0; i < 60; ++i) sizes.push_back(static_cast<size_t>(random.below(i % 3 ? 2000 : 4 * kMiB)));
    auto step = [&] {
        std::vector<Block> held;
        for (size_t bytes : sizes) {
            held.emplace_back(bytes);
            if (held.size() > 20) held.front().release(), held.erase(held.begin());
        }
        for (const Block& block : held) block.release();
    };
    step();
    const size_t mapped = memory::stats().mapped;
    for (int i = 0; i < 5; ++i) step();
    CHECK(memory::stats().mapped == mapped);
}

TEST_CASE("neighbours released in any order become one block again") {
    if (!counted()) return;
    Block(12 * kMiB).release();
    const size_t mapped = memory::stats().mapped;
    std::vector<int> order{0, 1, 2, 3};
    do {
        const Block parts[] = {Block(3 * kMiB), Block(3 * kMiB), Block(3 * kMiB), Block(3 * kMiB)};
        for (int i : order) parts[i].release();
        Block(12 * kMiB).release();
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(memory::stats().mapped == mapped);
}

TEST_CASE("many threads may allocate and release at the same time") {
    const size_t before = memory::stats().in_use;
    std::vector<int> damaged(4);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < damaged.size(); ++t)
        threads.emplace_back([&damaged, t] {
            Random random(2, t);
            std::vector<Block> held;
            auto release_one = [&] {
                const auto at = held.begin() + random.below(static_cast<int64_t>(held.size()));
                const auto* bytes = static_cast<const unsigned char*>(at->data);
                damaged[t] += !std::all_of(bytes, bytes + at->bytes, [&](unsigned char b) { return b == t; });
                at->release();
                held.erase(at);
            };
            for (int i = 0; i < 2000; ++i) {
                held.emplace_back(static_cast<size_t>(random.below(i % 4 ? 1500 : 20000)));
                std::memset(held.back().data, static_cast<int>(t), held.back().bytes);
                if (held.size() > 16) release_one();
            }
            while (!held.empty()) release_one();
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(damaged == std::vector<int>(4));
    CHECK(memory::stats().in_use == before);
}

TEST_CASE("more memory than the machine has is an error that leaves everything as it was") {
    const memory::Stats before = memory::stats();
    for (size_t bytes : {memory::physical() + 1, size_t{1} << 62, ~size_t{0}}) {
        std::string message = "no error";
        try {
            memory::allocate(bytes);
        } catch (const Error& error) {
            message = error.what();
        }
        CHECK(message.starts_with("memory: cannot allocate " + std::to_string(bytes) + " bytes: "));
    }
    CHECK(memory::stats().in_use == before.in_use);
    CHECK(memory::stats().mapped == before.mapped);
    Block(kMiB).release();
}

TEST_CASE("what threads allocate and others release does not pile up") {
    const auto pass_on = [] {
        std::vector<void*> blocks(4000);
        std::thread([&] {
            for (void*& block : blocks) block = memory::allocate(200);
        }).join();
        for (void* block : blocks) memory::release(block, 200);
    };
    pass_on();
    const memory::Stats before = memory::stats();
    for (int round = 0; round < 10; ++round) pass_on();
    CHECK(memory::stats().mapped == before.mapped);
    CHECK(memory::stats().in_use <= before.in_use + (64 << 10));
}

TEST_CASE("workspaces of a thread lie one above the other, in the same bytes each time, and none waits for another") {
    if (!counted()) return;
    const auto once = [](size_t floats) {
        Workspace<float> below(floats);
        char* const at = reinterpret_cast<char*>(below.data());
        Workspace<double> above(100);
        CHECK(reinterpret_cast<char*>(above.data()) == at + (floats * sizeof(float) + 63) / 64 * 64);
        std::fill_n(below.data(), floats, 1.0f);
        std::fill_n(above.data(), 100, 2.0);
        return at;
    };
    const auto on_new_thread = [](const auto& body) { std::thread(body).join(); };
    on_new_thread([&] {
        { const Workspace<char> first(300000); }  // the stack grows by what was asked for when it is empty next
        char* const at = once(1000);
        CHECK(once(7) == at);
        CHECK(once(70000) == at);
        const Workspace<char> held(1);
        on_new_thread([&] {
            { const Workspace<char> first(300000); }
            CHECK(once(1000) != at);
        });
    });
}

TEST_CASE("workspaces are in use for their scope, whatever their size, and count as the most at once") {
    if (!counted()) return;
    const auto peak_over = [](const auto& body) {
        memory::reset_peak();
        const size_t before = memory::stats().in_use;
        body();
        CHECK(memory::stats().in_use == before);
        return memory::stats().peak - before;
    };
    for (int turn = 0; turn < 2; ++turn) {  // the second time from the stack
        const size_t nested = peak_over([] {
            const Workspace<char> a(40000);
            const Block tensor(kMiB);
            { const Workspace<char> large(6 * kMiB); }
            const Workspace<char> b(50000);
            tensor.release();
            const Workspace<char> c(64);
        });
        CHECK(nested == 40000 + 7 * kMiB);
        const size_t after = peak_over([] {
            { const Workspace<char> large(6 * kMiB); }
            const Workspace<char> a(640000);
        });
        CHECK(after == 6 * kMiB);
    }
}
