#include "lathe/tools/supernet_options.h"

#include "lathe/nn/run/inference.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/common_options.h"

namespace lathe::tools {

void add_calibration(CLI::App& c, int64_t& images) {
    c.add_option("--calibration", images, "Training images that the statistics of a subnet are measured on")
        ->check(PositiveNumber)
        ->capture_default_str();
}

void SupernetOptions::add_to(CLI::App& c, bool required) {
    c.add_option("--supernet", file, "supernet.safetensors of `lathe nas train`")->required(required);
    data.add_to(c);
    c.get_option("--data")->required(required);
    c.remove_option(c.get_option("--augment"));
    data.augment = "none";
    c.add_option("--split-seed", seed, "The --seed of the training, which chose the images held out")
        ->capture_default_str();
    add_calibration(c, calibration);
    add_threads(c);
}

SupernetOptions::Opened SupernetOptions::open() const {
    auto net = nas::SpaceSupernet::load(file);
    TrainingData images = data.open(data.form(net->model(), Origin::saved), seed);
    images.label_for(net->model());
    net->calibrate_on(images.plain, {.count = calibration, .seed = seed});
    nas::Space asked = space.empty() ? net->space() : nas::space_named(space);
    check(asked.name == net->space().name || asked.supernet == net->space().name, file, ": expected the space ",
          net->space().name, " or its joint one, got ", asked.name);
    asked.classes = net->space().classes;
    data::Dataset sample = images.plain.sample(calibration, seed);
    return {std::move(net), std::move(images), std::move(asked), std::move(sample)};
}

std::unique_ptr<nas::SpaceSupernet> new_supernet(const nas::Space& space, const TrainingData& data, int64_t calibration,
                                                 uint64_t seed) {
    const std::vector<std::string>& classes = data.train.classes();
    auto net = std::make_unique<nas::SpaceSupernet>(space, static_cast<int64_t>(classes.size()));
    net->describe_images(classes, {.mean = data.train.normalization().mean, .std = data.train.normalization().std});
    net->calibrate_on(data.plain, {.count = calibration, .seed = seed});
    return net;
}

std::unique_ptr<nn::Model> SupernetOptions::Opened::subnet(const nas::Arch& arch) const {
    return space.joint() ? nas::compressed_subnet(*net, space, arch, calibration) : net->extract(net->subnet(arch));
}

optim::Evaluation evaluate_subnet(nn::Model& model, const data::Dataset& images, int workers) {
    constexpr int64_t kBatch = 100;
    return optim::evaluate(nn::Inference(model, model.example(std::min(kBatch, images.size()))),
                           nas::scaled(images, model.input_shape()[0]), {.batch = kBatch, .workers = workers});
}

}  // namespace lathe::tools
