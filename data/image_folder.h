#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lathe/data/dataset.h"

namespace lathe::data {

struct FolderListing;

struct FolderOptions {
    int64_t size = 64;        // images are brought to size x size
    int64_t channels = 3;     // 3 colour, 1 grey
    Transform fit = {};       // how, for example random_resized_crop(size); default: fit(size) of data/transforms.h
    double test_share = 0.2;  // about so much of each class, where there are no folders train/ and val/ or test/
    // Images to test or validate on may be of further classes, which come behind those of train/
    bool anomalies = false;
    uint64_t seed = 0;        // with an image's name it decides on which side it is, whatever other images there are
};

// One folder of PNG, JPEG or BMP images per class, whose sorted names are the classes: PATH/ants/1.jpg. `path` is the
// folder above them or one .tar (or .tar.gz) of it, with or without one more folder around. With folders of class
// folders named train (training) and val (valid, validation, dev) or test (testing), in any case, these are the splits;
// where one of val/ and test/ is missing the other stands for it. Hidden files and those of systems (@eaDir,
// lost+found, …) count as absent; what else is no image is counted in the description. Images are decoded when asked
// for. Error: no class folder, one without images, a class that train/ has not, train/ without the others or the other
// way round, two folders for one split, none left to train or test on, the split validation of a folder without such
// folders.
Dataset image_folder(const std::string& path, Split split, const FolderOptions& options = {});

// The same for several splits, which share one look through the folder, or one copy of the archive.
class ImageFolder {
public:
    explicit ImageFolder(const std::string& path);
    // Those that have images of their own there: {train, test} where there are no folders for them.
    std::vector<Split> splits() const;
    Dataset open(Split split, const FolderOptions& options = {}) const;

private:
    std::shared_ptr<const FolderListing> listing_;
};

}  // namespace lathe::data
