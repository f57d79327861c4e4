#include "lathe/core/files/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include "lathe/core/error.h"

namespace lathe {

std::string find_plain_or_gz(const std::string& path) {
    std::error_code ignored;
    for (const std::string& candidate : {path, path + ".gz"})
        if (std::filesystem::exists(candidate, ignored)) return candidate;
    return "";
}

std::vector<std::byte> read_unpacked_start(const std::string& path, size_t count) {
    std::error_code error;
    const auto size_on_disk = std::filesystem::file_size(path, error);
    check(!error, path, ": cannot be read: ", error.message());

    errno = 0;
    const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
    check(file != nullptr, path, ": cannot be read: ", std::strerror(errno));
    gzbuffer(file.get(), 1 << 17);

    std::vector<std::byte> bytes(std::min<size_t>(size_on_disk + 1, count));  // a plain file needs no second round
    size_t used = 0;
    while (used < count) {
        if (used == bytes.size()) bytes.resize(std::min(2 * bytes.size(), count));
        const auto room = static_cast<unsigned>(std::min<size_t>(bytes.size() - used, 1 << 30));
        const int got = gzread(file.get(), bytes.data() + used, room);
        if (got <= 0) break;
        used += static_cast<size_t>(got);
    }
    int code = Z_OK;
    gzerror(file.get(), &code);
    check(code != Z_BUF_ERROR, path, ": the gzip file is truncated");
    check(code != Z_DATA_ERROR, path, ": the gzip file is damaged");
    check(code == Z_OK || code == Z_STREAM_END, path, ": cannot be read: ", std::strerror(errno));
    check(!path.ends_with(".gz") || !gzdirect(file.get()), path, ": expected a gzip file, got something else");
    bytes.resize(used);
    return bytes;
}

std::vector<std::byte> read_unpacked(const std::string& path, size_t max_bytes) {
    std::vector<std::byte> bytes = read_unpacked_start(path, max_bytes + 1);
    check(bytes.size() <= max_bytes, path, ": expected at most ", max_bytes, " bytes, got more");
    return bytes;
}

std::vector<std::byte> packed_gzip(std::span<const Bytes> parts) {
    constexpr int kWindow = 15, kAsGzip = 16, kMemory = 9;
    constexpr size_t kMost = 1 << 30;  // zlib counts the bytes of a call in 32 bits
    z_stream stream{};
    check(deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kWindow + kAsGzip, kMemory, Z_DEFAULT_STRATEGY) == Z_OK,
          "gzip: out of memory");
    const std::unique_ptr<z_stream, int (*)(z_stream*)> ends(&stream, deflateEnd);
    std::vector<std::byte> packed, chunk(1 << 17);
    const auto deflate_all = [&](Bytes bytes, int flush) {
        stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
        stream.avail_in = static_cast<uInt>(bytes.size());
        do {
            stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
            stream.avail_out = static_cast<uInt>(chunk.size());
            deflate(&stream, flush);
            packed.insert(packed.end(), chunk.begin(), chunk.end() - stream.avail_out);
        } while (stream.avail_out == 0);
    };
    for (Bytes part : parts)
        for (; !part.empty(); part = part.subspan(std::min(part.size(), kMost)))
            deflate_all(part.first(std::min(part.size(), kMost)), Z_NO_FLUSH);
    deflate_all({}, Z_FINISH);
    return packed;
}

}  // namespace lathe
