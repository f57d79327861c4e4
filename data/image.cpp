#include "lathe/data/image.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "lathe/core/error.h"

namespace {

// The largest block that decoding the present image may ask for: a few bytes in a file can claim to unpack to gigabytes.
thread_local size_t max_block = 0;

// Zeroed, since a JPEG may use tables that it has not defined.
void* bounded_malloc(size_t bytes) { return bytes <= max_block ? std::calloc(bytes, 1) : nullptr; }
void* bounded_realloc(void* block, size_t bytes) { return bytes <= max_block ? std::realloc(block, bytes) : nullptr; }

}  // namespace

#define STBI_MALLOC bounded_malloc
#define STBI_REALLOC bounded_realloc
#define STBI_FREE std::free
#define STBI_ASSERT(condition) static_cast<void>(0)  // some hold for sound files only: damage must not end the process
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

bool begins_with(Bytes bytes, std::string_view magic) {
    return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// Walks over the segments of a JPEG for two things that stb_image 2.27 does not see to: it writes past the end of a
// Huffman table that claims more than 256 codes (nothings/stb issue 1289), and it passes over the whole image in every
// scan of a progressive file, of which a few bytes each could make it work for hours.
void check_jpeg(Bytes bytes, const std::string& name) {
    const auto byte = [&](size_t at) { return at < bytes.size() ? std::to_integer<size_t>(bytes[at]) : 0; };
    int64_t scans = 0;
    for (size_t at = 2; at < bytes.size();) {
        const size_t marker = byte(at + 1);
        if (byte(at) == 0xff && marker == 0xd9) return;  // end of image
        const bool segment = byte(at) == 0xff && marker > 0x01 && marker != 0xff && (marker < 0xd0 || marker > 0xd8);
        if (!segment) {
            ++at;  // inside a scan, where 0xff is followed by zero or a restart marker
            continue;
        }
        const size_t end = at + 2 + (byte(at + 2) << 8 | byte(at + 3));
        scans += marker == 0xda;
        check(scans <= kMaxScans, name, ": expected a JPEG of at most ", kMaxScans, " scans");
        for (size_t table = at + 4; marker == 0xc4 && table < end;) {
            size_t codes = 0;
            for (size_t length = 1; length <= 16; ++length) codes += byte(table + length);
            check(codes <= 256, name, ": the image is damaged (a Huffman table of ", codes, " codes)");
            table += 17 + codes;
        }
        at = end;
    }
}

}  // namespace

Image blank_image(int64_t height, int64_t width, int64_t channels) {
    return {height, width, channels, std::vector<uint8_t>(static_cast<size_t>(height * width * channels))};
}

Image parse_image(Bytes bytes, const std::string& name, int64_t channels) {
    check(channels == 1 || channels == 3, name, ": expected 1 or 3 channels to be asked for, got ", channels);
    int width = 0, height = 0, in_file = 0;
    const bool jpeg = begins_with(bytes, "\xff\xd8"), png = begins_with(bytes, "\x89PNG");
    check(jpeg || png || begins_with(bytes, "BM"), name, ": expected a PNG, JPEG or BMP image");
    if (jpeg) check_jpeg(bytes, name);
    max_block = kSmallBlock;
    Reader header{bytes};
    check(stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &in_file), name,
          ": the image is ", header.overrun ? "truncated" : "damaged", " (", stbi_failure_reason(), ")");
    check(width > 0 && height > 0 && int64_t{width} * height <= kMaxPixels, name, ": expected an image of 1 to ", kMaxPixels,
          " pixels, got ", width, "x", height);
    // The most that a byte can hold: a bit per 8x8 block in a JPEG's first scan, deflate's 1032:1 of 1-bit pixels, plain ones.
    const int64_t pixels_per_byte = jpeg ? 512 : png ? 8 * 1032 : 8;
    check(int64_t{width} * height <= pixels_per_byte * static_cast<int64_t>(bytes.size()), name, ": the image is truncated (",
          width, "x", height, " pixels in ", bytes.size(), " bytes)");

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
