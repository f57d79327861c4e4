#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "lathe/data/dataset.h"
#include "lathe/data/image_folder.h"

namespace lathe::data {

struct OpenOptions {
    int64_t size = 64;             // folders: images are brought to size x size
    int64_t channels = 3;          // folders: 3 colour, 1 grey
    int64_t count = 0;             // shapes: images; 0: the usual number
    uint64_t seed = 0;             // shapes: which ones; folders without splits: which images test
    bool anomalies = false;        // folders: test images may be of classes that none of the training images is of
    std::string augment = "none";  // steps of augmentation as in "crop:4,flip", "usual" or "none"
};

// A dataset by its name on the command line: "shapes", "cifar10", "mnist", "fashion-mnist" (these three below the
// folder `root`) or "folder:PATH" (data/image_folder.h). Error: another name, or what reading it raises.
Dataset open(const std::string& name, const std::string& root, Split split, const OpenOptions& options = {});

// The same for several splits, or one augmented in several ways: what they have in common is read once.
class Collection {
public:
    Collection(const std::string& name, const std::string& root);
    Dataset open(Split split, const OpenOptions& options = {});
    // Which splits it has: all have images to train and to test on, a folder may have others for validation. Its val/
    // alone stands for both, and then there is no test split here.
    std::vector<Split> splits() const;

private:
    Dataset open_named(Split split, const OpenOptions& options);

    std::string name_, root_;
    std::optional<ImageFolder> folder_;
    std::map<Split, Dataset> read_;  // of data sets in files
};

// The names that open() knows, for help texts.
std::vector<std::string> names();

// The augmentation that "usual" stands for: "crop:4,flip" for cifar10, …
std::string usual_augmentation(const std::string& name);

}  // namespace lathe::data
