#include <doctest/doctest.h>

#include "trained.h"

using namespace testing;

TEST_CASE("quantize: a file of codebooks is what every command takes, and is as small as it says") {
    const Trained base;
    const Result result =
        lathe(base.quantize("--method kmeans --bits 4 --layer-bits conv1=8,conv2=5 --finetune 1", "four"));
    INFO(result.err);
    REQUIRE(result.code == 0);
    const std::string file = base.folder / "four/quantized.safetensors";
    CHECK(result.out.find("conv1.weight      450       450     8") != std::string::npos);
    CHECK(result.out.find("conv2.weight     2400      2400     5") != std::string::npos);
    CHECK(result.out.find("\nvalidation accuracy: given ") != std::string::npos);
    CHECK(result.out.find("\nfine-tuned ") != std::string::npos);
    CHECK(result.out.find("entropy bound") != std::string::npos);
    CHECK(fs::file_size(file) * 6 < fs::file_size(base.model));

    check_usable(base.folder, file);
    const Json profile = Json::parse(lathe("profile --json --runs 1 --model " + file).out);
    int64_t packed = 0;
    for (const Json& layer : profile["layers"]) packed += layer["packed_bytes"].get<int64_t>();
    CHECK(profile["packed_bytes"] == packed);
    CHECK(profile["layers"][0]["packed_bytes"] == 450 + 256 * 4 + 6 * 4);  // indices of 8 bits, codebook, bias
    const Json fast = profile["layers"][0],
               slim = Json::parse(lathe("profile --json --runs 1 --smallest-weights --model " + file).out)["layers"][0];
    CHECK(slim["kernel"].get<std::string>().ends_with(" 8-bit"));
    CHECK(slim["weight_bytes"] < fast["weight_bytes"]);
    const Json compared = Json::parse(lathe("compare --json --runs 1 " + base.model + " " + file).out);
    CHECK(compared[1]["file_bytes"] == fs::file_size(file));
    check_fails(lathe(base.quantize("--bits 2", "four")), 1, "holds a run");
}

TEST_CASE("quantize: pruned, quantized and Huffman coded, the file gives the same as the packed one, and is smaller") {
    const Trained base;
    REQUIRE(lathe("prune --model " + base.model + " --data shapes --limit 512 --sparsity 0.9 --out " +
                  (base.folder / "pruned"))
                .code == 0);
    const std::string from = "quantize --data shapes --limit 512 --bits 3 --model " +
                             (base.folder / "pruned/pruned.safetensors") + " --out ";
    REQUIRE(lathe(from + (base.folder / "packed")).code == 0);
    const Result coded = lathe(from + (base.folder / "coded") + " --coding huffman");
    REQUIRE(coded.code == 0);
    const std::string packed = base.folder / "packed/quantized.safetensors",
                      huffman = base.folder / "coded/quantized.safetensors.gz";
    CHECK(fs::file_size(huffman) < fs::file_size(packed));
    const auto eval = [](const std::string& file) { return lathe("eval --json --data shapes --model " + file).out; };
    CHECK(eval(huffman) == eval(packed));
    CHECK(Json::parse(lathe("profile --json --runs 1 --model " + huffman).out)["nonzeros"] ==
          Json::parse(lathe("profile --json --runs 1 --model " + packed).out)["nonzeros"]);
    check_fails(lathe(from + (base.folder / "coded")), 1, "holds a run");
    REQUIRE(lathe(from + (base.folder / "coded") + " --force").code == 0);
    CHECK_FALSE(fs::exists(huffman));
    CHECK(text_of(base.folder / "coded/quantized.safetensors") == text_of(packed));
}

TEST_CASE("quantize: an interrupted run goes on to the same file") {
    const Trained base;
    for (const std::string gradient : {"mean", "sum --lr 0.0001"})
        check_resumes(base, "--bits 2 --finetune 3 --ema 0.9 --gradient " + gradient, {"quantized.safetensors"},
                      gradient.substr(0, 3));
}
