#include "lathe/nas/predict/arena.h"

#include "lathe/compress/integer/program.h"
#include "lathe/core/ceil_div.h"
#include "lathe/core/graph/memory_plan.h"

namespace lathe::nas {

namespace {

// The values of a network that runs op after op, by number, and how long each is needed.
struct Values {
    std::vector<MemoryPlan::Buffer> buffers{};
    int now = 0;

    size_t made(int64_t bytes) {
        constexpr int64_t kAlignment = compress::kIntegerAlignment;
        buffers.push_back({.first = now, .last = now, .bytes = ceil_div(bytes, kAlignment) * kAlignment});
        return buffers.size() - 1;
    }
    // An op that reads a value and makes another.
    size_t op(size_t from, int64_t bytes) {
        buffers[from].last = ++now;
        return made(bytes);
    }
    // An op that reads a value and adds or multiplies it onto another, in place.
    void onto(size_t from, size_t to) { buffers[from].last = buffers[to].last = ++now; }
};

size_t inverted_residual(Values& values, size_t entered, const Block& block, int64_t before, int64_t pixels) {
    const size_t expanded = values.op(entered, block.expanded * before);
    const size_t filtered = values.op(expanded, block.expanded * pixels);
    if (block.squeezed) {
        const size_t mean = values.op(filtered, block.expanded), squeezed = values.op(mean, block.squeezed);
        values.onto(values.op(squeezed, block.expanded), filtered);
    }
    if (!block.residual()) return values.op(filtered, block.out * pixels);
    values.onto(filtered, entered);
    return entered;
}

size_t basic_block(Values& values, size_t entered, const Block& block, int64_t pixels) {
    const size_t inside = values.op(entered, block.expanded * pixels);
    const size_t shortcut = block.residual() ? entered : values.op(entered, block.out * pixels);
    values.onto(inside, shortcut);
    return shortcut;
}

}  // namespace

int64_t arena(const Layers& layers) {
    Values values;
    int64_t side = ceil_div(layers.image_size, layers.first_stride), pixels = side * side;
    size_t at = values.op(values.made(3 * layers.image_size * layers.image_size), layers.first * pixels);
    if (layers.second) at = values.op(at, layers.second * pixels);
    for (const Block& block : layers.blocks) {
        const int64_t before = pixels;
        side = ceil_div(side, block.stride), pixels = side * side;
        at = layers.kind == BlockKind::basic ? basic_block(values, at, block, pixels)
                                             : inverted_residual(values, at, block, before, pixels);
    }
    if (layers.last) at = values.op(at, layers.last * pixels);
    const size_t features = values.op(at, layers.last ? layers.last : layers.blocks.back().out);
    values.op(features, layers.classes);
    return place_buffers(values.buffers);
}

}  // namespace lathe::nas
