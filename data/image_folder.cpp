#include "lathe/data/image_folder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "lathe/core/files/gzip.h"
#include "lathe/data/tar.h"
#include "lathe/data/transforms.h"

namespace lathe::data {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxArchive = size_t{8} << 30;
constexpr int kMaxDepth = 8;  // a link to a folder above itself ends here

// A file in the folder or archive, by its path there; that of a folder ends in '/'.
struct Entry {
    std::string path;
    size_t offset = 0, size = 0;  // in the archive
    int64_t label = 0;
};
using Classes = std::map<std::string, std::vector<Entry>>;

std::vector<Entry> list_folder(const std::string& root) {
    std::vector<Entry> entries;
    try {
        constexpr auto options = fs::directory_options::follow_directory_symlink;
        for (fs::recursive_directory_iterator at(root, options), end; at != end; ++at) {
            if (at.depth() >= kMaxDepth) at.disable_recursion_pending();
            const std::string path = at->path().lexically_relative(root).generic_string();
            entries.push_back({at->is_directory() ? path + '/' : path});
        }
    } catch (const fs::filesystem_error& error) {
        fail(root, ": cannot be read: ", error.code().message());
    }
    return entries;
}

std::vector<Entry> list_archive(Bytes archive, const std::string& name) {
    std::vector<Entry> entries;
    for (TarEntry& entry : parse_tar(archive, name)) entries.push_back({std::move(entry.path), entry.offset, entry.size});
    return entries;
}

bool hidden(const Entry& entry) {
    return entry.path.starts_with('.') || entry.path.starts_with("__MACOSX/") || entry.path.find("/.") != std::string::npos;
}

bool any_below(const std::vector<Entry>& entries, const std::string& base) {
    return std::any_of(entries.begin(), entries.end(), [&](const Entry& e) { return e.path.starts_with(base); });
}

// The folder that holds all others: archives often have one more around them. It ends in '/', or is "".
std::string common_base(const std::vector<Entry>& entries) {
    std::string base;
    for (;;) {
        std::string next;
        for (const Entry& entry : entries) {
            if (entry.path.size() <= base.size()) continue;  // the base itself
            const size_t slash = entry.path.find('/', base.size());
            const bool folder = entry.path.ends_with('/');
            if (slash == std::string::npos || (!folder && entry.path.find('/', slash + 1) == std::string::npos)) return base;
            if (next.empty()) next = entry.path.substr(0, slash + 1);
            if (!entry.path.starts_with(next)) return base;
        }
        if (next.empty()) return base;
        base = next;
    }
}

// The images of each class folder in `base`, in the order of their names.
Classes classes_below(const std::vector<Entry>& entries, const std::string& base, const std::string& name) {
    Classes classes;
    for (const Entry& entry : entries) {
        const size_t slash = entry.path.find('/', base.size());
        if (!entry.path.starts_with(base) || entry.path.size() == base.size() || slash == std::string::npos) continue;
        auto& images = classes[entry.path.substr(base.size(), slash - base.size())];
        if (has_image_suffix(entry.path)) images.push_back(entry);
    }
    check(!classes.empty(), name, ": expected a folder of images for each class", base.empty() ? "" : " in " + base,
          ", found none");
    for (auto& [label, images] : classes) {
        check(!images.empty(), name, ": class folder ", base, label, " holds no PNG, JPEG or BMP image");
        std::sort(images.begin(), images.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
    }
    return classes;
}

// A random share of the images for testing (one at least, never all), the others for training.
std::vector<Entry> share_of(const std::vector<Entry>& images, Split split, double test_share, Random random) {
    const auto count = static_cast<int64_t>(images.size());
    const auto wanted = std::max<int64_t>(1, std::llround(test_share * static_cast<double>(count)));
    const int64_t tests = std::min(wanted, count - 1);
    const std::vector<int64_t> order = permutation(count, random);
    std::vector<Entry> share;
    for (int64_t i = 0; i < count; ++i)
        if ((order[i] < tests) == (split == Split::test)) share.push_back(images[i]);
    return share;
}

class FolderSource : public Source {
public:
    FolderSource(DatasetInfo info, std::string root, std::vector<std::byte> archive, std::vector<Entry> entries, Transform fit)
        : Source(std::move(info)),
          root_(std::move(root)),
          archive_(std::move(archive)),
          entries_(std::move(entries)),
          fit_(std::move(fit)) {}

    int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
    int64_t label(int64_t i) const override { return entries_[i].label; }
    std::string key(int64_t i) const override { return entries_[i].path; }
    Image image(int64_t i, Random& random) const override {
        const Entry& entry = entries_[i];
        const int64_t channels = info().image_shape[2];
        if (archive_.empty()) return fit_(read_image(root_ + "/" + entry.path, channels), random);
        const Bytes bytes = Bytes(archive_).subspan(entry.offset, entry.size);
        return fit_(parse_image(bytes, root_ + ": " + entry.path, channels), random);
    }

private:
    const std::string root_;
    const std::vector<std::byte> archive_;  // empty: the files lie in the folder root_
    const std::vector<Entry> entries_;
    const Transform fit_;
};

}  // namespace

Dataset image_folder(const std::string& path, Split split, const FolderOptions& options) {
    check(options.channels == 1 || options.channels == 3, "image_folder: expected 1 or 3 channels, got ", options.channels);
    check(options.test_share > 0 && options.test_share < 1, "image_folder: expected a test share between 0 and 1, got ",
          options.test_share);

    std::vector<std::byte> archive;
    std::error_code ignored;
    const bool folder = fs::is_directory(path, ignored);
    if (!folder) archive = read_unpacked(path, kMaxArchive);
    std::vector<Entry> entries = folder ? list_folder(path) : list_archive(archive, path);
    std::erase_if(entries, hidden);

    const std::string base = common_base(entries);
    const std::string train = base + "train/", test = base + (any_below(entries, base + "val/") ? "val/" : "test/");
    const bool has_splits = any_below(entries, train) && any_below(entries, test);
    const Classes classes = classes_below(entries, has_splits ? train : base, path);
    const Classes own = has_splits && split == Split::test ? classes_below(entries, test, path) : classes;
    for (const auto& [name, images] : own)
        check(classes.count(name) > 0, path, ": class folder ", test, name, " has no counterpart in ", train);

    DatasetInfo info;
    std::vector<Entry> chosen;
    for (const auto& [name, all] : classes) {
        const auto label = static_cast<int64_t>(info.classes.size());
        info.classes.push_back(name);
        if (own.count(name) == 0) continue;
        const Random random(options.seed, static_cast<uint64_t>(label));
        for (Entry entry : has_splits ? own.at(name) : share_of(all, split, options.test_share, random)) {
            entry.label = label;
            chosen.push_back(std::move(entry));
        }
    }
    info.name = "folder:" + path + " " + name_of(split);
    info.image_shape = {options.size, options.size, options.channels};
    info.normalization = options.channels == 3  // of ImageNet, which pretrained weights expect
                             ? Normalization{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}
                             : Normalization{{0.449f}, {0.226f}};
    if (!has_splits) info.note = detail::concat(100 * options.test_share, "% of the images kept for testing");
    return Dataset(std::make_shared<FolderSource>(std::move(info), path, std::move(archive), std::move(chosen),
                                                  options.fit ? options.fit : fit(options.size)));
}

}  // namespace lathe::data
