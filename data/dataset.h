#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lathe/core/random.h"
#include "lathe/core/tensor.h"
#include "lathe/data/image.h"
#include "lathe/data/normalization.h"

namespace lathe::data {

enum class Split { train, test };
const char* name_of(Split split);  // "train", "test"

// One step of augmentation: a new image from an image and random numbers, nothing else (data/transforms.h).
using Transform = std::function<Image(Image, Random&)>;

struct Batch {
    Tensor x;       // f32 [N, height, width, channels], normalised
    Tensor labels;  // i32 [N]
};

struct DatasetInfo {
    std::string name = {};                  // "cifar10 train"
    Shape image_shape = {};                 // {height, width, channels}, the same for all images
    std::vector<std::string> classes = {};  // the name of each label
    Normalization normalization = {};       // the usual one
    std::string note = {};                  // "from 3 of 5 batch files", for describe()
};

// Where images come from; derive from it to bring a new kind. All of it may be called from several threads at once.
class Source {
public:
    explicit Source(DatasetInfo info) : info_(std::move(info)) {}
    virtual ~Source() = default;

    const DatasetInfo& info() const { return info_; }
    virtual int64_t size() const = 0;
    virtual int64_t label(int64_t i) const = 0;
    virtual Image image(int64_t i, Random& random) const = 0;  // of info().image_shape

private:
    DatasetInfo info_;
};

// Labelled images: a handle on a source, which images of it, how they are augmented and normalised. Cheap to copy; the
// functions that change something return a changed copy.
class Dataset {
public:
    explicit Dataset(std::shared_ptr<const Source> source);

    int64_t size() const;
    const Shape& image_shape() const { return shape_; }  // {height, width, channels} after augmentation
    const std::vector<std::string>& classes() const { return source_->info().classes; }
    const Normalization& normalization() const { return normalization_; }  // one value for each channel, or none
    std::string describe() const;  // "cifar10 train: 30,000 images 32x32x3, 10 classes, from 3 of 5 batch files"

    int64_t label(int64_t i) const;
    Image image(int64_t i, Random& random) const;  // augmented, not normalised
    // The images i of `indices`, each augmented by the random numbers of (seed, i).
    Batch batch(const std::vector<int64_t>& indices, uint64_t seed = 0) const;

    // With further augmentation steps. Error: a step that cannot work on images of this size.
    Dataset augmented(const std::vector<Transform>& transforms) const;
    template <class... Rest>
    Dataset augmented(Transform first, Rest... rest) const {
        return augmented(std::vector<Transform>{std::move(first), Transform(std::move(rest))...});
    }
    Dataset with_normalization(const Normalization& normalization) const;  // Error: another number of channels

    Dataset take(int64_t begin, int64_t count) const;            // Error: not inside [0, size())
    Dataset sample(int64_t count = 256, uint64_t seed = 0) const;  // that many at random (all when there are fewer)
    Dataset without_sample(int64_t count, uint64_t seed = 0) const;  // the others, in their order

private:
    int64_t source_index(int64_t i) const;
    Dataset chosen(std::vector<int64_t> indices) const;

    std::shared_ptr<const Source> source_;
    std::shared_ptr<const std::vector<int64_t>> indices_;  // into the source; none: all of it
    std::vector<Transform> transforms_;
    Normalization normalization_;
    Shape shape_;
};

// 0 … count-1 in random order (Fisher and Yates).
std::vector<int64_t> permutation(int64_t count, Random random);

}  // namespace lathe::data
