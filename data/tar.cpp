#include "lathe/data/tar.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <utility>

#include "lathe/core/error.h"

namespace lathe::data {

namespace {

constexpr size_t kBlock = 512;

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

}  // namespace

std::vector<TarEntry> parse_tar(Bytes bytes, const std::string& name) {
    const std::string_view archive(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::vector<TarEntry> entries;
    std::string long_path;
    for (size_t at = 0;;) {
        check(archive.size() - at >= kBlock, name, ": truncated, or not a tar archive (no end mark)");
        const std::string_view block = archive.substr(at, kBlock);
        if (block.find_first_not_of('\0') == std::string_view::npos) return entries;
        check_header(block, name);
        at += kBlock;
        const size_t size = number(block, 124, 12, name);
        check(size <= archive.size() - at, name, ": truncated tar archive (expected ", size, " more bytes, got ",
              archive.size() - at, ")");
        const std::string_view contents = archive.substr(at, size);

        const char type = block[156];
        if (type == 'L') {
            long_path = field(contents, 0, size);
        } else if (type == 'x') {
            check(pax_value(contents, "size", name).empty(), name, ": files of 8 GB and more in a tar are not supported");
            long_path = pax_value(contents, "path", name);
        } else {
            check(type != 'S', name, ": sparse files in a tar are not supported");
            std::string path(field(block, 0, 100));
            const std::string_view prefix = field(block, 345, 155);
            if (field(block, 257, 6) == "ustar" && !prefix.empty()) path = std::string(prefix) + "/" + path;
            if (!long_path.empty()) path = std::exchange(long_path, "");
            if (path.starts_with("./")) path.erase(0, 2);
            if (type == '5' && !path.ends_with('/')) path += '/';
            if (type == '0' || type == '\0' || type == '7' || type == '5') entries.push_back({path, at, size});
        }
        at += std::min((size + kBlock - 1) / kBlock * kBlock, archive.size() - at);
    }
}

}  // namespace lathe::data
