#include "lathe/data/image.h"

#include <cstdlib>

#include "lathe/tests/data/test_files.h"
#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

namespace {

// The JPEG as a progressive one: a scan of the means of blocks, then one of the rest of a channel.
std::string progressive(std::string jpeg) {
    jpeg[jpeg.find("\xff\xc0") + 1] = '\xc2';
    const size_t scan = jpeg.find("\xff\xda"), channels = static_cast<size_t>(jpeg[scan + 4]);
    jpeg[scan + 4 + 2 * channels + 2] = 0;  // the last coefficient of the scan
    const std::string second("\xff\xda\0\10\1\1\21\1\77\0", 10);
    return jpeg.insert(jpeg.size() - 2, second + "some coefficients");
}

void check_image(Bytes bytes) {
    const int64_t channels = bytes.size() % 2 ? 1 : 3;
    const data::Image image = data::parse_image(bytes, "fuzz", channels);
    if (image.channels != channels || static_cast<int64_t>(image.pixels.size()) != image.shape().numel()) abort();
}

}  // namespace

std::vector<std::string> seeds() {
    std::vector<std::string> files;
    for (const std::vector<uint8_t>& color : {std::vector<uint8_t>{90}, {90, 128}, {1, 200, 90}, {1, 200, 90, 128}}) {
        data::Image image = testing::plain_image(17, 9, color);
        for (size_t i = 0; i < 200 && i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * i);
        const std::string jpeg = testing::encode_jpeg(image);
        const std::string png = testing::encode_png(image),
                          turned = png.substr(0, 33) + testing::png_chunk("eXIf", testing::exif_block(6, true)) +
                                   png.substr(33);
        files.insert(files.end(), {png, turned, testing::encode_bmp(image), jpeg, progressive(jpeg)});
    }
    return files;
}

void read(Bytes bytes) {
    testing::error_of([&] { check_image(bytes); });
    // Mutations of a PNG rarely have the right checksums, behind which the decoder lies.
    check_image(
        testing::bytes_of(testing::with_png_checksums({reinterpret_cast<const char*>(bytes.data()), bytes.size()})));
}

}  // namespace lathe::fuzz
