#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lathe/compress/budget/size.h"
#include "lathe/compress/integer/steps.h"
#include "lathe/core/graph/memory_plan.h"
#include "lathe/nn/files/description.h"
#include "lathe/nn/run/profile.h"

namespace lathe::compress {

// How u8 values in 0..high stand for real ones:  real = scale (integer - zero).
struct Grid8 {
    float scale = 1;
    int zero = 0, high = 255;
    bool operator==(const Grid8&) const = default;
};

// A network of integers (lower.h makes it): a graph of one image whose ops are integer ones and whose activations are
// u8, and how its input and output are seen from outside. Between them is no floating point.
struct IntegerGraph {
    Graph graph{};
    Grid8 input{}, output{};
    std::string ending{};  // "", or the op in floating point by which the outputs go: softmax or log_softmax
};

constexpr int64_t kIntegerAlignment = 16;  // bytes, of the values of a run

// Such a network made ready to run: its weights are arranged for the kernels once, its activations lie in one block
// where a memory plan puts them.
//
//     const auto program = compress::lower_to_integer(prepared);
//     Tensor logits = program(x);
//
// Threads may run one program at the same time; each run has a block of its own. The same bits on every instruction set
// and for any number of threads.
class IntegerProgram {
public:
    // Error: a graph that does not hold (Graph::check), another op than integer programs have, numbers out of their
    // ranges; names the node.
    IntegerProgram(IntegerGraph net, nn::Description about);

    // x f32 [any N, ...] -> f32. Error: another shape.
    Tensor operator()(const Tensor& x) const;

    const IntegerGraph& net() const { return net_; }
    const nn::Description& about() const { return about_; }
    // Of one image: input and output are in it. Offsets and sizes of n images are n times as great.
    const MemoryPlan& memory_plan() const { return plan_; }
    int64_t workspace_bytes(int64_t images = 1) const;  // that kernels want beside it
    // What each op does on x, all images at once. Error: another shape.
    nn::NetworkProfile profile(const Tensor& x, int runs = 20) const;

private:
    friend class IntegerRun;
    Shape result_for(const Tensor& x) const;  // Error: another shape than that of inputs
    IntegerGraph net_;
    nn::Description about_;
    std::vector<IntegerStep> steps_;  // of each node
    MemoryPlan plan_;
    Shape image_, result_;  // of one
};

// The memory of a program for up to so many images at a time. Running asks the system for none; what tasks of sparse
// layers need for a moment is on their threads' stacks (core/memory.h).
class IntegerRun {
public:
    IntegerRun(const IntegerProgram& program, int64_t images);

    // `images` inputs and outputs as floats, whatever their number: as many at a time as there is room for. The seconds
    // that each node took are added to `seconds` where given.
    void operator()(int64_t images, const float* x, float* y, std::vector<double>* seconds = nullptr);

    // So many images that the activations of all stay in a second-level cache; where a layer is sparse, as many as fill
    // its vectors, for that gains more.
    static int64_t fitting(const IntegerProgram& program, int64_t images);

private:
    void pass(int64_t images, const float* x, float* y, std::vector<double>* seconds);

    const IntegerProgram& program_;
    int64_t images_;
    AlignedArray<uint8_t> block_, scratch_;
    std::vector<uint8_t*> elements_;  // of each node
};

// What its layers' constants take, by layer: weights ("conv1.weight", those of 4 and 2 bits side by side in bytes) and
// what else a channel has ("conv1.bias": bias, its fraction, multiplier and shift).
SizeReport measure_size(const IntegerProgram& program);

// The program as a network that the commands take: it runs, and cannot train.
std::unique_ptr<nn::Model> as_model(std::shared_ptr<const IntegerProgram> program);

}  // namespace lathe::compress
