#include "lathe/tools/data_options.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "lathe/data/damaged.h"
#include "lathe/data/transforms.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/task.h"

namespace lathe::tools {

namespace {

// The square image whose pixels are so many features, of three channels or one: never both. Empty: there is none.
Shape square_image(int64_t features) {
    for (const int64_t channels : {3, 1}) {
        const auto side = std::llround(std::sqrt(static_cast<double>(features) / static_cast<double>(channels)));
        if (channels * side * side == features) return {side, side, channels};
    }
    return {};
}

}  // namespace

void DataOptions::add_to(CLI::App& command) {
    command
        .add_option("--data", data,
                    "shapes, cifar10, mnist, fashion-mnist or folder:PATH (a folder or .tar of class folders)")
        ->required();
    command.add_option("--data-root", root, "Folder of the data sets: cifar-10-batches-bin/, mnist/, fashion-mnist/")
        ->envname("LATHE_DATA");
    command
        .add_option("--mean", mean,
                    "Taken from pixels in [0,1]: a,b,c, none, or auto (the model's, else the data set's)")
        ->capture_default_str();
    command.add_option("--std", std, "Pixels are divided by it: a,b,c, none or auto")->capture_default_str();
    command.add_option("--workers", workers, "Threads that decode and augment")
        ->check(CLI::Range(0, 256))
        ->capture_default_str();
    command.add_flag("--skip-damaged", skip_damaged, "Leave out images that cannot be read, and say which");
}

data::Dataset DataOptions::open(data::Split split, const ImageForm& form, const std::string& augment) const {
    data::Collection images(data, root);
    return open(images, split, form, augment);
}

data::Dataset DataOptions::open(data::Collection& images, data::Split split, const ImageForm& form,
                                const std::string& augment) const {
    data::OpenOptions options{.anomalies = form.reconstructs, .augment = augment == "auto" ? "usual" : augment};
    const Shape& size = form.size;
    if (size.rank()) {
        check(!is_folder() || size[0] == size[1], data,
              ": images of folders are scaled to squares, expected such a size, got ", size);
        options.size = size[0];
        options.channels = size[2];
    }
    data::Dataset dataset = images.open(split, options);
    const Shape& has = dataset.image_shape();
    if (size.rank() && has != size) {
        check(has[2] == size[2], data, ": expected images that can be scaled to ", size, ", got ", has);
        dataset = dataset.augmented(data::resize(size[0], size[1]))
                      .with_note(concatenated("scaled from ", has[0], "x", has[1]));
    }
    data::Normalization normalization = dataset.normalization();
    if (form.scaling) normalization = {form.scaling->mean, form.scaling->std};
    const data::Normalization named =
        data::parse_normalization(mean == "auto" ? "none" : mean, std == "auto" ? "none" : std);
    if (mean != "auto") normalization.mean = named.mean;
    if (std != "auto") normalization.std = named.std;
    const data::Dataset normalised = dataset.with_normalization(normalization);
    return form.flat ? normalised.flattened() : normalised;
}

data::Dataset DataOptions::open(data::Split split, const nn::Model& model, const std::string& augment) const {
    const data::Dataset images = open(split, form(model, Origin::saved), augment);
    return labelled_for(model, skip_damaged ? images.without(damaged(images)) : images);
}

std::vector<int64_t> DataOptions::damaged(const data::Dataset& images) const {
    if (!is_folder()) return {};
    Progress progress("check", images.size());
    const std::vector<data::Damaged> found =
        data::find_damaged(images, [&](int64_t done) { progress.update(done); });
    progress.clear();
    check(found.size() != 1 || skip_damaged, found.empty() ? "" : found[0].what, " (--skip-damaged leaves it out)");
    std::vector<int64_t> indices;
    for (const auto& [index, what] : found) {
        std::fprintf(stderr, "%s%s\n", skip_damaged ? "left out: " : "", what.c_str());
        indices.push_back(index);
    }
    check(found.empty() || skip_damaged, images.info().name, ": ", found.size(), " of ", images.size(),
          " images cannot be read (--skip-damaged leaves them out)");
    check(static_cast<int64_t>(found.size()) < images.size() || found.empty(), images.info().name,
          ": no image can be read");
    return indices;
}

ImageForm DataOptions::form(const nn::Model& network, Origin from, const std::string& input) const {
    static const nn::InputScaling as_they_are;
    const Shape& wanted = network.input_shape();
    ImageForm form{.flat = wanted.rank() == 1, .reconstructs = network.classes() == 0};
    if (from == Origin::saved) form.scaling = &network.scaling;
    else if (form.reconstructs) form.scaling = &as_they_are;
    if (input != "auto") {
        form.size = parse_input(input);
        check(form.size.rank() == 3, "--input: expected HEIGHTxWIDTHxCHANNELS for images, got '", input, "'");
    } else if (is_folder() || from != Origin::named) {
        form.size = wanted.rank() == 3 ? wanted : form.flat ? square_image(wanted[0]) : Shape{};
        // A new network takes any number of features.
        if (is_folder() && form.flat && !form.size.rank() && from != Origin::saved) form.size = {32, 32, 3};
        check(!is_folder() || form.size.rank() == 3, network.architecture(),
              ": expected inputs that are images, or the pixels of square ones, got ", wanted);
    }
    return form;
}

Shape parse_input(const std::string& text) {
    Shape shape;
    const char* at = text.c_str();
    for (bool more = true; more; ++at) {
        char* end = nullptr;
        const long extent = std::strtol(at, &end, 10);
        more = *end == 'x' && shape.rank() < 2;
        check(end != at && extent >= 1 && extent <= 1 << 16 && (more || (*end == 0 && shape.rank() != 1)),
              "--input: expected HEIGHTxWIDTHxCHANNELS such as 32x32x3, or a number of features, got '", text, "'");
        shape.push_back(extent);
        at = end;
    }
    return shape;
}

}  // namespace lathe::tools
