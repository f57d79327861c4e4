#include "lathe/nn/run/recomputed.h"

#include <algorithm>
#include <limits>
#include <map>

#include "lathe/core/graph/trace.h"
#include "lathe/core/tape/recompute.h"
#include "lathe/core/random.h"
#include "lathe/core/graph/memory_plan.h"

namespace lathe::nn {

namespace {

// The cuts with the least bytes kept whose peak is at most `budget`; none when there are no such.
std::vector<size_t> cut_within(const std::vector<PieceCost>& pieces, int64_t budget) {
    constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
    std::vector<int64_t> kept(pieces.size() + 1, kNever);  // the least outputs of segments that cover the first pieces
    std::vector<size_t> begin(pieces.size() + 1, 0);       // of the last of those segments
    kept[0] = 0;
    for (size_t end = 1; end <= pieces.size(); ++end) {
        int64_t made = 0;
        for (size_t i = end; i-- > 0;) {
            made += pieces[i].made;
            if (made > budget) break;
            if (kept[i] > budget - made || kept[i] + pieces[end - 1].output >= kept[end]) continue;
            kept[end] = kept[i] + pieces[end - 1].output;
            begin[end] = i;
        }
    }
    std::vector<size_t> ends;
    if (kept.back() != kNever)
        for (size_t end = pieces.size(); end > 0; end = begin[end]) ends.push_back(end);
    std::reverse(ends.begin(), ends.end());
    return ends;
}

// Of a piece's graph: what training keeps of it, where nothing is written in place, beside the input that it found.
PieceCost cost_of(const Graph& piece) {
    const MemoryPlan plan = plan_memory(piece, {.in_place = false, .alignment = 1, .mode = Mode::training});
    const auto buffer_of = [&](int node) { return plan.buffer_of[static_cast<size_t>(node)]; };
    PieceCost cost;
    for (int b = 0; b < static_cast<int>(plan.buffers.size()); ++b) {
        if (b == buffer_of(piece.input())) continue;
        const int64_t bytes = plan.buffers[static_cast<size_t>(b)].bytes;
        cost.made += bytes;
        if (b == buffer_of(piece.output)) cost.output = bytes;
    }
    return cost;
}

}  // namespace

std::vector<size_t> cut_segments(const std::vector<PieceCost>& pieces) {
    int64_t low = 0, high = 1;  // the least budget is above low and at most high
    for (const PieceCost& piece : pieces) high += piece.made;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (cut_within(pieces, middle).empty()) low = middle;
        else high = middle;
    }
    return cut_within(pieces, high);
}

Recomputed::Recomputed(Module& network, const Tensor& x) {
    std::map<Module*, std::string> names;
    for (const auto& [name, module] : network.named_modules()) names[module] = name;
    for (Module* module : network.pieces()) {
        const std::string& name = names[module];
        pieces_.push_back({name, name.substr(0, name.rfind('.') == std::string::npos ? 0 : name.rfind('.')), module});
    }

    // The first images, enough for batch statistics, through the network piece by piece, without leaving a trace in it.
    const detail::TapeScope again(true);
    const KeepGlobalRandom keep;
    Tensor value = x.rows(0, std::min<int64_t>(2, x.dim(0)));
    std::vector<PieceCost> costs;
    for (size_t i = 0; i < pieces_.size(); ++i) {
        const Tensor before = value;
        const Graph graph = lathe::trace([&](const Variable& in) {
            const Variable y = run(i, i + 1, in);
            value = y.value();
            return y;
        }, before);
        costs.push_back(cost_of(graph));
        if (i == 0) costs[0].made += static_cast<int64_t>(before.bytes());
    }
    ends_ = cut_segments(costs);
}

Variable Recomputed::run(size_t begin, size_t end, Variable x) const {
    for (size_t i = begin; i < end; ++i) {
        const PathScope path(pieces_[i].parent);
        x = (*pieces_[i].module)(x);
    }
    return x;
}

Variable Recomputed::operator()(const Variable& x) const {
    Variable y = x;
    size_t begin = 0;
    for (size_t end : ends_) {
        // Backward comes to the last segment at once: its activations may as well be kept.
        y = end == pieces_.size() ? run(begin, end, y)
                                  : recompute([=, this](const Variable& in) { return run(begin, end, in); }, y);
        begin = end;
    }
    return y;
}

std::vector<std::vector<std::string>> Recomputed::segments() const {
    std::vector<std::vector<std::string>> names;
    size_t i = 0;
    for (size_t end : ends_) {
        names.emplace_back();
        for (; i < end; ++i) names.back().push_back(pieces_[i].name);
    }
    return names;
}

}  // namespace lathe::nn
