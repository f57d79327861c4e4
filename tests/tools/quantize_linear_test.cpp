#include <doctest/doctest.h>

#include "trained.h"

using namespace testing;

namespace {

const std::string kLinear = "--method linear --calibration 64 ";

}  // namespace

TEST_CASE("quantize linear: 4-bit weights, trained; what comes out is what every command takes, and is small") {
    const Trained base;
    const std::string options =
        "--weight-bits 4 --end-bits 4 --layer-bits conv1=8 --observer auto --equalize --correct-bias --qat 1";
    const Result result = lathe(base.quantize(kLinear + options, "four"));
    INFO(result.err);
    REQUIRE(result.code == 0);
    const std::string file = base.folder / "four/quantized.safetensors";
    CHECK(result.out.find("calibrated on 64 images") != std::string::npos);
    CHECK(result.out.find("\nequalised ") != std::string::npos);
    CHECK(result.out.find("biases of 5 layers corrected") != std::string::npos);
    CHECK(result.out.find("\nfine-tuned ") != std::string::npos);
    CHECK(fs::file_size(file) * 5 < fs::file_size(base.model));
    CHECK(result.out.find("\nas integers: validation ") != std::string::npos);
    const std::string program = base.folder / "four/quantized-int8.safetensors";
    const Json simulated = Json::parse(lathe("eval --json --data shapes --model " + file).out);
    const Json integer = Json::parse(lathe("eval --json --data shapes --model " + program).out);
    CHECK(integer["top1"].get<double>() == doctest::Approx(simulated["top1"].get<double>()).epsilon(0.01));

    check_usable(base.folder, file);
    CHECK(lathe("profile --json --runs 1 --model " + file).code == 0);
    CHECK(lathe("compare --json --runs 1 " + base.model + " " + file).code == 0);
    check_fails(lathe(base.quantize(kLinear + "--bits 8", "four")), 1, "holds a run");
}

TEST_CASE("quantize linear: --explain only says, --adaround learns, fixed scales stay") {
    const Trained base;
    const Result said = lathe(base.quantize(kLinear + "--bits 3 --explain", "none"));
    INFO(said.err);
    CHECK(said.code == 0);
    CHECK(said.out.find("cheapest fix") != std::string::npos);
    CHECK_FALSE(fs::exists(base.folder / "none/quantized.safetensors"));
    const Result learned =
        lathe(base.quantize(kLinear + "--bits 4 --adaround 20 --qat 1 --fixed-scales --scale-rule pact", "ada"));
    INFO(learned.err);
    CHECK(learned.code == 0);
    CHECK(learned.out.find("rounding learned") != std::string::npos);
}

TEST_CASE("quantize linear: an interrupted run goes on to the same file, with the settings that it had") {
    const Trained base;
    check_resumes(base, kLinear + "--weight-bits 3 --qat 3 --ema 0.9 --equalize --observer mse",
                  {"quantized.safetensors", "quantized-int8.safetensors"});
}

TEST_CASE("quantize linear: with simulated norms an interrupted run goes on, and the file is like any other") {
    Trained base;
    REQUIRE(lathe("train --model ds-cnn --data shapes --limit 256 --epochs 1 --batch 64 --out " +
                  (base.folder / "norms")).code == 0);
    base.model = base.folder / "norms/best.safetensors";
    check_resumes(base, kLinear + "--weight-bits 4 --qat 3 --norms simulated --freeze-norms 1.5 --ema 0.9",
                  {"quantized.safetensors", "quantized-int8.safetensors"});
    check_usable(base.folder, base.folder / "whole/quantized.safetensors");
    CHECK(lathe("eval --json --data shapes --model " + (base.folder / "whole/best.safetensors")).code == 0);
}

TEST_CASE("quantize linear: what it refuses") {
    const Trained base;
    check_fails(lathe(base.quantize(kLinear + "--norms simulated", "bad")), 1,
                "--norms simulated is for training; expected --qat EPOCHS beside it");
    check_fails(lathe(base.quantize(kLinear + "--qat 1 --freeze-norms 1", "bad")), 1,
                "--freeze-norms is for simulated norms; expected --norms simulated beside it");
    check_fails(lathe(base.quantize(kLinear + "--activation-bits 9", "bad")), 2, "activation-bits");
    check_fails(lathe(base.quantize(kLinear + "--layer-bits conv1=9", "bad")), 1, "expected 2 to 8 bits, got 9");
    check_fails(lathe(base.quantize(kLinear + "--layer-bits conv9=4", "bad")), 1, "no parameter matches 'conv9'");
    check_fails(lathe(base.quantize(kLinear + "--observer mes", "bad")), 2, "observer");
    check_fails(lathe(base.quantize(kLinear + "--lr 0.1", "bad")), 1, "--lr is for training");
    check_fails(lathe(base.quantize(kLinear + "--init linear", "bad")), 1,
                "--init is for method kmeans; got method linear");
    REQUIRE(lathe(base.quantize(kLinear, "once")).code == 0);
    check_fails(lathe("quantize --method linear --data shapes --limit 512 --model " +
                      (base.folder / "once/quantized.safetensors") + " --out " + (base.folder / "twice")),
                1, "expected weights as they are or masked");
}
