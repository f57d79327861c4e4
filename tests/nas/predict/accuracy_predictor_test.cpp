#include "lathe/nas/predict/accuracy_predictor.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "lathe/core/text_table.h"
#include "lathe/nas/predict/features.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nas/made_up_table.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/optim/toy.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nas;
using lathe::testing::made_up_table;
using lathe::testing::message_of;

TEST_CASE("features are the lab's 128 numbers") {
    Arch arch = mcunetv2().smallest();
    arch.wid = 1, arch.image_size = 160, arch.d = {1, 0, 0, 0, 0, 2}, arch.ks[0] = 7, arch.e[19] = 6, arch.e[2] = 6;
    REQUIRE(feature_count(mcunetv2()) == 128);
    const Tensor x = features(mcunetv2(), {&arch, 1});
    std::vector<int64_t> ones;
    for (int64_t i = 0; i < 128; ++i)
        if (x.at(i) == 1) ones.push_back(i);
    // Of stage 1 two blocks of three run, of the next four two of four, and the last.
    const std::vector<int64_t> blocks{0, 1, 3, 4, 7, 8, 11, 12, 15, 16, 19};
    std::vector<int64_t> expected{4, 5 + 1};
    for (int64_t block : blocks) expected.push_back(8 + 3 * block + (block == 0 ? 2 : 0));
    for (int64_t block : blocks) expected.push_back(68 + 3 * block + (block == 19 ? 2 : 0));
    CHECK(ones == expected);
}

TEST_CASE("a table is read from CSV and from the course's JSON, and what is wrong with one is named") {
    const TemporaryFolder folder;
    const std::string ks(20, '3'), e(20, '4');
    const auto read = [&](const std::string& name, const std::string& text) {
        testing::write_file(folder / name, text);
        return read_accuracy_table(mcunetv2(), folder / name);
    };
    const auto says = [&](const std::string& name, const std::string& text) {
        const std::string message = message_of([&] { read(name, text); });
        return message.substr(message.find(name));
    };
    const std::string header = "resolution,shard,wid,ks,e,d,acc\n", row = "112,0,1," + ks + "," + e + ",012012,91.5\n";
    const AccuracyTable table = read("a.csv", header + row + "\r\n" + row);
    REQUIRE(table.size() == 2);
    CHECK(table[1].accuracy == doctest::Approx(0.915));
    CHECK(table[1].arch.image_size == 112);
    CHECK(table[1].arch.d == std::vector<int>{0, 1, 2, 0, 1, 2});
    const AccuracyTable same = read("a.json", "[[" + table[0].arch.str() + ", 91.5]]");
    REQUIRE(same.size() == 1);
    CHECK(same[0].arch == table[0].arch);
    CHECK(read("b.csv", "acc,d,e,ks,wid,resolution\n50,000000," + e + "," + ks + ",0,96")[0].accuracy == 0.5);

    CHECK(says("a.txt", row) == "a.txt: expected a column 'resolution' in the first line");
    CHECK(says("c.csv", "resolution,wid,ks,e,acc\n") == "c.csv: expected a column 'd' in the first line");
    CHECK(says("d.csv", header) == "d.csv: expected at least one row");
    CHECK(says("e.csv", header + row + "112,0,1\n") == "e.csv, line 3: expected 7 fields, got 3");
    CHECK(says("f.csv", header + "112,0,x," + ks + "," + e + ",012012,91.5\n") ==
          "f.csv, line 2: wid: expected a number, got 'x'");
    CHECK(says("g.csv", header + "112,0,1,33,44,012012,91.5\n") ==
          "g.csv, line 2.arch: ks: expected 20 numbers, got 2");
    CHECK(says("h.csv", header + "112,0,1," + ks + "," + e + ",012012,915\n") ==
          "h.csv, line 2: expected an accuracy from 0 to 100, got 915");
    CHECK(says("i.json", "[[{}]]") == "i.json, pair 1: expected a pair [arch, accuracy]");
    CHECK(says("j.json", "[[{}, 1]]") == "j.json, pair 1: arch: 'wid' is missing");
}

TEST_CASE("a predictor learns a table, is saved and loaded, and knows what it has never seen") {
    const TemporaryFolder folder;
    const AccuracyTable table = made_up_table(1000);
    const PredictorTraining training{
        .network = {.hidden = 32, .layers = 1}, .epochs = 30, .batch = 32, .lr = 3e-3, .seed = 3};
    const TrainedPredictor made = train_predictor(mcunetv2(), table, training);
    REQUIRE(made.report.measured.size() == 200);
    const AccuracyTable rows = held_out(table, training);
    REQUIRE(rows.size() == 200);
    for (size_t i = 0; i < 200; ++i) CHECK(made.report.measured[i] == static_cast<float>(rows[i].accuracy));
    CHECK(made.report.mae.size() == 30);
    CHECK(made.report.mae.back() < 0.5 * made.report.mean_mae);
    CHECK(made.report.kendall > 0.7);
    CHECK(made.report.spearman > made.report.kendall);
    CHECK(made.predictor.seen().choices.wid == std::vector<int>{0, 1});
    CHECK(made.predictor.seen().choices.ks == std::vector<int>{3, 5, 7});

    made.predictor.save(folder / "predictor.safetensors");
    const AccuracyPredictor again = AccuracyPredictor::load(folder / "predictor.safetensors");
    const std::vector<Arch> archs{table[0].arch, table[1].arch, mcunetv2().smallest()};
    CHECK(again(archs) == made.predictor(archs));
    CHECK(again(std::vector<Arch>{}).empty());
    CHECK(again.seen().count() == made.predictor.seen().count());

    const testing::ThreadScope one(1);
    CHECK(train_predictor(mcunetv2(), table, training).predictor(archs) == made.predictor(archs));

    auto lenet = nn::models::lenet5();
    nn::save(lenet, folder / "lenet.safetensors");
    CHECK(message_of([&] { AccuracyPredictor::load(folder / "lenet.safetensors"); })
              .ends_with("lenet.safetensors: expected an accuracy predictor, got a model of lenet5"));
    CHECK(message_of([&] { train_predictor(mcunetv2(), made_up_table(4), {}); }) ==
          "predictor: expected at least 2 rows to train with and 2 to measure with, got 3 and 1");
    CHECK(message_of([&] { train_predictor(mcunetv2(), table, {.hold_out = 1}); }) ==
          "predictor: expected to hold out a share between 0 and 1, got 1");
}

TEST_CASE("real data: the lab's table, and a predictor trained by the lab's recipe for three of its ten epochs") {
    const char* root = std::getenv("LATHE_DATA");
    if (!root) {
        MESSAGE("skipped: LATHE_DATA is not set");
        return;
    }
    const AccuracyTable table =
        read_accuracy_table(mcunetv2(), std::string(root) + "/ofa_mcunet_acc/ofa_mcunet_acc.csv.gz");
    REQUIRE(table.size() == 50000);
    double mean = 0, least = 1, most = 0;
    for (const auto& [arch, accuracy] : table) {
        mean += accuracy / 50000, least = std::min(least, accuracy), most = std::max(most, accuracy);
        CHECK(arch.wid < 2);
    }
    CHECK(mean == doctest::Approx(0.902551).epsilon(1e-6));
    CHECK(least == doctest::Approx(0.84537).epsilon(1e-5));
    CHECK(most == doctest::Approx(0.93596).epsilon(1e-5));

    const PredictorReport report = train_predictor(mcunetv2(), table, {.epochs = 3}).report;
    MESSAGE(report.str());
    CHECK(report.measured.size() == 10000);
    CHECK(report.mean_mae == doctest::Approx(0.0152).epsilon(0.02));
    CHECK(report.mae.back() < 0.0024);
    CHECK(report.spearman > 0.985);
}
