#include "lathe/data/image.h"

#include <zlib.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "lathe/core/error.h"
#include "lathe/data/exif.h"

namespace {

// The largest block that decoding the present image may ask for: a few bytes in a file can claim to unpack to
// gigabytes.
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

constexpr int64_t kMaxPixels = int64_t{1} << 27;  // of the largest sensors in telephones and cameras
constexpr int64_t kPhotograph = int64_t{1} << 25;  // larger ones have at least a byte for so many pixels:
constexpr int64_t kPixelsPerByte = 64;
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
// scan of a progressive file, of which a few bytes each could make it work for hours. Returns the Exif block, if there
// is one.
Bytes check_jpeg(Bytes bytes, const std::string& name) {
    const auto byte = [&](size_t at) { return at < bytes.size() ? std::to_integer<size_t>(bytes[at]) : 0; };
    const std::string_view exif_mark("Exif\0\0", 6);
    Bytes exif;
    int64_t scans = 0;
    for (size_t at = 2; at < bytes.size();) {
        const size_t marker = byte(at + 1);
        if (byte(at) == 0xff && marker == 0xd9) break;  // end of image
        const bool segment = byte(at) == 0xff && marker > 0x01 && marker != 0xff && (marker < 0xd0 || marker > 0xd8);
        if (!segment) {
            ++at;  // inside a scan, where 0xff is followed by zero or a restart marker
            continue;
        }
        const size_t end = at + 2 + (byte(at + 2) << 8 | byte(at + 3));
        scans += marker == 0xda;
        if (marker == 0xe1 && exif.empty() && end <= bytes.size() && end >= at + 4 &&
            begins_with(bytes.subspan(at + 4, end - at - 4), exif_mark))
            exif = bytes.subspan(at + 4 + exif_mark.size(), end - at - 4 - exif_mark.size());
        check(scans <= kMaxScans, name, ": expected a JPEG of at most ", kMaxScans, " scans");
        for (size_t table = at + 4; marker == 0xc4 && table < end;) {
            size_t codes = 0;
            for (size_t length = 1; length <= 16; ++length) codes += byte(table + length);
            check(codes <= 256, name, ": the image is damaged (a Huffman table of ", codes, " codes)");
            table += 17 + codes;
        }
        at = end;
    }
    return exif;
}

// Looks at the checksum of every chunk of a PNG, which stb_image does not. Returns the Exif block, if there is one.
Bytes check_png(Bytes bytes, const std::string& name) {
    constexpr size_t kSignature = 8, kFrame = 12;  // length, type and checksum
    const auto number = [&](size_t at) {
        size_t value = 0;
        for (size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<size_t>(bytes[at + i]);
        return value;
    };
    Bytes exif;
    for (size_t at = kSignature;;) {
        check(at + kFrame <= bytes.size() && number(at) <= bytes.size() - at - kFrame, name,
              ": the image is truncated");
        const size_t size = number(at);
        const Bytes chunk = bytes.subspan(at + 4, 4 + size);
        const auto sum = crc32(0, reinterpret_cast<const Bytef*>(chunk.data()), static_cast<uInt>(chunk.size()));
        check(sum == number(at + 8 + size), name, ": the image is damaged (a wrong checksum)");
        if (begins_with(chunk, "eXIf")) exif = chunk.subspan(4);
        if (begins_with(chunk, "IEND")) return exif;
        at += kFrame + size;
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
    const Bytes exif = jpeg ? check_jpeg(bytes, name) : png ? check_png(bytes, name) : Bytes{};
    max_block = kSmallBlock;
    Reader header{bytes};
    check(stbi_info_from_callbacks(&kCallbacks, &header, &width, &height, &in_file), name,
          ": the image is ", header.overrun ? "truncated" : "damaged", " (", stbi_failure_reason(), ")");
    check(width > 0 && height > 0 && int64_t{width} * height <= kMaxPixels, name, ": expected an image of 1 to ",
          kMaxPixels, " pixels, got ", width, "x", height);
    // The most that a byte can hold: a bit per 8x8 block in a JPEG's first scan, deflate's 1032:1 of 1-bit pixels,
    // plain ones.
    const int64_t pixels_per_byte = jpeg ? 512 : png ? 8 * 1032 : 8;
    check(int64_t{width} * height <= pixels_per_byte * static_cast<int64_t>(bytes.size()), name,
          ": the image is truncated (", width, "x", height, " pixels in ", bytes.size(), " bytes)");

    check(int64_t{width} * height <= kPhotograph ||
              int64_t{width} * height / kPixelsPerByte <= static_cast<int64_t>(bytes.size()),
          name, ": expected a photograph of so many pixels (", width, "x", height, ") to have more than ", bytes.size(),
          " bytes");

    max_block += 32 * static_cast<size_t>(width + 32) * static_cast<size_t>(height + 32);  // 16-bit RGBA and to spare
    Reader body{bytes};
    const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
        stbi_load_from_callbacks(&kCallbacks, &body, &width, &height, &in_file, static_cast<int>(channels)),
        stbi_image_free);
    check(!body.overrun, name, ": the image is truncated");
    check(pixels != nullptr, name, ": the image is damaged (", stbi_failure_reason(), ")");
    Image image{height, width, channels, {pixels.get(), pixels.get() + int64_t{width} * height * channels}};
    return upright(std::move(image), exif_orientation(exif));
}

Image read_image(const std::string& path, int64_t channels) { return parse_image(read_file(path), path, channels); }

bool has_image_suffix(const std::string& path) {
    std::string lower = path;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    for (const char* suffix : {".png", ".jpg", ".jpeg", ".jfif", ".bmp"})
        if (lower.ends_with(suffix)) return true;
    return false;
}

}  // namespace lathe::data
