#pragma once
#include <array>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lathe/compress/channels/groups.h"
#include "lathe/core/random.h"
#include "lathe/data/dataset.h"
#include "lathe/nas/elastic/elastic_slice.h"
#include "lathe/nn/layers/batch_norm.h"
#include "lathe/nn/layers/sequential.h"
#include "lathe/nn/model.h"
#include "lathe/optim/evaluate.h"

namespace lathe::nas {

// In what subnets differ.
enum class Elastic { image_size, kernel, depth, expansion, width };

// Something that every subnet chooses: one of some values, rising.
struct ElasticChoice {
    std::string name;
    Elastic kind;
    std::vector<int> values;
};
// What a subnet chose, in the supernet's order of choices.
using Subnet = std::vector<int>;

// From how many of its largest values each choice is made, by Elastic; 1: only the largest.
using Reach = std::array<int, 5>;
constexpr int kAll = std::numeric_limits<int>::max();
constexpr Reach kWholeReach{kAll, kAll, kAll, kAll, kAll};

// A network that contains many (Cai et al. 2020, "Once-for-all", arXiv 1908.09791): made of ordinary blocks, it is the
// largest of them; the others use the first channels of its weights (ElasticSlice), the first blocks of its sequences
// and smaller images. One is active at a time, and forward runs that one.
//
//     Supernet net(std::move(model));
//     net.image_size({24, 32});
//     net.width("stem", {16, 24, 32});  // whatever must have as many channels follows
//     net.use(net.sample(random));
//
// Each subnet has batch-norm statistics of its own. Training neither needs nor moves them. Evaluation takes those
// measured with the weights as they are, on images given once; what is not known is measured first.
class Supernet : public nn::Module {
public:
    // Of images, with the choice of nothing so far. Error: a model whose input is not a square image.
    explicit Supernet(std::unique_ptr<nn::Model> largest);

    // What is elastic, by the names of layers, with the values it may have: the last one is the network's own. Channels
    // are those that the layer makes; they are followed through the network, so one layer of those that must agree is
    // enough. Progressive shrinking makes `expansion` elastic before `width`; else the two are alike.
    // Error: no such layer, channels that others depend on in a way that has no first ones, values that do not rise to
    // what there is.
    void image_size(const std::vector<int>& values);
    void kernel(const std::string& layer, const std::vector<int>& values);
    void depth(const std::string& sequential, const std::vector<int>& values);  // how many of its first blocks run
    void expansion(const std::string& layer, const std::vector<int>& values);
    void width(const std::string& layer, const std::vector<int>& values);

    const std::vector<ElasticChoice>& choices() const { return choices_; }
    Subnet largest(const Reach& reach = kWholeReach) const { return end_of(reach, true); }
    Subnet smallest(const Reach& reach = kWholeReach) const { return end_of(reach, false); }
    Subnet sample(Random& random, const Reach& reach = kWholeReach) const;  // each value with equal probability
    void check(const Subnet& subnet) const;                                 // Error: a value that is no choice
    virtual std::string str(const Subnet& subnet) const;                    // JSON: {"image_size":24,"stem":16}

    // Makes a subnet the active one; no tensor is made for it. At first the largest is.
    void use(const Subnet& subnet);
    const Subnet& active() const { return active_; }
    int64_t active_image_size() const { return sizes_[kImageSize]; }

    // The images that statistics are measured on, `count` of them at random in batches of `batch`: the mean of the
    // batches' means and variances, each layer working with those of the batch, as once-for-all does.
    struct Calibration {
        int64_t count = 2000, batch = 200;
        uint64_t seed = 0;
    };
    void calibrate_on(const data::Dataset& images, const Calibration& options);
    void calibrate_on(const data::Dataset& images) { calibrate_on(images, {}); }
    // Gives the active subnet its statistics, unless it has them. Evaluation does that by itself.
    // Error: they are not known, and calibrate_on was not called.
    void calibrate();

    // The active subnet on images of any size, which are scaled to its own.
    optim::Evaluation evaluate(const data::Dataset& images, const optim::EvaluateOptions& options = {});

    // The subnet as a network of its own, which computes the same to the last bit. Its metadata has str() as "arch".
    // Other transforms of weights are applied to them.
    std::unique_ptr<nn::Model> extract(const Subnet& subnet);

    // Puts the most important channels first, those that their readers weigh most (the sum of magnitudes), before
    // subnets get fewer of them than before: where `now` has fewer than `before`, the first of `before` are sorted.
    // The largest network computes what it did.
    void sort_channels(const Subnet& before, const Subnet& now);

    // The network as such, to be asked what it is; it runs through the supernet alone, which knows whose statistics it
    // has.
    const nn::Model& model() const { return *model_; }
    void describe_images(const std::vector<std::string>& classes, const nn::InputScaling& scaling);  // for its files

protected:
    nn::Model& network() { return *model_; }

    // What has a size: a part of the network, by its number. Sizes of subnets follow their order.
    static constexpr size_t kImageSize = 0;
    size_t channels(const std::string& layer);
    size_t kernel(const std::string& layer);
    size_t depth(const std::string& sequential);
    // The sizes that a subnet asks for; those of the choices themselves unless a space says otherwise.
    virtual std::vector<int> sizes(const Subnet& subnet) const;

    std::vector<ElasticChoice> choices_;
    std::vector<int> full_;  // the sizes of the largest

private:
    struct Part {
        std::vector<std::pair<nn::Parameter*, int64_t ActivePart::*>> slices;
        nn::Sequential* blocks = nullptr;
        std::vector<compress::ChannelMember> members;  // of channels
    };
    struct Statistics {
        Tensor mean, variance;
    };

    Variable forward(const Variable& x) override;
    Subnet end_of(const Reach& reach, bool largest) const;
    size_t add(Part part, int64_t size);
    void choose(const std::string& name, Elastic kind, size_t part, const std::vector<int>& values);
    nn::Module& module_named(const std::string& name);
    uint64_t weights_version();
    std::vector<Statistics> measured();
    bool is_full() const { return sizes_ == full_; }

    std::unique_ptr<nn::Model> model_;
    std::vector<compress::ChannelGroup> groups_;
    std::vector<nn::BatchNorm*> norms_;
    std::vector<Part> parts_;
    std::vector<size_t> part_of_choice_;
    Subnet active_;
    std::vector<int> sizes_;  // of the active subnet

    std::unique_ptr<data::Dataset> calibration_;
    int64_t calibration_batch_ = 0;
    std::vector<Statistics> set_aside_;                     // of the largest, while another is active
    std::map<std::vector<int>, std::vector<Statistics>> known_;  // by sizes, with the weights of version_
    uint64_t version_ = 0;
};

// The images at a size of side x side: as they are when that is theirs.
data::Dataset scaled(const data::Dataset& images, int64_t side);

// Keeps a subnet active for the length of a scope.
class SubnetScope {
public:
    SubnetScope(Supernet& net, const Subnet& subnet) : net_(net), before_(net.active()) { net.use(subnet); }
    ~SubnetScope() { net_.use(before_); }
    SubnetScope(const SubnetScope&) = delete;
    SubnetScope& operator=(const SubnetScope&) = delete;

private:
    Supernet& net_;
    Subnet before_;
};

}  // namespace lathe::nas
