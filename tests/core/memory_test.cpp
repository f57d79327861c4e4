#include "lathe/core/memory.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "lathe/core/error.h"
#include "lathe/core/random.h"

using namespace lathe;

namespace {

struct Block {
    char* data;
    size_t bytes;
    char mark;
};

bool intact(const Block& block) {
    for (size_t i = 0; i < block.bytes; ++i)
        if (block.data[i] != block.mark) return false;
    return true;
}

}  // namespace

TEST_CASE("memory: blocks of every size are aligned and apart from each other") {
    Random random(1);
    std::vector<Block> blocks;
    for (int step = 0; step < 3000; ++step) {
        if (blocks.size() < 100 || random.below(2)) {
            const size_t bytes = static_cast<size_t>(random.below(int64_t{1} << (4 + step % 16)));
            blocks.push_back({static_cast<char*>(memory::allocate(bytes)), bytes, static_cast<char>(step)});
            CHECK(reinterpret_cast<uintptr_t>(blocks.back().data) % memory::kAlignment == 0);
            std::memset(blocks.back().data, blocks.back().mark, bytes);
        } else {
            std::swap(blocks[static_cast<size_t>(random.below(static_cast<int64_t>(blocks.size())))], blocks.back());
            CHECK(intact(blocks.back()));
            memory::release(blocks.back().data, blocks.back().bytes);
            blocks.pop_back();
        }
    }
    for (const Block& block : blocks) {
        CHECK(intact(block));
        memory::release(block.data, block.bytes);
    }
}

TEST_CASE("memory: what threads allocate and others release does not pile up") {
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

TEST_CASE("memory: in_use and peak count large blocks exactly") {
    const memory::Stats before = memory::stats();
    if (before.mapped == 0) return;  // the sanitizers' build does not count
    memory::reset_peak();
    void* block = memory::allocate(1 << 20);
    CHECK(memory::stats().in_use == before.in_use + (1 << 20));
    memory::release(block, 1 << 20);
    CHECK(memory::stats().in_use == before.in_use);
    CHECK(memory::stats().peak == before.in_use + (1 << 20));
}

TEST_CASE("memory: more than the machine has is an error") {
    CHECK_THROWS_AS(memory::allocate(memory::physical() + 1), Error);
}
