#include "lathe/data/open.h"

#include "lathe/data/cifar10.h"
#include "lathe/data/mnist.h"
#include "lathe/data/shapes.h"
#include "lathe/data/transforms.h"

namespace lathe::data {

namespace {

constexpr std::string_view kFolder = "folder:", kResizedCrop = "resized-crop";

Dataset open_folder(const ImageFolder& images, Split split, const OpenOptions& options, const std::string& augment) {
    FolderOptions folder;
    folder.size = options.size;
    folder.channels = options.channels;
    folder.seed = options.seed;
    folder.anomalies = options.anomalies;
    std::vector<Transform> steps = parse_transforms(augment, {options.size, options.size, folder.channels});
    if (augment.substr(0, augment.find_first_of(",:")) == kResizedCrop) {
        folder.fit = steps.front();  // of the picture as it was taken, not of its scaled-down middle
        steps.erase(steps.begin());
    }
    return images.open(split, folder).augmented(steps);
}

Dataset read_files(const std::string& name, const std::string& root, Split split) {
    check(!root.empty(), name, ": expected a data root, the folder that holds it (--data-root DIR or $LATHE_DATA)");
    if (name == "cifar10") return cifar10(root, split);
    return name == "mnist" ? mnist(root, split) : fashion_mnist(root, split);
}

}  // namespace

std::vector<std::string> names() { return {"shapes", "cifar10", "mnist", "fashion-mnist", "folder:PATH"}; }

std::string usual_augmentation(const std::string& name) {
    if (name == "cifar10") return "crop:4,flip";
    if (name == "fashion-mnist") return "flip";
    return name.starts_with(kFolder) ? "resized-crop,flip" : "none";
}

Collection::Collection(const std::string& name, const std::string& root) : name_(name), root_(root) {
    if (name.starts_with(kFolder)) {
        folder_.emplace(name.substr(kFolder.size()));
        return;
    }
    bool known = false;
    for (const std::string& candidate : names()) known |= name == candidate;
    const std::string hint = known ? "" : nearest_name(name, names());
    check(known, "unknown data '", name, "': expected shapes, cifar10, mnist, fashion-mnist or folder:PATH",
          hint.empty() ? "" : "; ", hint);
}

std::vector<Split> Collection::splits() const {
    return folder_ ? folder_->splits() : std::vector{Split::train, Split::test};
}

Dataset Collection::open_named(Split split, const OpenOptions& options) {
    check(split != Split::validation, name_, ": has no validation images of its own");
    if (name_ == "shapes") return shapes(split, {options.count, options.seed});
    const auto found = read_.find(split);
    return found != read_.end() ? found->second : read_.emplace(split, read_files(name_, root_, split)).first->second;
}

Dataset Collection::open(Split split, const OpenOptions& options) {
    const std::string augment = options.augment == "usual" ? usual_augmentation(name_) : options.augment;
    if (folder_) return open_folder(*folder_, split, options, augment);
    const Dataset dataset = open_named(split, options);
    return dataset.augmented(parse_transforms(augment, dataset.image_shape()));
}

Dataset open(const std::string& name, const std::string& root, Split split, const OpenOptions& options) {
    return Collection(name, root).open(split, options);
}

}  // namespace lathe::data
