#include "lathe/data/mnist.h"

namespace lathe::data {

namespace {

constexpr size_t kMaxBytes = size_t{1} << 28;  // five times MNIST

Idx read_idx(const std::string& path, int axes) {
    const std::string file = find_plain_or_gz(path);
    check(!file.empty(), path, ": no such file, plain or .gz (tools/download_data.sh fetches it)");
    Idx idx = parse_idx(read_unpacked(file, kMaxBytes), file);
    check(idx.shape.rank() == axes, file, ": expected ", axes, axes == 1 ? " axis, got " : " axes, got ",
          idx.shape.rank());
    return idx;
}

Dataset read_mnist(const std::string& folder, Split split, DatasetInfo info) {
    const std::string prefix = folder + (split == Split::train ? "/train" : "/t10k");
    Idx images = read_idx(prefix + "-images-idx3-ubyte", 3);
    Idx labels = read_idx(prefix + "-labels-idx1-ubyte", 1);
    check(images.shape[1] == 28 && images.shape[2] == 28, prefix, "-images-idx3-ubyte: expected images of 28x28, got ",
          images.shape[1], "x", images.shape[2]);
    check(images.shape[0] == labels.shape[0], prefix, "-labels-idx1-ubyte: expected ", images.shape[0],
          " labels, one per image, got ", labels.shape[0]);
    info.name += std::string(" ") + name_of(split);
    info.image_shape = {28, 28, 1};
    return Dataset(std::make_shared<InMemorySource>(std::move(info),
                                                  InMemoryImages{std::move(images.values), std::move(labels.values)}));
}

}  // namespace

Idx parse_idx(Bytes bytes, const std::string& name) {
    const auto word = [&](size_t at) {
        check(bytes.size() >= at + 4, name, ": expected an IDX header, got a file of ", bytes.size(), " bytes");
        uint32_t value = 0;
        for (size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
        return value;
    };
    const uint32_t magic = word(0), axes = magic & 0xff;
    check(magic >> 8 == 0x08 && axes >= 1 && axes <= 4, name,
          ": expected an IDX file of bytes (magic 0x00000801 to 0x00000804), got magic ", magic);
    Idx idx;
    uint64_t count = 1;
    for (uint32_t axis = 0; axis < axes; ++axis) {
        const uint32_t extent = word(4 + 4 * axis);
        check(extent == 0 || count <= kMaxBytes / extent, name, ": the header claims more than ", kMaxBytes, " values");
        idx.shape.push_back(extent);
        count *= extent;
    }
    const size_t header = 4 + 4 * size_t{axes};
    check(bytes.size() - header == count, name, ": expected ", count, " values for ", idx.shape, ", got ",
          bytes.size() - header);
    const auto* values = reinterpret_cast<const uint8_t*>(bytes.data());
    idx.values.assign(values + header, values + bytes.size());
    return idx;
}

Dataset mnist(const std::string& root, Split split) {
    return read_mnist(root + "/mnist", split,
                      {.name = "mnist",
                       .classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
                       .normalization = {{0.1307f}, {0.3081f}}});
}

Dataset fashion_mnist(const std::string& root, Split split) {
    return read_mnist(root + "/fashion-mnist", split,
                      {.name = "fashion-mnist",
                       .classes = {"t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker",
                                   "bag", "ankle-boot"},
                       .normalization = {{0.2860f}, {0.3530f}}});
}

}  // namespace lathe::data
