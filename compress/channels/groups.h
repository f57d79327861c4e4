#pragma once
#include <string>
#include <vector>

#include "lathe/compress/channels/labels.h"
#include "lathe/nn/module.h"

namespace lathe::compress {

// Where a group of channels appears in the module: along `axis` of a parameter or buffer, channel c is the indices
// `indices[c]`. One index for a filter, h * w of them in a linear layer behind a flattened image, one in each group of
// a grouped convolution.
struct ChannelMember {
    ChannelUse use = ChannelUse::other;
    std::string name{};                 // "layer1.0.conv1.weight"
    nn::Parameter* parameter = nullptr;  // one of the two
    Tensor* buffer = nullptr;
    int axis = 0;
    std::vector<std::vector<int64_t>> indices{};

    const Tensor& value() const { return parameter ? parameter->value() : *buffer; }
    std::string layer() const { return name.substr(0, name.rfind('.')); }
};

// Channels that can be cut or reordered by one decision: cutting one takes its indices out of every member.
struct ChannelGroup {
    int64_t channels = 0;
    std::vector<ChannelMember> members{};
    std::string fixed{};  // why none can be cut: "it is the network's output"; empty: they can
    int64_t front = 0;    // zero channels of a centred padding: so many lie in front, channels - front behind; else 0

    // The layers that make the channels ("layer1.0.conv2"), in order of execution.
    std::vector<std::string> layers() const;
};

// For each group the channels to keep, in their new order.
using ChannelChoice = std::vector<std::vector<int64_t>>;

// The groups of a module, read from its traced graph: nobody names layers. Convolutions (dense, grouped, depthwise),
// linear layers, embeddings, norms, elementwise ops with broadcasting, pools, concat, slice, pad, permute, reshape are
// followed; what cannot be followed or has a size fixed in the module's code is a group that says why it is left alone.
class ChannelGroups {
public:
    // x [N, ...]: an input that the module accepts; of its values only the shape matters. To find sizes that are fixed
    // in code, the module runs with a channel less in each group and is put back as it was. Error: what running it
    // raises.
    ChannelGroups(nn::Module& module, const Tensor& x);

    const std::vector<ChannelGroup>& groups() const { return groups_; }
    const Graph& graph() const { return graph_; }  // of one image (one row of x)

    // The graph with the shapes it has once only kept[g] channels of group g are left: what core/graph/cost.h says of
    // it is what the pruned network costs. Ops' attributes stay (the groups of a depthwise convolution follow from its
    // shapes).
    Graph predict(const std::vector<int64_t>& kept) const;
    // Elements of all parameters of the module by then.
    int64_t predict_parameters(const std::vector<int64_t>& kept) const;
    std::vector<int64_t> channels() const;  // of every group: nothing cut

    // Cuts and reorders the module's parameters and buffers through Parameter::select_, runs it to see that every shape
    // is the predicted one, and else puts everything back. The groups then describe the network as it was: make new
    // ones to go on. Error: a choice for a fixed group that changes it, no channel left, an index out of range or
    // twice.
    void select_(const ChannelChoice& choice);

private:
    struct Share {  // of one axis of a node: each channel of a group takes `times` indices
        int axis;
        size_t group;
        int64_t times;
    };
    void find_groups();
    void centre(const ChannelLabels& labels, const std::vector<std::pair<size_t, int64_t>>& place);
    void fix_what_does_not_follow();
    void check_choice(const ChannelChoice& choice) const;
    void cut(const ChannelChoice& choice);
    std::string mismatch(const std::vector<int64_t>& kept);
    ChannelChoice first_channels(const std::vector<int64_t>& kept) const;

    nn::Module& module_;
    Tensor x_;
    Graph graph_;
    std::vector<ChannelGroup> groups_;
    std::vector<std::vector<Share>> shares_;  // by node
};

}  // namespace lathe::compress
