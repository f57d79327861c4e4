#include "command.h"

#include "lathe/compress/integer/lower.h"
#include "lathe/compress/integer/program_file.h"
#include "lathe/compress/quantize/prepare.h"
#include "lathe/data/shapes.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/registry.h"

using testing::Json;
using testing::check_fails;

TEST_CASE("eval, profile, predict and compare take integer programs; what trains refuses them") {
    const testing::Folder folder;
    const std::string network = folder / "lenet.safetensors", program = folder / "lenet-int8.safetensors";
    {
        const lathe::data::Dataset images = lathe::data::shapes(lathe::data::Split::train, {.count = 128});
        lathe::seed(1);
        const auto model = lathe::nn::make_model("lenet5", {.classes = 10, .input = images.input_shape()});
        model->class_names = images.classes();
        lathe::nn::save(*model, network);
        const auto quantized = lathe::compress::prepare_quantization(*model, images);
        lathe::compress::save(lathe::compress::lower_to_integer(*quantized.model), program);
    }
    const testing::Result eval = testing::lathe("eval --json --data shapes --model " + program);
    INFO(eval.err);
    REQUIRE(eval.code == 0);
    CHECK(Json::parse(eval.out)["total"] == 4000);

    const Json profile = Json::parse(testing::lathe("profile --json --runs 2 --model " + program).out);
    CHECK(profile["macs"] == Json::parse(testing::lathe("profile --json --runs 2 --model " + network).out)["macs"]);
    CHECK(profile["params"] == Json::parse(testing::lathe("profile --json --runs 2 --model " + network).out)["params"]);
    CHECK(profile["memory_plan"]["total"] >= profile["memory_plan"]["lower_bound"]);
    CHECK(profile["peak_integer_gops"] > 0);
    const Json three = Json::parse(testing::lathe("profile --json --runs 1 --batch 3 --model " + program).out);
    CHECK(three["memory_plan"]["total"] == 3 * profile["memory_plan"]["total"].get<int64_t>());
    CHECK(three["layers"][0]["output"][0] == 3);
    const std::string table = testing::lathe("profile --runs 2 --model " + program).out;
    CHECK(table.find("int_conv2d") != std::string::npos);
    CHECK(table.find("GOP/s of integers") != std::string::npos);

    testing::write_bmp(folder / "grey.bmp");
    const testing::Result predict = testing::lathe("predict --json --model " + program + " " + (folder / "grey.bmp"));
    REQUIRE(predict.code == 0);
    CHECK(Json::parse(predict.out)[0]["predictions"].size() == 3);

    const Json rows = Json::parse(testing::lathe("compare --json --runs 3 " + network + " " + program).out);
    CHECK(rows[0]["macs"] == rows[1]["macs"]);
    CHECK(rows[0]["params"] == rows[1]["params"]);
    CHECK(rows[1]["effective_macs"] == profile["effective_macs"]);
    CHECK(rows[1]["effective_macs"] < rows[1]["macs"]);  // some weights round to zero
    CHECK(rows[1]["file_bytes"] < rows[0]["file_bytes"]);
    CHECK(rows[1]["peak_activation_bytes"] < rows[0]["peak_activation_bytes"]);

    check_fails(testing::lathe("profile --backward --model " + program), 1, "an integer program, which does not train");
    check_fails(testing::lathe("scan --data shapes --model " + program), 1, "got an integer program");
    check_fails(testing::lathe("profile --model " + program + " --weights " + network), 1, "has its weights");
}
