#include "lathe/data/cifar10.h"

#include "lathe/core/parallel.h"

namespace lathe::data {

namespace {

constexpr size_t kPlane = 32 * 32;
constexpr size_t kRecord = 1 + 3 * kPlane;
constexpr size_t kRecordsPerFile = 10000;

InMemoryImages read_batch(const std::string& file) {
    const auto bytes = read_unpacked(file, kRecordsPerFile * kRecord);
    check(bytes.size() == kRecordsPerFile * kRecord, file, ": expected ", kRecordsPerFile * kRecord, " bytes (",
          kRecordsPerFile, " records of ", kRecord, "), got ", bytes.size());
    return parse_cifar10(bytes, file);
}

}  // namespace

InMemoryImages parse_cifar10(Bytes bytes, const std::string& name) {
    check(bytes.size() % kRecord == 0, name, ": expected records of ", kRecord, " bytes, got ", bytes.size(), " bytes");
    const size_t count = bytes.size() / kRecord;
    InMemoryImages images;
    images.pixels.resize(count * 3 * kPlane);
    images.labels.resize(count);
    for (size_t i = 0; i < count; ++i) {
        const auto* record = reinterpret_cast<const uint8_t*>(bytes.data()) + i * kRecord;
        check(record[0] < 10, name, ": expected labels from 0 to 9, got ", int{record[0]}, " in record ", i);
        images.labels[i] = record[0];
        uint8_t* out = images.pixels.data() + i * 3 * kPlane;
        for (size_t pixel = 0; pixel < kPlane; ++pixel)
            for (size_t c = 0; c < 3; ++c) *out++ = record[1 + c * kPlane + pixel];
    }
    return images;
}

Dataset cifar10(const std::string& root, Split split) {
    const std::string folder = root + "/cifar-10-batches-bin";
    std::vector<std::string> wanted;
    for (int n = 1; n <= 5; ++n) wanted.push_back("data_batch_" + std::to_string(n) + ".bin");
    if (split == Split::test) wanted = {"test_batch.bin"};

    std::vector<std::string> files;
    for (const std::string& name : wanted)
        if (const std::string file = find_plain_or_gz(folder + "/" + name); !file.empty()) files.push_back(file);
    check(!files.empty(), folder, ": expected ", wanted.front(), wanted.size() > 1 ? " to " + wanted.back() : "",
          " (plain or .gz), found none (tools/download_data.sh fetches CIFAR-10)");

    std::vector<InMemoryImages> parts(files.size());
    parallel_tasks(static_cast<int64_t>(files.size()), [&](int64_t i) { parts[i] = read_batch(files[i]); });
    InMemoryImages images = std::move(parts[0]);
    for (size_t i = 1; i < parts.size(); ++i) {
        images.pixels.insert(images.pixels.end(), parts[i].pixels.begin(), parts[i].pixels.end());
        images.labels.insert(images.labels.end(), parts[i].labels.begin(), parts[i].labels.end());
        parts[i] = {};
    }

    DatasetInfo info;
    info.name = std::string("cifar10 ") + name_of(split);
    info.image_shape = {32, 32, 3};
    info.classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
    info.normalization = {{0.4914f, 0.4822f, 0.4465f}, {0.2470f, 0.2435f, 0.2616f}};
    if (split == Split::train) info.note = concatenated("from ", files.size(), " of 5 batch files");
    return Dataset(std::make_shared<InMemorySource>(std::move(info), std::move(images)));
}

}  // namespace lathe::data
