#include "lathe/nas/elastic/supernet.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lathe/core/tape/variable.h"
#include "lathe/data/transforms.h"
#include "lathe/nn/graph_module.h"
#include "lathe/nn/layers/conv2d.h"

namespace lathe::nas {

namespace {

ElasticSlice& slice_of(nn::Parameter& weight) {
    if (auto* slice = weight.find_transform<ElasticSlice>()) return *slice;
    return static_cast<ElasticSlice&>(weight.add_transform(std::make_unique<ElasticSlice>(weight.value())));
}

// Channel c is index c.
bool in_order(const compress::ChannelMember& member) {
    for (size_t c = 0; c < member.indices.size(); ++c)
        if (member.indices[c] != std::vector{static_cast<int64_t>(c)}) return false;
    return static_cast<int64_t>(member.indices.size()) == member.value().dim(member.axis);
}

// The sum of magnitudes of every column of [.., columns].
void add_magnitudes(const Tensor& weight, std::vector<double>& sums) {
    with_float(weight, [&](auto zero) {
        const auto* w = weight.data<decltype(zero)>();
        const auto columns = static_cast<int64_t>(sums.size());
        for (int64_t i = 0; i < weight.numel(); ++i) sums[static_cast<size_t>(i % columns)] += std::abs(w[i]);
    });
}

// Batch norms in training for as long as their statistics are measured; otherwise they leave them alone.
class Measuring {
public:
    explicit Measuring(const std::vector<nn::BatchNorm*>& norms) : norms_(norms) {
        for (nn::BatchNorm* norm : norms_) norm->train(true);
    }
    ~Measuring() {
        for (nn::BatchNorm* norm : norms_) norm->train(false), norm->set_momentum(0);
    }
    Measuring(const Measuring&) = delete;
    Measuring& operator=(const Measuring&) = delete;

private:
    const std::vector<nn::BatchNorm*>& norms_;
};

}  // namespace

data::Dataset scaled(const data::Dataset& images, int64_t side) {
    if (images.image_shape()[0] == side && images.image_shape()[1] == side) return images;
    return images.augmented(data::resize(side, side));
}

Supernet::Supernet(std::unique_ptr<nn::Model> largest) : model_(std::move(largest)) {
    const Shape& input = model_->input_shape();
    lathe::check(input.rank() == 3 && input[0] == input[1], model_->architecture(),
                 ": expected a network of square images, got one of inputs ", input);
    child("", *model_);
    groups_ = compress::ChannelGroups(*model_, model_->example()).groups();
    for (const auto& [name, module] : model_->named_modules())
        if (auto* norm = dynamic_cast<nn::BatchNorm*>(module)) {
            norm->set_momentum(0);
            norms_.push_back(norm);
        }
    add({}, input[0]);
}

size_t Supernet::add(Part part, int64_t size) {
    parts_.push_back(std::move(part));
    full_.push_back(static_cast<int>(size));
    sizes_ = full_;
    return parts_.size() - 1;
}

nn::Module& Supernet::module_named(const std::string& name) {
    std::vector<std::string> names;
    for (const auto& [known, module] : model_->named_modules()) {
        if (known == name) return *module;
        names.push_back(known);
    }
    const std::string hint = nearest_name(name, names);
    fail("supernet: no layer is called '", name, "'", hint.empty() ? "" : "; ", hint);
}

size_t Supernet::channels(const std::string& layer) {
    module_named(layer);
    for (compress::ChannelGroup& group : groups_) {
        const std::vector<std::string> made_by = group.layers();
        if (std::find(made_by.begin(), made_by.end(), layer) == made_by.end()) continue;
        lathe::check(group.fixed.empty(), "supernet: '", layer, "' cannot have fewer channels: ", group.fixed);
        Part part;
        for (const compress::ChannelMember& member : group.members) {
            lathe::check(in_order(member), "supernet: '", layer,
                         "' cannot have fewer channels: they are not one by one those of '", member.name, "'");
            if (!member.parameter) continue;
            slice_of(*member.parameter);
            part.slices.emplace_back(member.parameter, member.axis == 0 ? &ActivePart::out : &ActivePart::in);
        }
        part.members = group.members;
        group.fixed = "they are elastic already";
        return add(std::move(part), group.channels);
    }
    fail("supernet: expected a layer that makes channels, got '", layer, "'");
}

size_t Supernet::kernel(const std::string& layer) {
    auto* conv = dynamic_cast<nn::Conv2d*>(&module_named(layer));
    lathe::check(conv, "supernet: expected a convolution, got '", layer, "'");
    slice_of(conv->weight);
    const int64_t side = conv->weight.shape()[1];
    return add({.slices = {{&conv->weight, &ActivePart::kernel}}, .members = {}}, side);
}

size_t Supernet::depth(const std::string& sequential) {
    auto* blocks = dynamic_cast<nn::Sequential*>(&module_named(sequential));
    lathe::check(blocks, "supernet: expected a sequence of blocks, got '", sequential, "'");
    return add({.slices = {}, .blocks = blocks, .members = {}}, static_cast<int64_t>(blocks->size()));
}

void Supernet::choose(const std::string& name, Elastic kind, size_t part, const std::vector<int>& values) {
    const bool rising = std::adjacent_find(values.begin(), values.end(), std::greater_equal<>()) == values.end();
    lathe::check(!values.empty() && values.front() >= 1 && rising && values.back() == full_[part], "supernet: '", name,
                 "': expected values that rise to ", full_[part]);
    choices_.push_back({name, kind, values});
    part_of_choice_.push_back(part);
    active_ = this->largest();
}

void Supernet::image_size(const std::vector<int>& values) {
    choose("image_size", Elastic::image_size, kImageSize, values);
}
void Supernet::kernel(const std::string& layer, const std::vector<int>& values) {
    choose(layer, Elastic::kernel, kernel(layer), values);
}
void Supernet::depth(const std::string& sequential, const std::vector<int>& values) {
    choose(sequential, Elastic::depth, depth(sequential), values);
}
void Supernet::expansion(const std::string& layer, const std::vector<int>& values) {
    choose(layer, Elastic::expansion, channels(layer), values);
}
void Supernet::width(const std::string& layer, const std::vector<int>& values) {
    choose(layer, Elastic::width, channels(layer), values);
}

void Supernet::describe_images(const std::vector<std::string>& classes, const nn::InputScaling& scaling) {
    model_->class_names = classes;
    model_->scaling = scaling;
}

Subnet Supernet::end_of(const Reach& reach, bool largest) const {
    Subnet subnet;
    for (const auto& [name, kind, values] : choices_) {
        const size_t count = std::min(values.size(), static_cast<size_t>(reach[static_cast<size_t>(kind)]));
        subnet.push_back(largest ? values.back() : values[values.size() - count]);
    }
    return subnet;
}

Subnet Supernet::sample(Random& random, const Reach& reach) const {
    Subnet subnet;
    for (const auto& [name, kind, values] : choices_) {
        const size_t count = std::min(values.size(), static_cast<size_t>(reach[static_cast<size_t>(kind)]));
        const auto drawn = static_cast<size_t>(random.below(static_cast<int64_t>(count)));
        subnet.push_back(values[values.size() - count + drawn]);
    }
    return subnet;
}

void Supernet::check(const Subnet& subnet) const {
    lathe::check(subnet.size() == choices_.size(), "supernet: expected ", choices_.size(), " choices, got ",
                 subnet.size());
    for (size_t i = 0; i < subnet.size(); ++i) {
        const std::vector<int>& values = choices_[i].values;
        lathe::check(std::find(values.begin(), values.end(), subnet[i]) != values.end(), "supernet: '",
                     choices_[i].name, "' cannot be ", subnet[i]);
    }
}

std::string Supernet::str(const Subnet& subnet) const {
    std::string text;
    for (size_t i = 0; i < subnet.size(); ++i)
        text += (i ? ",\"" : "\"") + choices_[i].name + "\":" + std::to_string(subnet[i]);
    return "{" + text + "}";
}

std::vector<int> Supernet::sizes(const Subnet& subnet) const {
    std::vector<int> sizes = full_;
    for (size_t i = 0; i < subnet.size(); ++i) sizes[part_of_choice_[i]] = subnet[i];
    return sizes;
}

void Supernet::use(const Subnet& subnet) {
    check(subnet);
    std::vector<int> wanted = sizes(subnet);
    active_ = subnet;
    if (wanted == sizes_) return;
    if (is_full()) {
        set_aside_.clear();
        for (const nn::BatchNorm* norm : norms_) set_aside_.push_back({norm->running_mean, norm->running_var});
    }
    for (size_t i = 0; i < parts_.size(); ++i) {
        if (wanted[i] == sizes_[i]) continue;
        for (const auto& [weight, field] : parts_[i].slices) {
            ElasticSlice& slice = slice_of(*weight);
            ActivePart part = slice.active();
            part.*field = wanted[i];
            slice.use(part);
        }
        if (parts_[i].blocks) parts_[i].blocks->use_first(static_cast<size_t>(wanted[i]));
    }
    sizes_ = std::move(wanted);
    for (size_t i = 0; i < norms_.size(); ++i) {  // none at all cannot be taken for this subnet's
        const Statistics statistics = is_full() ? set_aside_[i] : Statistics{};
        norms_[i]->running_mean = statistics.mean, norms_[i]->running_var = statistics.variance;
    }
}

void Supernet::calibrate_on(const data::Dataset& images, const Calibration& options) {
    lathe::check(options.count >= 1 && options.batch >= 2, "supernet: expected at least 1 image in batches of 2, got ",
                 options.count, " and ", options.batch);
    calibration_ = std::make_unique<data::Dataset>(images.sample(options.count, options.seed));
    calibration_batch_ = options.batch;
    known_.clear();
}

// What statistics depend on beside the sizes: another number after every change.
uint64_t Supernet::weights_version() {
    uint64_t version = 0;
    model_->for_each_parameter([&](const nn::Parameter& parameter) {
        version = mix(version, parameter.version());
        for (const auto& transform : parameter.transforms())
            if (transform->stage() != nn::WeightTransform::Stage::slice) version = mix(version, transform->version());
    });
    return version;
}

void Supernet::calibrate() {
    if (const uint64_t now = weights_version(); now != version_) known_.clear(), version_ = now;
    auto found = known_.find(sizes_);
    if (found == known_.end()) found = known_.emplace(sizes_, measured()).first;
    for (size_t i = 0; i < norms_.size(); ++i) {
        norms_[i]->running_mean = found->second[i].mean;
        norms_[i]->running_var = found->second[i].variance;
    }
}

std::vector<Supernet::Statistics> Supernet::measured() {
    lathe::check(calibration_ || norms_.empty(), "supernet: expected images to measure the statistics of a subnet on "
                 "before it is evaluated (calibrate_on), got none");
    lathe::check(!detail::tracing(), "supernet: expected calibrate() before the network is traced");
    for (nn::BatchNorm* norm : norms_) {
        lathe::check(norm->weight.trainable(), "supernet: expected batch norms that are not frozen");
        const Shape channels = norm->weight.effective().shape();
        norm->running_mean = Tensor::zeros(channels), norm->running_var = Tensor::zeros(channels);
    }
    const NoGrad no_grad;
    const nn::ModeScope evaluation(*model_, false);
    const Measuring measuring(norms_);
    const data::Dataset images = scaled(*calibration_, active_image_size());
    for (int64_t begin = 0; begin < images.size() && !norms_.empty();) {
        int64_t count = std::min(calibration_batch_, images.size() - begin);
        if (images.size() - begin - count == 1) ++count;  // a batch of one has no variance
        std::vector<int64_t> indices(static_cast<size_t>(count));
        std::iota(indices.begin(), indices.end(), begin);
        begin += count;
        for (nn::BatchNorm* norm : norms_)
            norm->set_momentum(static_cast<double>(count) / static_cast<double>(begin));
        (*model_)(images.batch(indices).input());
    }
    std::vector<Statistics> statistics;
    for (const nn::BatchNorm* norm : norms_) statistics.push_back({norm->running_mean, norm->running_var});
    return statistics;
}

Variable Supernet::forward(const Variable& x) {
    if (!training()) calibrate();
    return (*model_)(x);
}

optim::Evaluation Supernet::evaluate(const data::Dataset& images, const optim::EvaluateOptions& options) {
    return optim::evaluate(*this, scaled(images, active_image_size()), options);
}

std::unique_ptr<nn::Model> Supernet::extract(const Subnet& subnet) {
    const SubnetScope scope(*this, subnet);
    calibrate();
    nn::ModelOptions options = model_->options();
    options.input = {active_image_size(), active_image_size(), options.input[2]};
    Graph graph = nn::weights_first(nn::trace(*model_, nn::Model::example(1, options.input)), *model_);
    for (GraphNode& node : graph.nodes) {
        if (node.value) node.value = node.value.clone();
        node.lowered.reset();
    }
    auto model = std::make_unique<nn::Model>(model_->architecture(), options,
                                             std::make_unique<nn::GraphModule>(std::move(graph)));
    model->class_names = model_->class_names;
    model->scaling = model_->scaling;
    model->metadata = {{"arch", str(subnet)}};
    return model;
}

void Supernet::sort_channels(const Subnet& before, const Subnet& now) {
    const SubnetScope scope(*this, largest());
    const std::vector<int> shared = sizes(before), fewer = sizes(now);
    for (size_t i = 0; i < parts_.size(); ++i) {
        const std::vector<compress::ChannelMember>& members = parts_[i].members;
        if (members.empty() || fewer[i] >= shared[i]) continue;
        std::vector<double> importance(static_cast<size_t>(full_[i]));
        for (const compress::ChannelMember& member : members)
            if (member.use == compress::ChannelUse::reader) add_magnitudes(member.parameter->value(), importance);
        std::vector<int64_t> order(importance.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.begin() + shared[i], [&](int64_t a, int64_t b) {
            return importance[static_cast<size_t>(a)] > importance[static_cast<size_t>(b)];
        });
        for (const compress::ChannelMember& member : members)
            if (member.parameter) member.parameter->select_(member.axis, order);
            else *member.buffer = member.buffer->select(member.axis, order);
    }
}

}  // namespace lathe::nas
