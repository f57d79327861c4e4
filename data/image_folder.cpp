#include "lathe/data/image_folder.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>

#include "lathe/core/files/gzip.h"
#include "lathe/core/fnv1a.h"
#include "lathe/data/tar.h"
#include "lathe/data/transforms.h"

namespace lathe::data {

// A folder or archive, and what lies in it.
struct FolderListing {
    // A file in the folder or archive, by its path there; that of a folder ends in '/'.
    struct Entry {
        std::string path;
        size_t offset = 0, size = 0;  // in the archive
        int64_t label = 0;
    };
    // The folders train/, val/ and test/ in `base`, each ending in '/'; "" where there is none.
    struct Splits {
        std::string train, validation, test;

        const std::string& of(Split split) const {
            if (split == Split::train) return train;
            const std::string &own = split == Split::test ? test : validation,
                              &other = split == Split::test ? validation : test;
            return own.empty() ? other : own;
        }
    };

    std::string path;
    std::vector<std::byte> archive{};  // empty: a folder
    std::vector<Entry> entries{};
    std::string base{};
    Splits splits{};
};

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxArchive = size_t{8} << 30;
constexpr int kMaxDepth = 8;

using Entry = FolderListing::Entry;
using Entries = std::vector<Entry>;
using Splits = FolderListing::Splits;
using Classes = std::map<std::string, Entries>;

std::string lower_case(std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

// What systems and programs leave in every folder: it says nothing about the images.
bool is_system_name(const std::string& name) {
    static const std::set<std::string> known{"__macosx",   "@eadir",       "__pycache__",
                                             "lost+found", "$recycle.bin", "system volume information",
                                             "thumbs.db",  "desktop.ini"};
    return name.starts_with('.') || known.count(lower_case(name)) > 0;
}

bool has_system_part(const std::string& path) {
    for (size_t at = 0; at < path.size();) {
        const size_t end = std::min(path.find('/', at), path.size());
        if (is_system_name(path.substr(at, end - at))) return true;
        at = end + 1;
    }
    return false;
}

// A link to a folder that the link lies in would be walked again and again.
bool leads_up(const fs::directory_entry& entry) {
    if (!entry.is_symlink()) return false;
    const std::string at = fs::canonical(entry.path().parent_path()).string() + '/',
                      to = fs::canonical(entry.path()).string();
    return at.starts_with(to.ends_with('/') ? to : to + '/');
}

Entries list_folder(const std::string& root) {
    Entries entries;
    try {
        constexpr auto options = fs::directory_options::follow_directory_symlink;
        for (fs::recursive_directory_iterator at(root, options), end; at != end; ++at) {
            const std::string path = at->path().lexically_relative(root).generic_string();
            const bool folder = at->is_directory();
            const bool skipped = is_system_name(at->path().filename().string()) || (folder && leads_up(*at));
            if (folder && (skipped || at.depth() >= kMaxDepth)) at.disable_recursion_pending();
            if (!skipped && (folder || at->exists())) entries.push_back({folder ? path + '/' : path});
        }
    } catch (const fs::filesystem_error& error) {
        fail(error.path1().empty() ? root : error.path1().string(), ": cannot be read: ", error.code().message());
    }
    return entries;
}

Entries list_archive(Bytes archive, const std::string& name) {
    Entries entries;
    for (TarEntry& entry : parse_tar(archive, name))
        if (!has_system_part(entry.path)) entries.push_back({std::move(entry.path), entry.offset, entry.size});
    return entries;
}

// Photographs hardly pack; what unpacks to so much more than a file's size was made to fill the memory.
size_t most_unpacked(const std::string& path) {
    constexpr size_t kAlways = size_t{256} << 20, kRatio = 200;
    std::error_code error;
    const auto packed = fs::file_size(path, error);
    return error ? kAlways : std::clamp<size_t>(kRatio * packed, kAlways, kMaxArchive);
}

// What lies directly in a folder.
struct Level {
    std::set<std::string> folders;
    int64_t images = 0;
};

Level level(const Entries& entries, const std::string& base) {
    Level found;
    for (const Entry& entry : entries) {
        if (!entry.path.starts_with(base) || entry.path.size() == base.size()) continue;
        const size_t slash = entry.path.find('/', base.size());
        if (slash != std::string::npos) found.folders.insert(entry.path.substr(base.size(), slash - base.size()));
        else found.images += has_image_suffix(entry.path);
    }
    return found;
}

// Whether it holds folders of images rather than images.
bool holds_classes(const Entries& entries, const std::string& base) {
    const Level inside = level(entries, base);
    return inside.images == 0 && !inside.folders.empty();
}

// The folder that holds the splits or classes: archives often have one more around them. It ends in '/', or is "".
std::string common_base(const Entries& entries) {
    for (std::string base;;) {
        const Level here = level(entries, base);
        if (here.images > 0 || here.folders.size() != 1) return base;
        const std::string next = base + *here.folders.begin() + "/";
        if (!holds_classes(entries, next)) return base;
        base = next;
    }
}

Splits find_splits(const Entries& entries, const std::string& base, const std::string& name) {
    const auto find = [&](const std::set<std::string>& meanings) {
        std::string found;
        for (const std::string& folder : level(entries, base).folders) {
            if (!meanings.count(lower_case(folder)) || !holds_classes(entries, base + folder + "/")) continue;
            check(found.empty(), name, ": expected one folder of a kind, got ", found, " and ", base, folder, "/");
            found = base + folder + "/";
        }
        return found;
    };
    const Splits found{find({"train", "training"}), find({"val", "valid", "validation", "dev"}),
                       find({"test", "testing"})};
    const std::string& other = found.of(Split::validation);
    check(!found.train.empty() || other.empty(), name, ": expected train/ beside ", other, ", found none");
    check(found.train.empty() || !other.empty(), name, ": expected val/ or test/ beside ", found.train,
          ", got other folders");
    return found;
}

FolderListing list(const std::string& path) {
    check(!path.empty(), "image_folder: expected the path of a folder or archive, got none");
    FolderListing found{path};
    std::error_code ignored;
    const bool folder = fs::is_directory(path, ignored);
    if (!folder) found.archive = read_unpacked(path, most_unpacked(path));
    found.entries = folder ? list_folder(path) : list_archive(found.archive, path);
    found.base = common_base(found.entries);
    found.splits = find_splits(found.entries, found.base, path);
    return found;
}

// The images of each class folder in `base`, in the order of their names. Counts what lies there and is none, by its
// suffix.
Classes classes_below(const Entries& entries, const std::string& base, const std::string& name,
                      std::map<std::string, int64_t>& passed_over) {
    Classes classes;
    for (const Entry& entry : entries) {
        const size_t slash = entry.path.find('/', base.size());
        if (!entry.path.starts_with(base) || entry.path.size() == base.size() || slash == std::string::npos) continue;
        Entries& images = classes[entry.path.substr(base.size(), slash - base.size())];
        if (has_image_suffix(entry.path)) images.push_back(entry);
        else if (!entry.path.ends_with('/')) ++passed_over[lower_case(fs::path(entry.path).extension().string())];
    }
    const std::string in = base.empty() ? "" : " in " + base;
    check(!classes.empty(), name, ": expected a folder of images for each class", in, ", found none");
    for (auto& [label, images] : classes) {
        check(!images.empty(), name, ": class folder ", base, label, " holds no PNG, JPEG or BMP image");
        std::sort(images.begin(), images.end(), [](const Entry& a, const Entry& b) { return a.path < b.path; });
    }
    return classes;
}

// An image tests or trains by its own name and the seed alone: it stays where it is when others come or go.
bool is_test(const std::string& path, const FolderOptions& options) {
    return Random(options.seed, fnv1a(path)).uniform() < options.test_share;
}

// That share of each class; `base` is no part of the names.
Classes share_of(Classes classes, const std::string& base, Split split, const FolderOptions& options) {
    for (auto& [name, images] : classes)
        std::erase_if(images, [&](const Entry& image) {
            return is_test(image.path.substr(base.size()), options) != (split == Split::test);
        });
    return classes;
}

// "3 other files passed over (.txt 1, .webp 2)"
std::string note_of(const std::map<std::string, int64_t>& passed_over) {
    int64_t total = 0;
    std::string kinds;
    for (const auto& [suffix, count] : passed_over) {
        total += count;
        kinds += (kinds.empty() ? "" : ", ") + (suffix.empty() ? "no suffix" : suffix) + " " + std::to_string(count);
    }
    if (total == 0) return "";
    return concatenated(total, total == 1 ? " other file" : " other files", " passed over (",
                          printable(shortened(kinds, 100)), ")");
}

class FolderSource : public Source {
public:
    FolderSource(DatasetInfo info, std::shared_ptr<const FolderListing> listing, Entries entries, Transform fit)
        : Source(std::move(info)),
          listing_(std::move(listing)),
          entries_(std::move(entries)),
          fit_(std::move(fit)) {}

    int64_t size() const override { return static_cast<int64_t>(entries_.size()); }
    int64_t label(int64_t i) const override { return entries_[i].label; }
    std::string key(int64_t i) const override { return entries_[i].path; }
    Image image(int64_t i, Random& random) const override {
        const Entry& entry = entries_[i];
        const int64_t channels = info().image_shape[2];
        const std::string& root = listing_->path;
        if (listing_->archive.empty()) return fit_(read_image(root + "/" + entry.path, channels), random);
        const Bytes bytes = Bytes(listing_->archive).subspan(entry.offset, entry.size);
        return fit_(parse_image(bytes, root + ": " + entry.path, channels), random);
    }

private:
    const std::shared_ptr<const FolderListing> listing_;
    const Entries entries_;
    const Transform fit_;
};

}  // namespace

ImageFolder::ImageFolder(const std::string& path) : listing_(std::make_shared<const FolderListing>(list(path))) {}

std::vector<Split> ImageFolder::splits() const {
    const Splits& splits = listing_->splits;
    if (splits.train.empty()) return {Split::train, Split::test};
    std::vector<Split> own{Split::train};
    if (!splits.validation.empty()) own.push_back(Split::validation);
    if (!splits.test.empty()) own.push_back(Split::test);
    return own;
}

Dataset image_folder(const std::string& path, Split split, const FolderOptions& options) {
    return ImageFolder(path).open(split, options);
}

Dataset ImageFolder::open(Split split, const FolderOptions& options) const {
    check(options.channels == 1 || options.channels == 3, "image_folder: expected 1 or 3 channels, got ",
          options.channels);
    check(options.test_share > 0 && options.test_share < 1, "image_folder: expected a test share between 0 and 1, got ",
          options.test_share);
    const auto& [path, archive, entries, base, splits] = *listing_;
    const bool has_splits = !splits.train.empty(), training = split == Split::train;
    check(has_splits || split != Split::validation, path, ": expected folders train/ and val/, found none");

    std::map<std::string, int64_t> of_train, passed_over;
    const Classes classes = classes_below(entries, has_splits ? splits.train : base, path, of_train);
    Classes own = has_splits && !training ? classes_below(entries, splits.of(split), path, passed_over) : classes;
    if (!has_splits || training) passed_over = of_train;
    if (!has_splits) own = share_of(std::move(own), base, split, options);

    DatasetInfo info;
    for (const auto& [label, images] : classes) info.classes.push_back(label);
    for (const auto& [label, images] : own) {
        if (classes.count(label)) continue;
        check(options.anomalies, path, ": class folder ", splits.of(split), label, " has no counterpart in ",
              splits.train);
        info.classes.push_back(label);
    }
    Entries chosen;
    for (size_t label = 0; label < info.classes.size(); ++label) {
        const auto found = own.find(info.classes[label]);
        if (found == own.end()) continue;
        check(!training || !found->second.empty(), path, ": no image of class ", found->first,
              " is left to train on: ", 100 * options.test_share,
              "% are for testing, chosen by their names; expected more images, or folders train/ and val/");
        for (Entry& entry : found->second) {
            entry.label = static_cast<int64_t>(label);
            chosen.push_back(std::move(entry));
        }
    }
    check(!chosen.empty(), path, ": no image is left to test on: ", 100 * options.test_share,
          "% are for testing, chosen by their names; expected more images, or folders train/ and val/");
    info.name = "folder:" + path + " " + name_of(split);
    info.image_shape = {options.size, options.size, options.channels};
    info.normalization = options.channels == 3  // of ImageNet, which pretrained weights expect
                             ? Normalization{{0.485f, 0.456f, 0.406f}, {0.229f, 0.224f, 0.225f}}
                             : Normalization{{0.449f}, {0.226f}};
    const int64_t stray = level(entries, base).images;
    for (const std::string& note :
         {has_splits ? std::string() : concatenated(100 * options.test_share, "% of the images kept for testing"),
          stray ? concatenated(stray, " in no class folder passed over") : "", note_of(passed_over),
          classes.size() == 1 && !options.anomalies
              ? std::string("a single class: is this the folder above the class folders?")
              : ""})
        if (!note.empty()) info.note += (info.note.empty() ? "" : ", ") + note;
    return Dataset(std::make_shared<FolderSource>(std::move(info), listing_, std::move(chosen),
                                                  options.fit ? options.fit : fit(options.size)));
}

}  // namespace lathe::data
