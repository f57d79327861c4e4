#include <doctest/doctest.h>

#include "trained.h"

using namespace testing;

namespace {

Json profile_of(const std::string& file) {
    return Json::parse(lathe("profile --json --runs 1 --model " + file).out);
}

}  // namespace

TEST_CASE("quantize: a target of bytes chooses the bits of each layer, and is met") {
    const Trained base;
    const Result result = lathe(base.quantize("--target-size 0.1 --scan-images 64", "tenth"));
    INFO(result.err);
    REQUIRE(result.code == 0);
    CHECK(result.out.find("bits for 0.1 of the given bytes, from 64 held-out images:") != std::string::npos);
    CHECK(result.out.find("\nloss on the held-out images: ") != std::string::npos);
    const std::string file = base.folder / "tenth/quantized.safetensors";
    CHECK(profile_of(file)["packed_bytes"] <= 33250);  // of 332,504
    CHECK(profile_of(file)["packed_bytes"] > 27000);
    const Json compared = Json::parse(lathe("compare --json --runs 1 " + base.model + " " + file).out);
    CHECK(compared[0]["weight_bits"] == 32);
    CHECK(compared[1]["weight_bits"].get<double>() > 2);
    CHECK(compared[1]["weight_bits"].get<double>() < 4);
    check_fails(lathe(base.quantize("--target-size 0.05 --scan-images 64", "less")), 1,
                "allocate: expected a target of at least 0.06");
}

TEST_CASE("quantize linear: targets of bit operations and of time; the program comes of it") {
    const Trained base;
    const std::string linear = "--method linear --calibration 64 --scan-images 64 ";
    for (const std::string target : {"bops 0.02 --sparsities 0,0.5", "latency 1 --per-tensor"}) {
        const std::string name = target.substr(0, 4);
        const Result result = lathe(base.quantize(linear + "--target-" + target, name));
        INFO(result.err);
        REQUIRE(result.code == 0);
        CHECK(result.out.find("\nas integers: validation ") != std::string::npos);
        CHECK(lathe("eval --json --data shapes --model " + (base.folder / (name + "/quantized-int8.safetensors")))
                  .code == 0);
    }
    CHECK(profile_of(base.folder / "bops/quantized.safetensors")["nonzeros"] < 80000);
}

TEST_CASE("quantize: zeros and bits of one budget; an interrupted run goes on to the same file") {
    const Trained base;
    check_resumes(base, "--target-size 0.05 --sparsities 0,0.5,0.8 --scan-images 64 --finetune 3",
                  {"quantized.safetensors"});
    const Json profile = profile_of(base.folder / "whole/quantized.safetensors");
    CHECK(profile["packed_bytes"] <= 16625);
    CHECK(profile["nonzeros"] < 60000);
}

TEST_CASE("scan: bits, alone and with sparsities, of codebooks and of integers") {
    const Trained base;
    const std::string scan = "scan --json --data shapes --images 32 --model " + base.model + " ";
    const Json bits = Json::parse(lathe(scan + "--bits 2,8 --out " + (base.folder / "scan")).out);
    REQUIRE(bits["layers"].size() == 5);
    REQUIRE(bits["layers"][0]["points"].size() == 2);
    CHECK(bits["layers"][0]["points"][1]["bits"] == 8);
    CHECK(bits["layers"][0]["points"][1]["sparsity"] == 0);
    CHECK(text_of(base.folder / "scan/scan.gnuplot").find("set xlabel 'bits'") != std::string::npos);
    const Json both = Json::parse(lathe(scan + "--bits 2,8 --sparsities 0,0.5 --method linear").out);
    CHECK(both["layers"][0]["points"].size() == 4);
    CHECK(both["few_bits"] == "channel_scales");
}
