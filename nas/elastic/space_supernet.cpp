#include "lathe/nas/elastic/space_supernet.h"

#include "lathe/nas/space/network.h"
#include "lathe/nn/files/description.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/init.h"

namespace lathe::nas {

namespace {

constexpr const char* kSupernet = "supernet";  // of Model::metadata: the name of the space

}  // namespace

SpaceSupernet::SpaceSupernet(const Space& space, int64_t classes)
    : Supernet(nas::network(space, space.largest(), classes)), space_(space) {
    lathe::check(!space.joint(), "expected a space with a supernet of its own, as ", space.supernet, ", got ",
                 space.name);
    space_.classes = model().classes();
    const Choices& c = space.choices;
    const auto choice = [&](const std::string& name, Elastic kind, const std::vector<int>& values) {
        choices_.push_back({name, kind, values});
    };
    const auto numbered = [&](const char* name, size_t count, Elastic kind, const std::vector<int>& values) {
        for (size_t i = 0; i < count; ++i) choice(concatenated(name, "[", i, "]"), kind, values);
    };
    choice("image_size", Elastic::image_size, c.image_size);
    choice("wid", Elastic::width, c.wid);
    numbered("ks", space.blocks(), Elastic::kernel, c.ks);
    numbered("e", space.blocks(), Elastic::expansion, c.e);
    numbered("d", space.stages.size(), Elastic::depth, c.d);

    const bool basic = space.block == BlockKind::basic;
    first_ = channels("features.first.0");
    if (space.second) second_ = channels("features.second.0");
    for (const Block& block : layers_of(space, space.largest()).blocks) {
        const std::string stage = "features." + stage_name(block.stage);
        const std::string inside = concatenated(stage, ".", block.place, basic ? "." : ".conv.");
        if (block.place == 0) {
            widths_.push_back(channels(inside + (basic ? "conv2" : "2")));
            depths_.push_back(depth(stage));
        }
        Places places{.expanded = channels(inside + (basic ? "conv1" : "0.0"))};
        if (!basic) places.kernel = kernel(inside + "1.0");
        if (block.squeezed) places.squeezed = channels(inside + "se.fc1");
        blocks_.push_back(places);
    }
    use(largest());
}

Subnet SpaceSupernet::subnet(const Arch& arch) const {
    space_.check(arch);
    Subnet subnet{arch.image_size, arch.wid};
    for (const std::vector<int>* numbers : {&arch.ks, &arch.e, &arch.d})
        subnet.insert(subnet.end(), numbers->begin(), numbers->end());
    return subnet;
}

Arch SpaceSupernet::arch(const Subnet& subnet) const {
    check(subnet);
    auto next = subnet.begin();
    Arch arch;
    arch.image_size = *next++;
    arch.wid = *next++;
    const auto take = [&](size_t count) {
        const auto begin = next;
        return std::vector<int>(begin, next += static_cast<std::ptrdiff_t>(count));
    };
    arch.ks = take(space_.blocks());
    arch.e = take(space_.blocks());
    arch.d = take(space_.stages.size());
    return arch;
}

std::vector<int> SpaceSupernet::sizes(const Subnet& subnet) const {
    const Layers layers = layers_of(space_, arch(subnet));
    std::vector<int> sizes = full_;
    const auto set = [&](size_t part, int64_t size) { sizes[part] = static_cast<int>(size); };
    set(kImageSize, layers.image_size);
    set(first_, layers.first);
    if (second_) set(second_, layers.second);
    for (const Block& block : layers.blocks) {
        const Places& places = blocks_[block.index];
        set(widths_[block.stage], block.out);
        set(depths_[block.stage], static_cast<int64_t>(block.place) + 1);
        set(places.expanded, block.expanded);
        if (places.kernel) set(places.kernel, block.kernel);
        if (places.squeezed) set(places.squeezed, block.squeezed);
    }
    return sizes;
}

void SpaceSupernet::save(const std::string& path) {
    const SubnetScope scope(*this, largest());
    calibrate();
    network().metadata = {{kSupernet, space_.name}, {"arch", str(active())}};
    nn::save(network(), path);
}

std::unique_ptr<SpaceSupernet> SpaceSupernet::load(const std::string& path) {
    register_elastic_slice();
    const TensorFile file = read_safetensors(path);
    std::unique_ptr<SpaceSupernet> net;
    nn::reading_file(path, [&] {
        const auto name = file.metadata.find(kSupernet);
        lathe::check(name != file.metadata.end(), "expected a supernet of `lathe nas train`, got another file");
        const nn::Description about = nn::read_description(file.metadata);
        const nn::init::Skip no_weights;
        net = std::make_unique<SpaceSupernet>(space_named(name->second), about.options.classes);
        nn::load_weights(net->network(), file, "");
        net->describe_images(about.class_names, about.scaling);
    });
    return net;
}

}  // namespace lathe::nas
