#include "lathe/data/image.h"

#include "lathe/tests/data/test_files.h"
#include "lathe/tests/fuzz/fuzz.h"

namespace lathe::fuzz {

std::vector<std::string> seeds() {
    const data::Image grey = testing::plain_image(9, 12, {90}), color = testing::plain_image(17, 5, {1, 200, 90});
    return {testing::encode_png(grey),  testing::encode_bmp(grey),  testing::encode_jpeg(grey),
            testing::encode_png(color), testing::encode_bmp(color), testing::encode_jpeg(color)};
}

void read(Bytes bytes) { data::parse_image(bytes, "fuzz"); }

}  // namespace lathe::fuzz
