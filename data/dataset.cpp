#include "lathe/data/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lathe/core/fnv1a.h"
#include "lathe/core/text.h"
#include "lathe/core/text_table.h"

namespace lathe::data {

const char* name_of(Split split) {
    return split == Split::train ? "train" : split == Split::test ? "test" : "validation";
}

Split split_of(const std::string& name) {
    for (Split split : {Split::train, Split::validation, Split::test})
        if (name == name_of(split)) return split;
    fail("expected the split train, validation or test, got '", name, "'");
}

std::vector<int64_t> permutation(int64_t count, Random random) {
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
    return order;
}

const Tensor& Batch::input() const {
    check(inputs.size() == 1, "batch: expected one input, got ", inputs.size());
    return inputs.front();
}

const Tensor& Batch::target() const {
    check(targets.size() == 1, "batch: expected one target, got ", targets.size());
    return targets.front();
}

Batch Batch::rows(int64_t begin, int64_t count) const {
    Batch part;
    for (const Tensor& tensor : inputs) part.inputs.push_back(tensor.rows(begin, count));
    for (const Tensor& tensor : targets) part.targets.push_back(tensor.rows(begin, count));
    return part;
}

Dataset::Dataset(std::shared_ptr<const Source> source)
    : info_(source, &source->info()),
      source_(std::move(source)),
      normalization_(info_->normalization.for_channels(info_->image_shape[2])),
      shape_(info_->image_shape) {}

Dataset::Dataset(DatasetInfo info, Batch examples)
    : info_(std::make_shared<const DatasetInfo>(std::move(info))),
      examples_(std::make_shared<const Batch>(std::move(examples))) {
    const Batch& all = *examples_;
    check(!all.inputs.empty(), info_->name, ": expected an input, got none");
    for (const auto* tensors : {&all.inputs, &all.targets})
        for (const Tensor& tensor : *tensors)
            check(tensor && tensor.rank() > 0 && tensor.dim(0) == all.size(), info_->name, ": expected ", all.size(),
                  " examples along axis 0 of every tensor, got ", tensor.shape());
}

int64_t Dataset::size() const {
    if (indices_) return static_cast<int64_t>(indices_->size());
    return source_ ? source_->size() : examples_->size();
}

Shape Dataset::input_shape() const {
    if (source_) return flat_ ? Shape{shape_.numel()} : shape_;
    Shape shape;
    const Tensor& input = examples_->input();
    for (int axis = 1; axis < input.rank(); ++axis) shape.push_back(input.dim(axis));
    return shape;
}

int64_t Dataset::example_bytes() const {
    if (source_) return shape_.numel() * static_cast<int64_t>(sizeof(float));
    size_t bytes = 0;
    for (const auto* tensors : {&examples_->inputs, &examples_->targets})
        for (const Tensor& tensor : *tensors) bytes += tensor.bytes();
    return static_cast<int64_t>(bytes) / std::max<int64_t>(1, examples_->size());
}

uint64_t Dataset::fingerprint() const {
    uint64_t hash = fnv1a(std::to_string(size()));
    if (!source_) {
        for (const auto* tensors : {&examples_->inputs, &examples_->targets})
            for (const Tensor& tensor : *tensors) hash = fnv1a(tensor.shape().str() + ";", hash);
        return hash;
    }
    for (int64_t i = 0; i < size(); ++i) {
        const auto name = static_cast<size_t>(label(i));
        hash = fnv1a(source_->key(source_index(i)) + "\n" +
                         (name < classes().size() ? classes()[name] : std::to_string(name)) + "\n",
                     hash);
    }
    return hash;
}

std::string Dataset::describe() const {
    std::string text = printable(info().name) + ": " + with_commas(size());
    const auto plural = [](size_t count) { return count == 1 ? "" : "s"; };
    if (source_)
        text += concatenated(" image", plural(static_cast<size_t>(size())), " ", shape_[0], "x", shape_[1], "x",
                               shape_[2], ", ", classes().size(), " class", classes().size() == 1 ? "" : "es");
    else
        text += concatenated(" example", plural(static_cast<size_t>(size())), ", ", examples_->inputs.size(),
                               " input", plural(examples_->inputs.size()), ", ", examples_->targets.size(), " target",
                               plural(examples_->targets.size()));
    return text + (info().note.empty() ? "" : ", " + info().note);
}

void Dataset::check_images(const char* what) const {
    check(source_ != nullptr, info().name, ": ", what, " is for images, these are tensors");
}

int64_t Dataset::source_index(int64_t i) const {
    check(i >= 0 && i < size(), info().name, ": expected an index below ", size(), ", got ", i);
    return indices_ ? (*indices_)[static_cast<size_t>(i)] : i;
}

int64_t Dataset::label(int64_t i) const {
    check_images("label");
    const int64_t label = source_->label(source_index(i));
    return labels_ ? labels_->at(static_cast<size_t>(label)) : label;
}

Image Dataset::image(int64_t i, Random& random) const {
    check_images("image");
    Image image = source_->image(source_index(i), random);
    for (const Transform& transform : transforms_) image = transform(std::move(image), random);
    return image;
}

Batch Dataset::batch(const std::vector<int64_t>& indices, uint64_t seed) const {
    if (source_) return images(indices, seed);
    std::vector<int64_t> rows;
    for (int64_t index : indices) rows.push_back(source_index(index));
    Batch batch;
    for (const Tensor& tensor : examples_->inputs) batch.inputs.push_back(tensor.select(0, rows));
    for (const Tensor& tensor : examples_->targets) batch.targets.push_back(tensor.select(0, rows));
    return batch;
}

Batch Dataset::images(const std::vector<int64_t>& indices, uint64_t seed) const {
    const auto count = static_cast<int64_t>(indices.size());
    Batch batch{
        .inputs = {Tensor(flat_ ? Shape{count, shape_.numel()} : Shape{count, shape_[0], shape_[1], shape_[2]})},
        .targets = {Tensor({count}, DType::i32)}};
    const std::vector<float> table = normalization_.table(shape_[2]);
    float* x = batch.inputs[0].mutable_data<float>();
    int32_t* labels = batch.targets[0].mutable_data<int32_t>();
    for (int64_t index : indices) {
        Random random(seed, static_cast<uint64_t>(index));
        const Image image = this->image(index, random);
        check(image.shape() == shape_, info().name, ": expected images of ", shape_, ", got ", image.shape());
        normalize(image, table, x);
        x += shape_.numel();
        *labels++ = static_cast<int32_t>(label(index));
    }
    return batch;
}

Dataset Dataset::augmented(const std::vector<Transform>& transforms) const {
    if (transforms.empty()) return *this;
    check_images("augmentation");
    Dataset result = *this;
    Random random(0);
    Image probe = blank_image(shape_[0], shape_[1], shape_[2]);
    for (const Transform& transform : transforms) {
        probe = transform(std::move(probe), random);
        result.transforms_.push_back(transform);
    }
    result.shape_ = probe.shape();
    return result;
}

Dataset Dataset::with_normalization(const Normalization& normalization) const {
    check_images("normalisation");
    Dataset result = *this;
    result.normalization_ = normalization.for_channels(shape_[2]);
    return result;
}

Dataset Dataset::with_classes(const std::vector<std::string>& classes) const {
    check_images("with_classes");
    std::vector<int64_t> moved;  // from a label here
    for (const std::string& name : this->classes()) {
        const auto found = std::find(classes.begin(), classes.end(), name);
        check(found != classes.end(), info().name, ": class '", name,
              "' is none of those expected: ", shortened(joined(classes), 100));
        moved.push_back(found - classes.begin());
    }
    std::vector<int64_t> labels = moved;
    if (labels_) {
        labels = *labels_;
        for (int64_t& label : labels) label = moved[static_cast<size_t>(label)];
    }
    Dataset result = *this;
    DatasetInfo info = this->info();
    info.classes = classes;
    result.info_ = std::make_shared<const DatasetInfo>(std::move(info));
    result.labels_ = std::make_shared<const std::vector<int64_t>>(std::move(labels));
    return result;
}

Dataset Dataset::with_note(const std::string& note) const {
    Dataset result = *this;
    DatasetInfo info = this->info();
    info.note += (info.note.empty() ? "" : ", ") + note;
    result.info_ = std::make_shared<const DatasetInfo>(std::move(info));
    return result;
}

Dataset Dataset::flattened() const {
    check_images("flattening");
    Dataset result = *this;
    result.flat_ = true;
    return result;
}

Dataset Dataset::take(int64_t begin, int64_t count) const {
    check(begin >= 0 && count >= 0 && begin <= size() && count <= size() - begin, info().name,
          ": expected a range inside [0, ", size(), "), got ", count, " from ", begin);
    std::vector<int64_t> indices(static_cast<size_t>(count));
    std::iota(indices.begin(), indices.end(), begin);
    return chosen(std::move(indices));
}

// The images of these numbers.
Dataset Dataset::chosen(std::vector<int64_t> indices) const {
    for (int64_t& index : indices) index = source_index(index);
    Dataset result = *this;
    result.indices_ = std::make_shared<const std::vector<int64_t>>(std::move(indices));
    return result;
}

Dataset Dataset::sample(int64_t count, uint64_t seed) const {
    check(count >= 0, info().name, ": expected a sample of at least 0 images, got ", count);
    std::vector<int64_t> indices = permutation(size(), Random(seed));
    indices.resize(std::min(indices.size(), static_cast<size_t>(count)));
    return chosen(std::move(indices));
}

Dataset Dataset::without_sample(int64_t count, uint64_t seed) const {
    check(count >= 0, info().name, ": expected a sample of at least 0 images, got ", count);
    std::vector<int64_t> indices = permutation(size(), Random(seed));
    indices.erase(indices.begin(), indices.begin() + std::min<int64_t>(size(), count));
    std::sort(indices.begin(), indices.end());
    return chosen(std::move(indices));
}

Dataset Dataset::without(const std::vector<int64_t>& indices) const {
    if (indices.empty()) return *this;
    std::vector<int64_t> left;
    for (int64_t i = 0; i < size(); ++i)
        if (!std::binary_search(indices.begin(), indices.end(), i)) left.push_back(i);
    return chosen(std::move(left));
}

std::pair<Dataset, Dataset> Dataset::hold_out(double share, uint64_t seed) const {
    check(share > 0 && share < 1, info().name, ": expected a share between 0 and 1 to hold out, got ", share);
    std::vector<int64_t> kept, held_out;
    for (int64_t i = 0; i < size(); ++i) {
        const int64_t index = source_index(i);
        const std::string key = source_ ? source_->key(index) : std::to_string(index);
        const uint64_t hash = mix(seed, fnv1a(key));
        (std::ldexp(static_cast<double>(hash >> 11), -53) < share ? held_out : kept).push_back(i);
    }
    check(!kept.empty() && !held_out.empty(), info().name, ": of ", size(), " examples, a share of ", share,
          " held out leaves ", kept.size(), " and ", held_out.size(), "; expected some on both sides");
    return {chosen(std::move(kept)), chosen(std::move(held_out))};
}

}  // namespace lathe::data
