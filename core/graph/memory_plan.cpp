#include "lathe/core/graph/memory_plan.h"

#include <algorithm>
#include <numeric>

namespace lathe {

namespace {

using Buffer = MemoryPlan::Buffer;

// The result has its input's elements. Training, dropout makes others.
bool is_view(const GraphNode& node, Mode mode = Mode::evaluation) {
    const Traits& traits = node.op->traits;
    return node.activation && traits.view && (mode == Mode::evaluation || !traits.elementwise);
}

// Whether the op can write its result over that input, of its shape: a fused layer adds onto its addend.
bool may_replace(const GraphNode& node, size_t input) {
    return node.op->traits.elementwise || (node.op->layer && input == 3);
}

int64_t bytes_of(const GraphNode& node) { return node.shape.numel() * static_cast<int64_t>(size_of(node.dtype)); }

bool meet(const Buffer& a, const Buffer& b) { return a.first <= b.last && b.first <= a.last; }

// Gives every value of a graph a buffer.
class Sharing {
public:
    Sharing(const Graph& graph, const PlanOptions& options) : graph_(graph), options_(options) {
        last_reader_.resize(graph.nodes.size());
        std::iota(last_reader_.begin(), last_reader_.end(), 0);
        for (int i = 0; i < graph_.size(); ++i)
            for (int from : graph[i].inputs)
                if (from >= 0) at(last_reader_, from) = i;
        at(last_reader_, graph.output) = graph_.size();
        plan_.buffer_of.assign(graph.nodes.size(), -1);
    }

    MemoryPlan run() {
        for (int i = 0; i < graph_.size(); ++i)
            if (graph_[i].activation) place(i);
        return std::move(plan_);
    }

private:
    template <class T>
    static T& at(std::vector<T>& values, int i) { return values[static_cast<size_t>(i)]; }
    int& buffer(int node) { return at(plan_.buffer_of, node); }

    void place(int i) {
        const GraphNode& node = graph_[i];
        if (!options_.elsewhere.empty() && options_.elsewhere[static_cast<size_t>(i)]) return;
        const int shared = is_view(node, options_.mode) ? buffer(node.inputs[0]) : replaced(i);
        if (shared < 0 && is_view(node, options_.mode)) return;
        const int64_t rounded = (bytes_of(node) + options_.alignment - 1) / options_.alignment * options_.alignment;
        if (shared < 0) plan_.buffers.push_back({.first = i, .last = i, .bytes = rounded});
        buffer(i) = shared < 0 ? static_cast<int>(plan_.buffers.size()) - 1 : shared;
        int& last = at(plan_.buffers, buffer(i)).last;
        last = std::max(last, at(last_reader_, i));
    }

    // The buffer of an input over which the op writes its result; -1: none.
    int replaced(int i) {
        const GraphNode& node = graph_[i];
        for (size_t k = 0; options_.in_place && k < node.inputs.size(); ++k) {
            const int b = node.inputs[k] < 0 ? -1 : buffer(node.inputs[k]);
            if (b < 0 || at(plan_.buffers, b).last != i || !may_replace(node, k)) continue;
            // All inputs in that memory must be read exactly where they are overwritten.
            const auto fits = [&](size_t other) {
                const int from = node.inputs[other];
                if (from < 0 || buffer(from) != b) return true;
                const bool same = graph_[from].shape == node.shape && graph_[from].dtype == node.dtype;
                return same && may_replace(node, other);
            };
            bool all = true;
            for (size_t other = 0; other < node.inputs.size(); ++other) all = all && fits(other);
            if (all) return b;
        }
        return -1;
    }

    const Graph& graph_;
    const PlanOptions& options_;
    std::vector<int> last_reader_;
    MemoryPlan plan_;
};

// Offsets for the buffers in this order; returns the bytes in all.
int64_t place(std::vector<Buffer>& buffers, const std::vector<size_t>& order) {
    std::vector<const Buffer*> placed;  // by offset
    int64_t total = 0;
    for (size_t index : order) {
        Buffer& buffer = buffers[index];
        int64_t end = 0, best = -1, smallest = 0;  // of those below that meet it; the best gap and its size
        for (const Buffer* other : placed) {
            if (!meet(*other, buffer)) continue;
            const int64_t gap = other->offset - end;
            if (gap >= buffer.bytes && (best < 0 || gap < smallest)) best = end, smallest = gap;
            end = std::max(end, other->offset + other->bytes);
        }
        buffer.offset = best < 0 ? end : best;
        total = std::max(total, buffer.offset + buffer.bytes);
        const auto lower = [](const Buffer* a, const Buffer* b) { return a->offset < b->offset; };
        placed.insert(std::upper_bound(placed.begin(), placed.end(), &buffer, lower), &buffer);
    }
    return total;
}

void find_lower_bound(MemoryPlan& plan) {
    std::vector<int64_t> change(plan.buffer_of.size() + 2, 0);
    for (const Buffer& buffer : plan.buffers) {
        change[static_cast<size_t>(buffer.first)] += buffer.bytes;
        change[static_cast<size_t>(buffer.last) + 1] -= buffer.bytes;
    }
    int64_t alive = 0;
    for (size_t i = 0; i < change.size(); ++i)
        if ((alive += change[i]) > plan.lower_bound) plan.lower_bound = alive, plan.busiest = static_cast<int>(i);
}

}  // namespace

int64_t place_buffers(std::vector<Buffer>& buffers) {
    std::vector<size_t> order(buffers.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::vector<Buffer> in_time = buffers;
    const int64_t total_in_time = place(in_time, order);
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });
    const int64_t total = place(buffers, order);
    if (total_in_time < total) buffers = std::move(in_time);
    return std::min(total, total_in_time);
}

MemoryPlan plan_memory(const Graph& graph, const PlanOptions& options) {
    MemoryPlan plan = Sharing(graph, options).run();
    find_lower_bound(plan);
    plan.total = place_buffers(plan.buffers);
    return plan;
}

std::vector<int> MemoryPlan::alive_at(int node) const {
    std::vector<int> found;
    for (size_t b = 0; b < buffers.size(); ++b)
        if (buffers[b].first <= node && node <= buffers[b].last) found.push_back(static_cast<int>(b));
    return found;
}

void MemoryPlan::check(const Graph& graph) const {
    using lathe::check;
    int64_t end = 0;
    for (size_t a = 0; a < buffers.size(); ++a) {
        end = std::max(end, buffers[a].offset + buffers[a].bytes);
        check(buffers[a].offset >= 0 && buffers[a].first <= buffers[a].last, "memory plan: buffer ", a,
              " has no place or no life");
        for (size_t b = 0; b < a; ++b)
            check(!meet(buffers[a], buffers[b]) || buffers[a].offset >= buffers[b].offset + buffers[b].bytes ||
                      buffers[b].offset >= buffers[a].offset + buffers[a].bytes,
                  "memory plan: buffers ", b, " and ", a, " share memory and are both alive");
    }
    check(end == total && total >= lower_bound, "memory plan: expected ", end, " bytes in all and at least ",
          lower_bound, ", got ", total);
    // A value must still be in its buffer when it, or a view of it, is read.
    std::vector<int> holds(buffers.size(), -1), maker(graph.nodes.size(), -1);
    const auto at = [](auto& values, int i) -> auto& { return values[static_cast<size_t>(i)]; };
    for (int i = 0; i < graph.size(); ++i) {
        const GraphNode& node = graph[i];
        at(maker, i) = is_view(node) ? at(maker, node.inputs[0]) : i;
        for (int from : node.inputs) {
            const int b = from < 0 ? -1 : at(buffer_of, from);
            if (b < 0) continue;
            check(at(holds, b) == at(maker, from), "memory plan: node ", i, " reads node ", from, ", over which node ",
                  at(holds, b), " has written");
            check(i <= at(buffers, b).last, "memory plan: node ", i, " reads a buffer after its end");
        }
        const int b = at(buffer_of, i);
        if (b < 0) continue;
        check(bytes_of(node) <= at(buffers, b).bytes, "memory plan: node ", i, " has no room in its buffer");
        at(holds, b) = at(maker, i);
    }
}

}  // namespace lathe
