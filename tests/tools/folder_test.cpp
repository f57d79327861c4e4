#include "command.h"

#include "lathe/tests/data/test_files.h"

namespace {

using lathe::data::Image;
using testing::Json;

// A grey picture whose upper half is bright, held upside down or sideways: only its Exif block tells what is above.
std::string turned(int orientation, uint8_t bright) {
    Image image = lathe::testing::plain_image(24, 24, {30});
    for (int64_t row = 0; row < 24; ++row)
        for (int64_t column = 0; column < 24; ++column) {
            const bool above = orientation == 1 ? row < 12 : orientation == 3 ? row >= 12 : orientation == 6 ? column < 12 : column >= 12;
            if (above) *image.at(row, column) = bright;
        }
    const std::string png = lathe::testing::encode_png(image);
    return png.substr(0, 33) + lathe::testing::png_chunk("eXIf", lathe::testing::exif_block(orientation, true)) + png.substr(33);
}

}  // namespace

TEST_CASE("a grey network trains, is tested and predicts on the same pictures of a folder, whichever way they were held") {
    const testing::Folder folder;
    const std::string set = folder / "set", run = folder / "run";
    for (const char* split : {"train", "val"})
        for (int i = 0; i < 24; ++i) {
            const auto bright = static_cast<uint8_t>(180 + 3 * i);
            const int held = i % 4 == 0 ? 1 : i % 4 == 1 ? 3 : i % 4 == 2 ? 6 : 8, other = held == 1 ? 3 : held == 3 ? 1 : held == 6 ? 8 : 6;
            std::string above = turned(held, bright), below = turned(other, bright);
            below.replace(below.find("eXIf") - 4, lathe::testing::exif_block(held, true).size() + 12,
                          lathe::testing::png_chunk("eXIf", lathe::testing::exif_block(held, true)));
            lathe::testing::write_file(set + "/" + split + "/above/" + std::to_string(i) + ".png", above);
            lathe::testing::write_file(set + "/" + split + "/below/" + std::to_string(i) + ".png", below);
        }
    const testing::Result trained = testing::lathe("train --model lenet5 --epochs 12 --batch 8 --augment none --seed 1 --data folder:" + set + " --out " + run);
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("48 images 28x28x1, 2 classes") != std::string::npos);
    const std::string model = run + "/best.safetensors";
    const Json tested = Json::parse(testing::lathe("eval --json --model " + model + " --data folder:" + set).out);
    CHECK(tested["correct"] == 48);  // half of them, were their directions not known
    int64_t right = 0;
    for (const char* name : {"above", "below"}) {
        const Json found = Json::parse(testing::lathe("predict --json --top 1 --model " + model + " " + set + "/val/" + name + "/*.png").out);
        for (const Json& image : found) right += image["predictions"][0]["class"] == name;
    }
    CHECK(right == 48);
}

TEST_CASE("hostile class names and pictures come out as harmless text") {
    const testing::Folder folder;
    const std::string set = folder / "set", evil = "\x1b[2J\x1b]0;owned\x07";
    for (const char* split : {"train", "val"})
        for (const std::string& name : {evil, std::string("plain\nline")})
            lathe::testing::write_file(set + "/" + split + "/" + name + "/1.png", turned(1, 200));
    const std::string run = folder / "run";
    const testing::Result trained = testing::lathe("train --model lenet5 --epochs 1 --data folder:" + set + " --out " + run);
    REQUIRE(trained.code == 0);
    const std::string model = " --model " + run + "/best.safetensors ";
    for (const testing::Result& result : {trained, testing::lathe("eval" + model + "--data folder:" + set),
                                          testing::lathe("predict" + model + "'" + set + "/val/" + evil + "/1.png'"),
                                          testing::lathe("predict" + model + "'" + set + "/val/" + evil + "/none.png'")}) {
        const std::string all = result.out + result.err;
        CHECK(std::none_of(all.begin(), all.end(), [](unsigned char c) { return c < 32 && c != '\n'; }));
    }
    CHECK(testing::lathe("eval" + model + "--data folder:" + set).out.find("\\x1b[2J\\x1b]0;owned\\x07") != std::string::npos);
}
