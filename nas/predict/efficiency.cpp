#include "lathe/nas/predict/efficiency.h"

#include <algorithm>
#include <cmath>

#include "lathe/compress/budget/size.h"
#include "lathe/core/ceil_div.h"
#include "lathe/core/enum_names.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/predict/arena.h"
#include "lathe/nas/space/layers.h"

namespace lathe::nas {

namespace {

constexpr EnumNames<Quantity, 7> kNames{"quantity",
                                        {{Quantity::macs, "macs"},
                                         {Quantity::lab_macs, "lab-macs"},
                                         {Quantity::peak_memory, "peak-memory"},
                                         {Quantity::arena, "arena"},
                                         {Quantity::parameters, "parameters"},
                                         {Quantity::flash, "flash"},
                                         {Quantity::latency, "latency"}}};

// How a layer's weights are kept.
struct Stored {
    int bits = 8, kept = 100;

    int64_t bytes(int64_t weights) const {
        if (kept == 100) return ceil_div(weights * bits, int64_t{8});
        const double left = static_cast<double>(weights) * kept / 100;
        return std::llround(std::ceil(left * bits / 8) +
                            compress::index_bytes(static_cast<double>(weights), 1 - kept / 100.0));
    }
};

// Adds up layers.
struct Count {
    Efficiency sum;

    // `weights` of each of `out` channels, which are multiplied once for every one of `pixels`.
    void layer(int64_t weights, int64_t out, int64_t pixels, const Stored& stored = {}) {
        sum.macs += weights * out * pixels;
        sum.parameters += weights * out;
        sum.flash += stored.bytes(weights * out) + 8 * out;
    }
    void layer_with_bias(int64_t weights, int64_t out) {
        layer(weights, out, 1);
        sum.parameters += out;
    }
    void layer_with_norm(int64_t weights, int64_t out, int64_t pixels, const Stored& stored = {}) {
        layer(weights, out, pixels, stored);
        sum.parameters += 2 * out;
        sum.lab_macs += 4 * out * pixels;  // of the norms alone, until all is counted
    }
    void held(int64_t elements) { sum.peak_memory = std::max(sum.peak_memory, elements); }
};

// The lab has no such block: here what enters is held until it has been added.
void basic_block(Count& count, const Block& block, int64_t before, int64_t pixels) {
    const int64_t taps = block.kernel * block.kernel, entered = block.in * before;
    const Stored stored{block.bits, block.kept};
    count.layer_with_norm(taps * block.in, block.expanded, pixels, stored);
    count.held(entered + block.expanded * pixels);
    count.layer_with_norm(taps * block.expanded, block.out, pixels, stored);
    count.held(entered + (block.expanded + block.out) * pixels);
    if (block.residual()) return;
    count.layer(block.in, block.out, pixels, stored);
    count.held(entered + 2 * block.out * pixels);
}

}  // namespace

Efficiency efficiency(const Space& space, const Arch& arch) {
    const Layers layers = layers_of(space, arch);
    Count count;
    int64_t side = ceil_div(layers.image_size, layers.first_stride), pixels = side * side;
    count.layer_with_norm(3 * 3 * 3, layers.first, pixels);
    count.held(3 * layers.image_size * layers.image_size + layers.first * pixels);
    if (layers.second) {
        count.layer_with_norm(layers.first, layers.second, pixels);
        count.held((layers.first + layers.second) * pixels);
    }
    for (const Block& block : layers.blocks) {
        const int64_t before = pixels;
        side = ceil_div(side, block.stride), pixels = side * side;
        if (layers.kind == BlockKind::basic) {
            basic_block(count, block, before, pixels);
            continue;
        }
        const Stored stored{block.bits, block.kept};
        count.layer_with_norm(block.in, block.expanded, before, stored);
        count.held((block.in + block.expanded) * before);
        count.layer_with_norm(block.kernel * block.kernel, block.expanded, pixels);
        count.held(block.expanded * (before + pixels) + (block.residual() ? block.in * before : 0));
        if (block.squeezed) {
            count.layer_with_bias(block.expanded, block.squeezed);
            count.layer_with_bias(block.squeezed, block.expanded);
        }
        count.layer_with_norm(block.expanded, block.out, pixels, stored);
        count.held((block.expanded + block.out) * pixels);
    }
    const int64_t out = layers.blocks.back().out, features = layers.last ? layers.last : out;
    if (layers.last) {
        count.layer_with_norm(out, layers.last, pixels);
        count.held((out + layers.last) * pixels);
    }
    count.layer_with_bias(features, layers.classes);
    count.held(features + layers.classes);
    count.sum.lab_macs += count.sum.macs;
    count.sum.arena = arena(layers);
    return count.sum;
}

const char* name_of(Quantity quantity) { return kNames[quantity]; }
Quantity quantity_of(const std::string& name) { return kNames.value_of(name); }

std::vector<Quantity> quantities() {
    std::vector<Quantity> all;
    for (const auto& [quantity, name] : kNames.table)
        if (quantity != Quantity::latency) all.push_back(quantity);
    return all;
}

std::string text_of(Quantity quantity, int64_t value) {
    switch (quantity) {
        case Quantity::macs:
        case Quantity::lab_macs: return format("%.6g M", static_cast<double>(value) * 1e-6);
        case Quantity::peak_memory:
        case Quantity::arena:
        case Quantity::flash: return format("%.6g KB", static_cast<double>(value) / 1024);
        case Quantity::latency: return format("%.4g ms", static_cast<double>(value) * 1e-6);
        case Quantity::parameters: break;
    }
    return with_commas(value);
}

int64_t value_of(const Efficiency& efficiency, Quantity quantity) {
    switch (quantity) {
        case Quantity::macs: return efficiency.macs;
        case Quantity::lab_macs: return efficiency.lab_macs;
        case Quantity::peak_memory: return efficiency.peak_memory;
        case Quantity::arena: return efficiency.arena;
        case Quantity::parameters: return efficiency.parameters;
        case Quantity::latency: return efficiency.latency;
        case Quantity::flash: break;
    }
    return efficiency.flash;
}

Efficiency efficiency(const Space& space, const Arch& arch, const Limits& limits) {
    Efficiency result = efficiency(space, arch);
    for (const Limit& limit : limits) {
        if (!limit.table) continue;
        result.latency = std::llround(limit.table->seconds(arch.uncompressed()) * 1e9);
    }
    return result;
}

bool fits(const Efficiency& efficiency, const Limits& limits) {
    return std::all_of(limits.begin(), limits.end(),
                       [&](const Limit& limit) { return value_of(efficiency, limit.quantity) <= limit.most; });
}

void check_reachable(const Space& space, const Limits& limits) {
    const Efficiency least = efficiency(space, space.smallest(), limits);
    std::string unreachable;
    for (const auto& [quantity, most, table] : limits)
        if (value_of(least, quantity) > most)
            unreachable += (unreachable.empty() ? "" : "; ") + std::string(name_of(quantity)) + " of at most " +
                           text_of(quantity, most) + " cannot be met, the least is " +
                           text_of(quantity, value_of(least, quantity));
    check(unreachable.empty(), space.name, ": ", unreachable);
}

}  // namespace lathe::nas
