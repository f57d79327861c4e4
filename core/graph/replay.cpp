#include "lathe/core/graph/replay.h"

#include "lathe/core/ops/activation.h"
#include "lathe/core/ops/add.h"
#include "lathe/core/ops/batch_norm.h"
#include "lathe/core/ops/concat.h"
#include "lathe/core/ops/conv2d.h"
#include "lathe/core/ops/dropout.h"
#include "lathe/core/ops/embedding.h"
#include "lathe/core/ops/layer_norm.h"
#include "lathe/core/ops/linear.h"
#include "lathe/core/ops/matmul.h"
#include "lathe/core/ops/mul.h"
#include "lathe/core/ops/pad.h"
#include "lathe/core/ops/permute.h"
#include "lathe/core/ops/pool2d.h"
#include "lathe/core/ops/reshape.h"
#include "lathe/core/ops/scale.h"
#include "lathe/core/ops/slice.h"
#include "lathe/core/ops/softmax.h"
#include "lathe/core/ops/sub.h"
#include "lathe/core/ops/sum.h"

namespace lathe {

namespace {

using Inputs = std::vector<Variable>;
using Replay = Variable (*)(const Attributes& a, const Inputs& x);

ops::Pair pair(const Attributes& a, const char* name) {
    const std::vector<int64_t>& both = a.integers(name);
    return {both.at(0), both.at(1)};
}

ops::Padding padding(const Attributes& a) {
    const std::vector<int64_t>& sides = a.integers("padding");
    return {sides.at(0), sides.at(1), sides.at(2), sides.at(3)};
}

Activation activation(const Attributes& a) { return activation_named(a.text("activation")); }
int axis(const Attributes& a) { return static_cast<int>(a.integer("axis")); }

template <Activation kActivation>
Variable activate(const Attributes&, const Inputs& x) {
    return ops::activation(x.at(0), kActivation);
}

Variable conv2d(const Attributes& a, const Inputs& x) {
    return ops::conv2d(x.at(0), x.at(1), x.at(2),
                       {.stride = pair(a, "stride"), .padding = padding(a), .dilation = pair(a, "dilation"), .groups = a.integer("groups")});
}

Variable batch_norm(const Attributes& a, const Inputs& x) {
    return ops::batch_norm(x.at(0), x.at(1), x.at(2), x.at(3), x.at(4),
                           {.training = a.integer("training") != 0, .momentum = a.real("momentum"), .eps = a.real("eps"),
                            .activation = activation(a)});
}

Variable pad(const Attributes& a, const Inputs& x) {
    std::vector<ops::PadWidth> widths;
    for (size_t i = 0; i < a.integers("before").size(); ++i) widths.push_back({a.integers("before")[i], a.integers("after").at(i)});
    return ops::pad(x.at(0), widths, a.real("value"));
}

Variable permute(const Attributes& a, const Inputs& x) {
    return ops::permute(x.at(0), {a.integers("axes").begin(), a.integers("axes").end()});
}

Variable avg_pool2d(const Attributes& a, const Inputs& x) {
    return ops::avg_pool2d(x.at(0), pair(a, "kernel_size"),
                           {.stride = pair(a, "stride"), .padding = padding(a), .count_include_pad = a.integer("count_include_pad") != 0});
}

Variable max_pool2d(const Attributes& a, const Inputs& x) {
    return ops::max_pool2d(x.at(0), pair(a, "kernel_size"), {.stride = pair(a, "stride"), .padding = padding(a)});
}

Variable reshape(const Attributes& a, const Inputs& x) { return ops::reshape(x.at(0), a.integers("shape")); }

Variable sum(const Attributes& a, const Inputs& x) {
    return a.has("axis") ? ops::sum(x.at(0), axis(a), a.integer("keep_axis") != 0) : ops::sum(x.at(0));
}

Variable mean(const Attributes& a, const Inputs& x) {
    return a.has("axis") ? ops::mean(x.at(0), axis(a), a.integer("keep_axis") != 0) : ops::mean(x.at(0));
}

const std::map<std::string, Replay>& replays() {
    static const std::map<std::string, Replay> all{
        {"add", [](const Attributes& a, const Inputs& x) { return ops::add(x.at(0), x.at(1), activation(a)); }},
        {"avg_pool2d", avg_pool2d},
        {"batch_norm", batch_norm},
        {"concat", [](const Attributes& a, const Inputs& x) { return ops::concat(x, axis(a)); }},
        {"conv2d", conv2d},
        {"dropout", [](const Attributes& a, const Inputs& x) { return ops::dropout(x.at(0), a.real("p"), true); }},
        {"embedding", [](const Attributes&, const Inputs& x) { return ops::embedding(x.at(0).value(), x.at(1)); }},
        {"flatten", reshape},
        {"gelu", activate<Activation::gelu>},
        {"global_avg_pool", [](const Attributes&, const Inputs& x) { return ops::global_avg_pool(x.at(0)); }},
        {"hard_sigmoid", activate<Activation::hard_sigmoid>},
        {"hard_swish", activate<Activation::hard_swish>},
        {"layer_norm", [](const Attributes& a, const Inputs& x) { return ops::layer_norm(x.at(0), x.at(1), x.at(2), a.real("eps")); }},
        {"linear", [](const Attributes&, const Inputs& x) { return ops::linear(x.at(0), x.at(1), x.at(2)); }},
        {"log_softmax", [](const Attributes&, const Inputs& x) { return ops::log_softmax(x.at(0)); }},
        {"matmul", [](const Attributes&, const Inputs& x) { return ops::matmul(x.at(0), x.at(1)); }},
        {"max_pool2d", max_pool2d},
        {"mean", mean},
        {"mul", [](const Attributes&, const Inputs& x) { return ops::mul(x.at(0), x.at(1)); }},
        {"pad", pad},
        {"permute", permute},
        {"relu", activate<Activation::relu>},
        {"relu6", activate<Activation::relu6>},
        {"reshape", reshape},
        {"scale", [](const Attributes& a, const Inputs& x) { return ops::scale(x.at(0), a.real("factor")); }},
        {"sigmoid", activate<Activation::sigmoid>},
        {"slice", [](const Attributes& a, const Inputs& x) { return ops::slice(x.at(0), axis(a), a.integer("start"), a.integer("length")); }},
        {"softmax", [](const Attributes&, const Inputs& x) { return ops::softmax(x.at(0)); }},
        {"sub", [](const Attributes&, const Inputs& x) { return ops::sub(x.at(0), x.at(1)); }},
        {"sum", sum},
        {"tanh", activate<Activation::tanh>},
    };
    return all;
}

}  // namespace

Variable replay(const GraphNode& node, const std::vector<Variable>& inputs) {
    const auto found = replays().find(node.op);
    check(found != replays().end(), "replay: cannot run '", node.op, "' again");
    return found->second(node.attributes, inputs);
}

}  // namespace lathe
