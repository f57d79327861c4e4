#include "lathe/data/image.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "lathe/core/error.h"

namespace {

// The largest block that decoding the present image may ask for: a few bytes in a file can claim to unpack to gigabytes.
thread_local size_t max_block = 0;

void* bounded_malloc(size_t bytes) { return bytes <= max_block ? std::malloc(bytes) : nullptr; }
void* bounded_realloc(void* block, size_t bytes) { return bytes <= max_block ? std::realloc(block, bytes) : nullptr; }

}  // namespace

#define STBI_MALLOC bounded_malloc
#define STBI_REALLOC bounded_realloc
#define STBI_FREE std::free
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

namespace lathe::data {

namespace {

constexpr int64_t kMaxPixels = int64_t{1} << 25;
constexpr int64_t kMaxScans = 200;
constexpr size_t kSmallBlock = size_t{1} << 20;

// Feeds a decoder from memory and notices when it asks for more than there is: stb_image itself reads a truncated JPEG
// or BMP as if zeros followed.
struct Reader {
    Bytes left;
    bool overrun = false;

    static int read(void* self, char* out, int size) {
        Reader& reader = *static_cast<Reader*>(self);
        const size_t count = std::min(reader.left.size(), static_cast<size_t>(size));
        reader.overrun |= count == 0 && size > 0;
        if (count > 0) std::memcpy(out, reader.left.data(), count);
        reader.left = reader.left.subspan(count);
        return static_cast<int>(count);
    }
    static void skip(void* self, int count) {
        Reader& reader = *static_cast<Reader*>(self);
        reader.overrun |= static_cast<size_t>(count) > reader.left.size();
        reader.left = reader.left.subspan(std::min(reader.left.size(), static_cast<size_t>(count)));
    }
    static int at_end(void* self) { return static_cast<Reader*>(self)->left.empty(); }
};

constexpr stbi_io_callbacks kCallbacks = {Reader::read, Reader::skip, Reader::at_end};

// A progressive JPEG passes over the whole image in every scan, and a scan can be a few bytes: thousands would take hours.
// Inside a scan no byte 0xff is followed by this marker.
int64_t count_scans(Bytes bytes) {
    int64_t scans = 0;
    for (size_t i = 0; i + 1 < bytes.size(); ++i) scans += bytes[i] == std::byte{0xff} && bytes[i + 1] == std::byte{0xda};
    return scans;
}

bool is_jpeg(Bytes bytes) { return bytes.size() > 2 && bytes[0] == std::byte{0xff} && bytes[1] == std::byte{0xd8}; }

}  // namespace

Image blank_image(int64_t height, int64_t width, int64_t channels) {
    return {height, width, channels, std::vector<uint8_t>(static_cast<size_t>(height * width * channels))};
}

Image parse_image(Bytes bytes, const std::string& name, int64_t channels) {
    check(channels == 1 || channels == 3, name, ": expected 1 or 3 channels to be asked for, got ", channels);
    int width = 0, height = 0, in_file = 0;
    max_block = kSmallBlock;
    Reader header{bytes};
    check(stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &in_file), name,
          ": expected a PNG, JPEG or BMP image (", header.overrun ? "truncated" : stbi_failure_reason(), ")");
    check(width > 0 && height > 0 && int64_t{width} * height <= kMaxPixels, name, ": expected an image of 1 to ", kMaxPixels,
          " pixels, got ", width, "x", height);
    check(!is_jpeg(bytes) || count_scans(bytes) <= kMaxScans, name, ": expected a JPEG of at most ", kMaxScans, " scans");

    max_block += 32 * static_cast<size_t>(width + 32) * static_cast<size_t>(height + 32);  // 16-bit RGBA and to spare
    Reader body{bytes};
    const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
        stbi_load_from_callbacks(&kCallbacks, &body, &width, &height, &in_file, static_cast<int>(channels)), stbi_image_free);
    check(!body.overrun, name, ": the image is truncated");
    check(pixels != nullptr, name, ": the image is damaged (", stbi_failure_reason(), ")");
    return {height, width, channels, {pixels.get(), pixels.get() + int64_t{width} * height * channels}};
}

Image read_image(const std::string& path, int64_t channels) { return parse_image(read_file(path), path, channels); }

bool has_image_suffix(const std::string& path) {
    std::string lower = path;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* suffix : {".png", ".jpg", ".jpeg", ".bmp"})
        if (lower.ends_with(suffix)) return true;
    return false;
}

}  // namespace lathe::data
