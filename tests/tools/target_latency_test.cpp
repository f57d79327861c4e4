#include "command.h"

#include "lathe/compress/budget/latency.h"
#include "lathe/data/shapes.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/lenet5.h"

// What the clock says of layers this small depends on what else the machine does, so the dense ones get their times
// here: an hour each, beside which those that the command measures of smaller ones count for nothing.
TEST_CASE("channels are cut to half the latency by times measured once and kept in the run's folder") {
    const testing::Folder folder;
    lathe::seed(1);
    lathe::nn::Model dense = lathe::nn::models::lenet5({.classes = 10, .input = {32, 32, 3}});
    dense.class_names = lathe::data::shapes(lathe::data::Split::test).classes();
    lathe::nn::save(dense, folder / "dense.safetensors");

    testing::fs::create_directories(folder / "run");
    const std::string times = folder / "run/latency.json";
    const auto hours = [&](lathe::nn::Model& model) {
        lathe::compress::LatencyTable table(times, [](const auto&, auto, double) { return 3600; });
        return table.seconds(lathe::nn::trace(model, model.example())) / 3600;
    };
    CHECK(hours(dense) == 5);
    const testing::Result cut =
        testing::lathe("prune --method channel --target-latency 0.5 --data shapes --limit 64 --model " +
                       (folder / "dense.safetensors") + " --out " + (folder / "run"));
    INFO(cut.err);
    REQUIRE(cut.code == 0);
    CHECK(testing::Json::parse(testing::text_of(times)).size() > 10);  // those that it tried, too
    const double left = hours(*lathe::nn::load(folder / "run/pruned.safetensors"));
    CHECK(left < 2.5);  // one that the command had not measured would add an hour
    CHECK(left > 2);    // the budget has room for two layers as they were
}
