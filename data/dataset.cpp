#include "lathe/data/dataset.h"

#include <algorithm>
#include <numeric>

namespace lathe::data {

namespace {

std::string with_commas(int64_t count) {
    const std::string digits = std::to_string(count);
    std::string text;
    for (size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
        text += digits[i];
    }
    return text;
}

}  // namespace

const char* name_of(Split split) { return split == Split::train ? "train" : "test"; }

std::vector<int64_t> permutation(int64_t count, Random random) {
    std::vector<int64_t> order(static_cast<size_t>(count));
    std::iota(order.begin(), order.end(), int64_t{0});
    for (int64_t i = count - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
    return order;
}

Dataset::Dataset(std::shared_ptr<const Source> source)
    : source_(std::move(source)),
      normalization_(source_->info().normalization.for_channels(source_->info().image_shape[2])),
      shape_(source_->info().image_shape) {}

int64_t Dataset::size() const { return indices_ ? static_cast<int64_t>(indices_->size()) : source_->size(); }

std::string Dataset::describe() const {
    const DatasetInfo& info = source_->info();
    return detail::concat(printable(info.name), ": ", with_commas(size()), size() == 1 ? " image " : " images ", shape_[0], "x",
                          shape_[1], "x", shape_[2], ", ", classes().size(), classes().size() == 1 ? " class" : " classes",
                          info.note.empty() ? "" : ", ", info.note);
}

int64_t Dataset::source_index(int64_t i) const {
    check(i >= 0 && i < size(), source_->info().name, ": expected an image index below ", size(), ", got ", i);
    return indices_ ? (*indices_)[static_cast<size_t>(i)] : i;
}

int64_t Dataset::label(int64_t i) const { return source_->label(source_index(i)); }

Image Dataset::image(int64_t i, Random& random) const {
    Image image = source_->image(source_index(i), random);
    for (const Transform& transform : transforms_) image = transform(std::move(image), random);
    return image;
}

Batch Dataset::batch(const std::vector<int64_t>& indices, uint64_t seed) const {
    const auto count = static_cast<int64_t>(indices.size());
    Batch batch{Tensor({count, shape_[0], shape_[1], shape_[2]}), Tensor({count}, DType::i32)};
    const std::vector<float> table = normalization_.table(shape_[2]);
    float* x = batch.x.mutable_data<float>();
    int32_t* labels = batch.labels.mutable_data<int32_t>();
    for (int64_t index : indices) {
        Random random(seed, static_cast<uint64_t>(index));
        const Image image = this->image(index, random);
        check(image.shape() == shape_, source_->info().name, ": expected images of ", shape_, ", got ", image.shape());
        normalize(image, table, x);
        x += shape_.numel();
        *labels++ = static_cast<int32_t>(label(index));
    }
    return batch;
}

Dataset Dataset::augmented(const std::vector<Transform>& transforms) const {
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
    Dataset result = *this;
    result.normalization_ = normalization.for_channels(shape_[2]);
    return result;
}

Dataset Dataset::take(int64_t begin, int64_t count) const {
    check(begin >= 0 && count >= 0 && begin <= size() && count <= size() - begin, source_->info().name,
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
    check(count >= 0, source_->info().name, ": expected a sample of at least 0 images, got ", count);
    std::vector<int64_t> indices = permutation(size(), Random(seed));
    indices.resize(std::min(indices.size(), static_cast<size_t>(count)));
    return chosen(std::move(indices));
}

Dataset Dataset::without_sample(int64_t count, uint64_t seed) const {
    check(count >= 0, source_->info().name, ": expected a sample of at least 0 images, got ", count);
    std::vector<int64_t> indices = permutation(size(), Random(seed));
    indices.erase(indices.begin(), indices.begin() + std::min<int64_t>(size(), count));
    std::sort(indices.begin(), indices.end());
    return chosen(std::move(indices));
}

}  // namespace lathe::data
