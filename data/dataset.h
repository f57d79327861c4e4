#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lathe/core/random.h"
#include "lathe/core/tensor.h"
#include "lathe/data/image.h"
#include "lathe/data/normalization.h"

namespace lathe::data {

enum class Split { train, validation, test };
const char* name_of(Split split);   // "train", "validation", "test"
Split split_of(const std::string& name);  // Error: none of these

// One step of augmentation: a new image from an image and random numbers, nothing else (data/transforms.h).
using Transform = std::function<Image(Image, Random&)>;

// N examples side by side, what a step of training takes: the first axis of every tensor counts them.
struct Batch {
    std::vector<Tensor> inputs{};   // of images: one, f32 [N, height, width, channels], normalised
    std::vector<Tensor> targets{};  // of images: one, i32 [N], the labels

    int64_t size() const { return inputs.at(0).dim(0); }
    const Tensor& input() const;   // the only one. Error: another number
    const Tensor& target() const;  // likewise
    Batch rows(int64_t begin, int64_t count) const;  // a view of some of the examples
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
    // What tells the image from all others, also when some are added; by default its number.
    virtual std::string key(int64_t i) const { return std::to_string(i); }

private:
    DatasetInfo info_;
};

// Examples: a handle on where they come from, which of them, how images are augmented and normalised. Cheap to copy;
// the functions that change something return a changed copy. What is said of images is an Error for other examples.
class Dataset {
public:
    explicit Dataset(std::shared_ptr<const Source> source);  // labelled images
    // Examples of any types and shapes, held in memory: features [count, F] -> values [count, 1], tokens i32 [count, T]
    // -> the tokens after them. Error: tensors that do not count as many examples, or none.
    Dataset(DatasetInfo info, Batch examples);

    int64_t size() const;
    const DatasetInfo& info() const { return *info_; }
    const Shape& image_shape() const { return shape_; }  // {height, width, channels} after augmentation
    Shape input_shape() const;                           // of one example of a batch
    const std::vector<std::string>& classes() const { return info().classes; }
    const Normalization& normalization() const { return normalization_; }  // one value for each channel, or none
    int64_t example_bytes() const;  // of one of a batch
    // Of which examples these are, by their keys and classes in order; of tensors, by number and shapes.
    uint64_t fingerprint() const;
    std::string describe() const;   // "cifar10 train: 30,000 images 32x32x3, 10 classes, from 3 of 5 batch files"

    int64_t label(int64_t i) const;
    Image image(int64_t i, Random& random) const;  // augmented, not normalised
    // The examples i of `indices`, each image augmented by the random numbers of (seed, i).
    Batch batch(const std::vector<int64_t>& indices, uint64_t seed = 0) const;

    // With further augmentation steps. Error: a step that cannot work on images of this size.
    Dataset augmented(const std::vector<Transform>& transforms) const;
    template <class... Rest>
    Dataset augmented(Transform first, Rest... rest) const {
        return augmented(std::vector<Transform>{std::move(first), Transform(std::move(rest))...});
    }
    Dataset with_normalization(const Normalization& normalization) const;  // Error: another number of channels
    // With labels counted along other classes, by name: the order of a trained network, or one that knows more of them.
    // Error: a class that is not among them, the first.
    Dataset with_classes(const std::vector<std::string>& classes) const;
    Dataset with_note(const std::string& note) const;  // further, for describe()
    Dataset flattened() const;  // its batches hold [N, height * width * channels], for networks of features

    Dataset take(int64_t begin, int64_t count) const;            // Error: not inside [0, size())
    Dataset sample(int64_t count = 256, uint64_t seed = 0) const;  // that many at random (all when there are fewer)
    Dataset without_sample(int64_t count, uint64_t seed = 0) const;  // the others, in their order
    Dataset without(const std::vector<int64_t>& indices) const;      // the others, in their order; `indices` are sorted
    // Two parts, in their order: those to train with and about `share` of the examples, held out. The side of an
    // example follows from its key and the seed, so it stays when others come or go. Error: a share outside (0, 1), or
    // one that leaves a part empty.
    std::pair<Dataset, Dataset> hold_out(double share, uint64_t seed = 0) const;

private:
    void check_images(const char* what) const;
    int64_t source_index(int64_t i) const;
    Batch images(const std::vector<int64_t>& indices, uint64_t seed) const;
    Dataset chosen(std::vector<int64_t> indices) const;

    std::shared_ptr<const DatasetInfo> info_;
    std::shared_ptr<const Source> source_;   // of images, or:
    std::shared_ptr<const Batch> examples_;
    std::shared_ptr<const std::vector<int64_t>> indices_;  // into these; none: all of them
    std::shared_ptr<const std::vector<int64_t>> labels_;   // that stand for those of the source; none: the same
    std::vector<Transform> transforms_;
    Normalization normalization_;
    Shape shape_;
    bool flat_ = false;
};

// 0 … count-1 in random order (Fisher and Yates).
std::vector<int64_t> permutation(int64_t count, Random random);

}  // namespace lathe::data
