#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lathe/core/activation.h"
#include "lathe/core/graph/attributes.h"
#include "lathe/core/kernels/conv2d/shape.h"
#include "lathe/core/tape/variable.h"

namespace lathe {

// Whether a network trains (batch statistics, dropout) or is used.
enum class Mode { evaluation, training };

// One attribute that an op may carry. Integers are at most 2^31 in magnitude, lists have `count` of them.
struct AttributeSpec {
    enum Type { integer, real, text, integers } type = integer;
    const char* name = "";
    int count = -1;           // of a list; -1: any
    Attribute otherwise{};    // what it is where a description leaves it out
    bool required = false;    // a description must give it
    bool optional = false;    // it may be absent, which means something
};

// How channels pass through an op: what compress/channels follows.
enum class ChannelRule {
    unknown,      // not followed: channels on the way are never cut
    same,         // y's axes are x's
    convolution,  // x [.., C] with a weight [K, .., C / groups] and a bias [K]
    linear,       // x [.., C] with a weight [K, C] and a bias [K]
    matmul,       // the last axis of a meets the last but one of b
    lookup,       // rows of a weight [V, D]
    norm,         // scale, shift and statistics [C] beside x [.., C]
    pool,         // the last axis stays, others become fewer
    elementwise,  // axes meet under broadcasting
    concat,
    slice,
    pad,
    pad_like,     // zero channels around those of x, until there are as many as the second input has
    permute,
    reshape,
    reduce,
};

// What holds of an op for any input.
struct Traits {
    bool view = false;         // the result has the elements of the first input, in order, and may share them
    // An element of the result comes from the inputs' elements at its place (with broadcasting)
    bool elementwise = false;
    bool per_channel = false;  // index c of the last axis comes from index c of the inputs alone
    bool monotone = false;     // never falls where the first input grows
    bool keeps_zero = false;   // zero where an input is zero
    // Of one input and no attributes: its last axis becomes probabilities or their logarithms, which a network in
    // integers still computes in floating point
    bool probabilities = false;
    bool any_layout = false;   // treats images alike and channels alike: runs with the two exchanged as well
    bool lab_macs = false;     // the course labs count an operation for each element of the result
};

using Shapes = std::span<const Shape>;    // of inputs; an absent one has kAbsent
using Inputs = std::span<const Variable>; // an absent one is empty
inline const Shape kAbsent = [] {  // no value has an extent below 0
    Shape absent{0};
    absent[0] = -1;
    return absent;
}();
inline bool is_absent(const Shape& shape) { return shape.rank() == 1 && shape[0] == -1; }

// Everything that the graph wants to know of an op: its row of the table, which stands at the end of the op's source
// file. A value that enters a graph ("input", "parameter", "buffer", "constant") has a row, too, whose `leaf` says so.
struct OpInfo {
    std::string name;
    int min_inputs = 1, max_inputs = 1;                   // -1: any number
    std::vector<AttributeSpec> attributes{};              // all that it carries
    Variable (*run)(const Attributes& attributes, Inputs inputs, Mode mode) = nullptr;
    Shape (*shape)(const Attributes& attributes, Shapes inputs) = nullptr;  // Error: inputs that do not fit
    // Multiply-accumulates of the definition; null: none worth counting.
    int64_t (*macs)(const Attributes& attributes, Shapes inputs, const Shape& output) = nullptr;
    Traits traits{};
    ChannelRule channels = ChannelRule::unknown;
    Activation activation = Activation::none;             // of an op that is nothing else
    // What the kernels see of an op with a weight: x is inputs[0], the weight inputs[1], the bias inputs[2]. A linear
    // layer of n rows is a convolution of n images of one pixel. Null for others.
    kernels::Conv2dShape (*layer)(const Attributes& attributes, Shapes inputs) = nullptr;
    const char* fused = nullptr;  // the op that such a layer becomes with an addend and an activation (fold.h)
    // Of an op that in evaluation is y = activation(scale x + shift) with one scale and shift for each channel.
    struct Affine {
        std::vector<double> scale{}, shift{};
        Activation activation = Activation::none;
    };
    Affine (*affine)(const Attributes& attributes, std::span<const Tensor> inputs) = nullptr;
    // Of an op that takes its size from an input of which only the shape matters: what it does, once sizes are fixed,
    // to its first input alone.
    struct Fixed {
        const char* op;
        Attributes attributes;
    };
    Fixed (*fixed)(const Attributes& attributes, Shapes inputs) = nullptr;
    bool adds = false;            // y = activation(a + b), the activation an attribute
    bool leaf = false;

    // Error: an attribute that is unknown, missing or of another type or range; another number of inputs.
    void check_call(const Attributes& given, size_t inputs) const;
};

// A handle on a row. Names that no row has are kept (an op of a user's own, recorded while tracing): such an op has a
// name only and can neither be run again nor checked.
class Op {
public:
    Op() : Op("") {}
    Op(const char* name) : Op(std::string_view(name)) {}
    Op(const std::string& name) : Op(std::string_view(name)) {}
    Op(std::string_view name);

    const OpInfo* operator->() const { return info_; }
    const OpInfo& operator*() const { return *info_; }
    const std::string& name() const { return info_->name; }
    operator const std::string&() const { return info_->name; }
    friend bool operator==(Op a, Op b) { return a.info_ == b.info_; }
    friend bool operator==(Op a, const char* name) { return a.name() == name; }
    friend std::ostream& operator<<(std::ostream& out, Op op) { return out << op.name(); }

private:
    const OpInfo* info_;
};

// The row of an op of a user's own, so that networks with it can be saved, loaded and changed like others. Error: the
// name is taken.
void register_op(OpInfo info);

std::vector<std::string> op_names();  // of all rows but those of leaves, sorted
// Error: no such row (names the nearest).
const OpInfo& op_info(const std::string& name);

// Runs an op from its name and attributes. Error: no such op, or a call that it refuses.
Variable run_op(Op op, const Attributes& attributes, Inputs inputs, Mode mode = Mode::evaluation);

// The attributes with those that are left out filled in. Error: a required one is missing.
Attributes with_defaults(const OpInfo& op, const Attributes& given);

}  // namespace lathe
