#include "lathe/data/tar.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "lathe/core/error.h"

namespace lathe::data {

namespace {

constexpr size_t kBlock = 512;
constexpr size_t kMaxFiles = size_t{1} << 24;

// A text field: up to its first zero byte.
std::string_view field(std::string_view block, size_t at, size_t size) {
    const std::string_view text = block.substr(at, size);
    return text.substr(0, text.find('\0'));
}

size_t number(std::string_view block, size_t at, size_t size, const std::string& name) {
    size_t value = 0;
    if (block[at] & 0x80) {  // GNU: big-endian binary, for what octal cannot hold
        for (size_t i = at + size - 8; i < at + size; ++i) value = value << 8 | static_cast<unsigned char>(block[i]);
        return value;
    }
    std::string_view digits = field(block, at, size);
    digits.remove_prefix(std::min(digits.find_first_not_of(' '), digits.size()));
    if (digits.empty()) return 0;
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 8);
    check(error == std::errc{} && (stop == digits.data() + digits.size() || *stop == ' '), name,
          ": damaged tar archive (a number that is not octal)");
    return value;
}

void check_header(std::string_view block, const std::string& name) {
    size_t sum = 0;
    for (size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(block[i]);
    check(sum == number(block, 148, 8, name), name, ": not a tar archive, or a damaged one (wrong header checksum)");
}

// The value of `key` in pax records "LENGTH KEY=VALUE\n"; "" when it is not there.
std::string pax_value(std::string_view records, std::string_view key, const std::string& name) {
    while (!records.empty()) {
        size_t length = 0;
        const auto stop = std::from_chars(records.data(), records.data() + records.size(), length).ptr;
        const auto digits = static_cast<size_t>(stop - records.data());
        check(length > digits + 1 && length <= records.size(), name, ": damaged tar archive (pax record)");
        const std::string_view record = records.substr(digits + 1, length - digits - 2);
        if (record.starts_with(key) && record.substr(key.size()).starts_with('='))
            return std::string(record.substr(key.size() + 1));
        records.remove_prefix(length);
    }
    return "";
}

// The path with neither "." nor empty parts, below `folder`; nothing when ".." leads above the archive.
std::optional<std::string> plain_path(const std::string& path, const std::string& folder = "") {
    std::vector<std::string> parts;
    const std::string whole = folder + "/" + path;
    for (size_t at = 0; at < whole.size();) {
        const size_t end = std::min(whole.find('/', at), whole.size());
        const std::string part = whole.substr(at, end - at);
        at = end + 1;
        if (part.empty() || part == ".") continue;
        if (part != "..") parts.push_back(part);
        else if (parts.empty()) return {};
        else parts.pop_back();
    }
    std::string plain;
    for (const std::string& part : parts) plain += (plain.empty() ? "" : "/") + part;
    return plain;
}

std::string folder_of(const std::string& path) {
    return path.substr(0, path.rfind('/') == std::string::npos ? 0 : path.rfind('/'));
}

// What unpacking makes, member by member. Folders are known by their paths without the '/' at the end.
class Unpacked {
public:
    explicit Unpacked(const std::string& archive) : archive_(archive) {}

    void add_folder(const std::string& path) { folders_.insert(path), files_.erase(path), links_.erase(path); }
    void add_file(const std::string& path, size_t offset, size_t size) {
        links_.erase(path);
        files_[path] = {path, offset, size};
        check(files_.size() <= kMaxFiles, archive_, ": expected at most ", kMaxFiles,
              " files, with those that links give, got more");
    }
    void add_hard_link(const std::string& path, const std::string& target) {
        const auto found = files_.find(target);
        const auto link = links_.find(target);
        check(found != files_.end() || link != links_.end(), archive_, ": ", path, " is a link to ", target,
              ", which is not there");
        if (found != files_.end()) add_file(path, found->second.offset, found->second.size);
        else add_symbolic_link(path, link->second);
    }
    void add_symbolic_link(const std::string& path, const std::string& target) {
        files_.erase(path);
        links_[path] = target;
    }

    std::vector<TarEntry> entries() {
        const auto links = std::exchange(links_, {});
        size_t known = 0;  // links may lead to links, as many as Linux follows
        for (int round = 0; round < 40 && files_.size() + folders_.size() != known; ++round) {
            known = files_.size() + folders_.size();
            for (const auto& [path, target] : links) resolve(path, target);
        }
        std::vector<TarEntry> all;
        for (auto& [path, file] : files_) all.push_back(std::move(file));
        for (const std::string& folder : folders_) all.push_back({folder + "/"});
        std::sort(all.begin(), all.end(), [](const TarEntry& a, const TarEntry& b) { return a.path < b.path; });
        return all;
    }

private:
    // Gives a link what it points at, unless that is not there or the link itself lies in it.
    void resolve(const std::string& path, const std::string& target) {
        const auto at = target.starts_with('/') ? std::nullopt : plain_path(target, folder_of(path));
        if (!at) return;
        if (const auto file = files_.find(*at); file != files_.end())
            return add_file(path, file->second.offset, file->second.size);
        if (at->empty() || path.starts_with(*at + "/")) return;
        std::vector<TarEntry> below;
        for (auto file = files_.lower_bound(*at + "/"); file != files_.end() && file->first.starts_with(*at + "/");
             ++file)
            below.push_back(file->second);
        for (const TarEntry& file : below) add_file(path + file.path.substr(at->size()), file.offset, file.size);
        if (!below.empty() || folders_.count(*at)) folders_.insert(path);
    }

    const std::string& archive_;
    std::map<std::string, TarEntry> files_;
    std::map<std::string, std::string> links_;
    std::set<std::string> folders_;
};

}  // namespace

std::vector<TarEntry> parse_tar(Bytes bytes, const std::string& name) {
    const std::string_view archive(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    Unpacked unpacked(name);
    std::string long_path, long_link;  // of the next member
    for (size_t at = 0;;) {
        check(archive.size() - at >= kBlock, name, ": truncated, or not a tar archive (no end mark)");
        const std::string_view block = archive.substr(at, kBlock);
        if (block.find_first_not_of('\0') == std::string_view::npos) return unpacked.entries();
        check_header(block, name);
        at += kBlock;
        const char type = block[156];
        const size_t size =
            type == '1' ? 0 : number(block, 124, 12, name);  // a hard link may tell the size of the file
        check(size <= archive.size() - at, name, ": truncated tar archive (expected ", size, " more bytes, got ",
              archive.size() - at, ")");
        const std::string_view contents = archive.substr(at, size);

        if (type == 'L') {
            long_path = field(contents, 0, size);
        } else if (type == 'K') {
            long_link = field(contents, 0, size);
        } else if (type == 'x') {
            check(pax_value(contents, "size", name).empty(), name,
                  ": files of 8 GB and more in a tar are not supported");
            check(pax_value(contents, "GNU.sparse.major", name).empty() &&
                      pax_value(contents, "GNU.sparse.size", name).empty(),
                  name, ": sparse files in a tar are not supported");
            if (std::string path = pax_value(contents, "path", name); !path.empty()) long_path = std::move(path);
            if (std::string link = pax_value(contents, "linkpath", name); !link.empty()) long_link = std::move(link);
        } else {
            check(type != 'S', name, ": sparse files in a tar are not supported");
            std::string path(field(block, 0, 100)), link(field(block, 157, 100));
            const std::string_view prefix = field(block, 345, 155);
            if (field(block, 257, 6) == "ustar" && !prefix.empty()) path = std::string(prefix) + "/" + path;
            if (!long_path.empty()) path = std::exchange(long_path, "");
            if (!long_link.empty()) link = std::exchange(long_link, "");
            const bool folder =
                type == '5' || ((type == '0' || type == '\0') && path.ends_with('/'));  // the latter before POSIX
            const auto plain = plain_path(path);
            if (("/" + path + "/").find("/../") != std::string::npos || !plain || plain->empty()) {
                // tar unpacks no such name; nor is the folder it unpacks into one of the archive's
            } else if (folder) {
                unpacked.add_folder(*plain);
            } else if (type == '0' || type == '\0' || type == '7') {
                unpacked.add_file(*plain, at, size);
            } else if (type == '1') {
                unpacked.add_hard_link(*plain, plain_path(link).value_or(link));
            } else if (type == '2') {
                unpacked.add_symbolic_link(*plain, link);
            }
        }
        at += std::min((size + kBlock - 1) / kBlock * kBlock, archive.size() - at);
    }
}

}  // namespace lathe::data
