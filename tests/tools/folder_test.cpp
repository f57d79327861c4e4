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
            const bool above = orientation == 1   ? row < 12
                               : orientation == 3 ? row >= 12
                               : orientation == 6 ? column < 12
                                                  : column >= 12;
            if (above) *image.at(row, column) = bright;
        }
    const std::string png = lathe::testing::encode_png(image);
    return png.substr(0, 33) + lathe::testing::png_chunk("eXIf", lathe::testing::exif_block(orientation, true)) +
           png.substr(33);
}

}  // namespace

TEST_CASE(
    "a grey network trains, is tested and predicts on the same pictures of a folder, whichever way they were held") {
    const testing::Folder folder;
    const std::string set = folder / "set", run = folder / "run";
    for (const char* split : {"train", "val"})
        for (int i = 0; i < 24; ++i) {
            const auto bright = static_cast<uint8_t>(180 + 3 * i);
            const int held = i % 4 == 0   ? 1
                             : i % 4 == 1 ? 3
                             : i % 4 == 2 ? 6
                                          : 8,
                      other = held == 1   ? 3
                              : held == 3 ? 1
                              : held == 6 ? 8
                                          : 6;
            std::string above = turned(held, bright), below = turned(other, bright);
            below.replace(below.find("eXIf") - 4, lathe::testing::exif_block(held, true).size() + 12,
                          lathe::testing::png_chunk("eXIf", lathe::testing::exif_block(held, true)));
            lathe::testing::write_file(set + "/" + split + "/above/" + std::to_string(i) + ".png", above);
            lathe::testing::write_file(set + "/" + split + "/below/" + std::to_string(i) + ".png", below);
        }
    const testing::Result trained = testing::lathe(
        "train --model lenet5 --epochs 12 --batch 8 --augment none --seed 1 --data folder:" + set + " --out " + run);
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("48 images 28x28x1, 2 classes") != std::string::npos);
    const std::string model = run + "/best.safetensors";
    const Json tested = Json::parse(testing::lathe("eval --json --model " + model + " --data folder:" + set).out);
    CHECK(tested["correct"] == 48);  // half of them, were their directions not known
    int64_t right = 0;
    for (const char* name : {"above", "below"}) {
        const Json found = Json::parse(
            testing::lathe("predict --json --top 1 --model " + model + " " + set + "/val/" + name + "/*.png").out);
        for (const Json& image : found) right += image["predictions"][0]["class"] == name;
    }
    CHECK(right == 48);
}

TEST_CASE(
    "a folder's val/ chooses the best epoch and its test/ is measured at the end; no training image is held out") {
    const testing::Folder folder;
    const std::string set = folder / "set";
    for (const std::string split : {"train", "val", "test"})
        for (int i = 0; i < (split == "train" ? 8 : split == "val" ? 3 : 5); ++i)
            for (const char* name : {"dark", "light"})
                lathe::testing::write_file(set + "/" + split + "/" + name + "/" + std::to_string(i) + ".png",
                                           lathe::testing::encode_png(lathe::testing::plain_image(
                                               8, 8, {static_cast<uint8_t>(*name == 'd' ? 20 + i : 200 + i)})));
    const std::string train = "train --model lenet5 --epochs 1 --batch 8 --data folder:" + set + " --out ";
    const testing::Result three = testing::lathe(train + (folder / "three"));
    INFO(three.err);
    REQUIRE(three.code == 0);
    CHECK(three.out.find(" train: 16 images") != std::string::npos);
    CHECK(three.out.find("validation: 6 images, the folder's own\n") != std::string::npos);
    CHECK(three.out.find(" test: 10 images") != std::string::npos);
    CHECK(three.out.find("\ntest: loss ") != std::string::npos);

    testing::fs::remove_all(set + "/test");
    const testing::Result two = testing::lathe(train + (folder / "two"));
    REQUIRE(two.code == 0);
    CHECK(two.out.find("validation: 6 images, the folder's own, which has no other test images\n") !=
          std::string::npos);
    CHECK(two.out.find("\ntest: loss ") == std::string::npos);
    CHECK(
        Json::parse(testing::lathe("eval --json --model " + (folder / "two/best.safetensors") + " --data folder:" + set)
                        .out)["total"] == 6);
}

TEST_CASE("an autoencoder that has seen one class parts it from others: AUC in train, eval and compare") {
    const testing::Folder folder;
    const std::string set = folder / "set", run = folder / "run";
    const auto write = [&](const std::string& where, int count, uint8_t at) {
        for (int i = 0; i < count; ++i)
            lathe::testing::write_file(
                set + "/" + where + "/" + std::to_string(i) + ".png",
                lathe::testing::encode_png(lathe::testing::plain_image(16, 16, {static_cast<uint8_t>(at + i)})));
    };
    write("train/good", 60, 20);
    write("test/good", 20, 40);
    write("test/cracked", 10, 220);
    write("test/dirty", 10, 150);
    const std::string train =
        "train --model autoencoder --input 16x16x3 --optimizer adam --lr 0.005 --epochs 8 --batch 10 --data folder:" +
        set;
    const testing::Result trained = testing::lathe(train + " --out " + run);
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("normal: good; anomalous: cracked, dirty\n") != std::string::npos);
    CHECK(trained.out.find("\ntest: loss ") != std::string::npos);
    CHECK(trained.out.find("  auc ") != std::string::npos);
    const std::string model = run + "/best.safetensors", data = " --data folder:" + set + " ";
    const Json tested = Json::parse(testing::lathe("eval --json --input 16x16x3 --model " + model + data).out);
    CHECK(tested["total"] == 40);
    CHECK(tested["auc"].get<double>() > 0.95);
    CHECK(testing::lathe("eval --model " + model + data)
              .out.find("normal: good; anomalous: cracked, dirty\nreconstruction: loss ") != std::string::npos);
    const Json rows = Json::parse(testing::lathe("compare --json --runs 1" + data + model).out);
    CHECK(rows[0]["auc"].get<double>() == doctest::Approx(tested["auc"].get<double>()));
    testing::check_fails(testing::lathe(train + " --validation 0 --out " + (folder / "none")), 1,
                         "anomalous images must not choose the best epoch");
    testing::check_fails(
        testing::lathe("train --model lenet5 --epochs 1 --data folder:" + set + " --out " + (folder / "none")), 1,
        "has no counterpart");
}

TEST_CASE("hostile class names and pictures come out as harmless text") {
    const testing::Folder folder;
    const std::string set = folder / "set", evil = "\x1b[2J\x1b]0;owned\x07\x7f\xc2\x9b" "31m";
    for (const char* split : {"train", "val"})
        for (const std::string& name : {evil, std::string("plain\nline")})
            lathe::testing::write_file(set + "/" + split + "/" + name + "/1.png", turned(1, 200));
    const std::string run = folder / "run";
    const testing::Result trained =
        testing::lathe("train --model lenet5 --epochs 1 --validation 0 --data folder:" + set + " --out " + run);
    REQUIRE(trained.code == 0);
    const std::string model = " --model " + run + "/best.safetensors ";
    for (const testing::Result& result :
         {trained, testing::lathe("eval" + model + "--data folder:" + set),
          testing::lathe("predict" + model + "'" + set + "/val/" + evil + "/1.png'"),
          testing::lathe("predict --json" + model + "'" + set + "/val/" + evil + "/1.png'"),
          testing::lathe("eval --json" + model + "--data folder:" + set),
          testing::lathe("predict" + model + "'" + set + "/val/" + evil + "/none.png'")}) {
        const std::string all = result.out + result.err;
        CHECK(std::none_of(all.begin(), all.end(), [](unsigned char c) { return (c < 32 && c != '\n') || c == 127; }));
        CHECK(all.find("\xc2\x9b") == std::string::npos);
    }
    const std::string table = testing::lathe("eval" + model + "--data folder:" + set).out;
    CHECK(table.find("\\x1b[2J\\x1b]0;owned\\x07\\x7f\\xc2\\x9b31m") != std::string::npos);
}

TEST_CASE("damaged images are all named before training, or left out, and a run does not go on without them unsaid") {
    const testing::Folder folder;
    const std::string set = folder / "set", run = folder / "run";
    for (const char* split : {"train", "val", "test"})
        for (const char* name : {"bright", "dark"})
            for (int i = 0; i < 10; ++i)
                lathe::testing::write_file(set + "/" + split + "/" + name + "/" + std::to_string(i) + ".png",
                                           turned(1, *name == 'b' ? 200 : 10));
    const std::string train = "train --model lenet5 --epochs 1 --batch 6 --data folder:" + set;
    const std::string broken = turned(1, 200).substr(0, 60);
    lathe::testing::write_file(set + "/test/dark/3.png", broken);
    testing::check_fails(testing::lathe(train + " --out " + run), 1,
                         set + "/test/dark/3.png: the image is truncated (--skip-damaged leaves it out)");
    lathe::testing::write_file(set + "/train/dark/7.png", broken);
    lathe::testing::write_file(set + "/train/bright/2.png", "no image");
    const testing::Result refused = testing::lathe(train + " --out " + run);
    CHECK(refused.code == 1);
    CHECK(refused.out.empty());
    CHECK(std::count(refused.err.begin(), refused.err.end(), '\n') == 3);
    for (const char* words : {"train/bright/2.png: expected a PNG", "train/dark/7.png: the image is truncated",
                              "2 of 20 images cannot be read (--skip-damaged leaves them out)"})
        CHECK(refused.err.find(words) != std::string::npos);
    CHECK(!testing::fs::exists(run));

    const testing::Result trained = testing::lathe(train + " --skip-damaged --out " + run);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("18 images") != std::string::npos);
    CHECK(trained.err.find("left out: " + set + "/train/dark/7.png: the image is truncated") != std::string::npos);
    const std::string model = " --model " + run + "/best.safetensors ", eval = model + "--data folder:" + set;
    testing::check_fails(testing::lathe("eval" + eval), 1, "dark/3.png: the image is truncated");
    CHECK(Json::parse(testing::lathe("eval --json --skip-damaged" + eval).out)["total"] == 19);
    testing::check_fails(testing::lathe("predict" + model + set + "/test/dark/3.png"), 1, "the image is truncated");

    testing::fs::remove(set + "/train/bright/5.png");
    const testing::Result resumed = testing::lathe("train --resume --out " + run);
    CHECK(resumed.code == 1);
    CHECK(resumed.err.find("put back what was added, removed or renamed") != std::string::npos);
}
