#pragma once
#include <cstdint>
#include <string>

#include "lathe/data/dataset.h"

namespace lathe::data {

struct FolderOptions {
    int64_t size = 64;        // images are brought to size x size
    int64_t channels = 3;     // 3 colour, 1 grey
    Transform fit = {};       // how, for example random_resized_crop(size); default: fit(size) of data/transforms.h
    double test_share = 0.2;  // of each class, where there are no folders train/ and val/ or test/
    uint64_t seed = 0;        // chooses which images that share is
};

// One folder of PNG, JPEG or BMP images per class, whose sorted names are the classes: PATH/ants/1.jpg. `path` is the
// folder above them or one .tar (or .tar.gz) of it. With PATH/train/ and PATH/val/ (else PATH/test/) these are the
// splits. Images are decoded when asked for. Error: no class folder, one without images, a class that only the test
// split has.
Dataset image_folder(const std::string& path, Split split, const FolderOptions& options = {});

}  // namespace lathe::data
