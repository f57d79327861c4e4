#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <sys/wait.h>

#include "lathe/core/random.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/models/description.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nn/branches.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::testing;

namespace {

std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

// Exit code of the command, and what it said on both streams.
std::pair<int, std::string> lathe_command(const std::string& arguments, const std::string& log) {
    const char* program = std::getenv("LATHE_BIN");
    const int status =
        std::system(((program ? program : "build/lathe") + (" " + arguments) + " >" + log + " 2>&1").c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000, text_of(log)};
}

// What stands between the first ```json and ``` of the README.
std::string readme_network() {
    const std::string readme = text_of("README.md");
    const size_t begin = readme.find("```json\n") + 8;
    return readme.substr(begin, readme.find("```", begin) - begin);
}

}  // namespace

TEST_CASE(
    "the network of the README trains by its description as the same network in C++, to the same bits after an epoch") {
    TemporaryFolder folder;
    std::ofstream(folder / "net.json") << readme_network();
    seed(4);
    nn::Model model("net", {.classes = 10, .input = {32, 32, 3}}, std::make_unique<Branches>(10));
    nn::save(model, folder / "first.safetensors");
    seed(4);
    const auto described = nn::model_from_description(readme_network(), "net", {.classes = 10});
    const auto weights = model.state();
    for (const auto& [name, tensor] : described->state()) CHECK(same(tensor, weights.at(name)));

    nn::save(*described, folder / "described.safetensors");
    const std::string options = " --data shapes --limit 256 --epochs 1 --batch 32 --lr 0.05 --seed 7 --out ";
    for (const char* name : {"first", "described"}) {
        const auto [code, log] = lathe_command(
            "train --init " + (folder / name) + ".safetensors" + options + (folder / ("run-" + std::string(name))),
            folder / "log");
        INFO(log);
        REQUIRE(code == 0);
    }
    const auto a = nn::load(folder / "run-first/last.safetensors")->state(),
               b = nn::load(folder / "run-described/last.safetensors")->state();
    for (const auto& [name, tensor] : a) CHECK(same(tensor, b.at(name)));
    CHECK_FALSE(same(a.at("conv1.weight"), weights.at("conv1.weight")));
    const auto [code, log] =
        lathe_command("train --model " + (folder / "net.json") + options + (folder / "run"), folder / "log");
    INFO(log);
    CHECK(code == 0);
}

TEST_CASE(
    "a network composed in C++ is evaluated, pruned, profiled, compared and trained on by the command, without its "
    "source") {
    TemporaryFolder folder;
    nn::Model model("branches", {.classes = 10, .input = {32, 32, 3}}, std::make_unique<Branches>(10));
    const std::string file = folder / "net.safetensors";
    nn::save(model, file);
    const std::string limit = " --data shapes --limit 128 ";
    for (const std::string& command :
         {"eval --data shapes --model " + file, "profile --runs 1 --model " + file,
          "prune --method channel --target-macs 0.6 --finetune 1 --model " + file + limit + "--out " +
              (folder / "small"),
          "prune --sparsity 0.8 --model " + file + limit + "--out " + (folder / "sparse"),
          "profile --runs 1 --model " + (folder / "small/pruned.safetensors"),
          "compare --runs 1 --data shapes " + file + " " + (folder / "small/pruned.safetensors") + " " +
              (folder / "sparse/pruned.safetensors"),
          "train --init " + (folder / "small/pruned.safetensors") + limit + "--epochs 1 --out " + (folder / "again")}) {
        const auto [code, log] = lathe_command(command, folder / "log");
        INFO(command, "\n", log);
        CHECK(code == 0);
    }
    CHECK(nn::load(folder / "again/best.safetensors")->parameter_count() < model.parameter_count());
}

TEST_CASE("a network of flat pixels, of colours or greys, trains on a folder and then takes its images as it did") {
    const TemporaryFolder folder;
    for (const char* split : {"train", "val"})
        for (const auto& [name, at] : {std::pair("dark", 20), std::pair("light", 200)})
            for (int i = 0; i < 12; ++i)
                write_file(folder / "set/" + split + "/" + name + "/" + std::to_string(i) + ".png",
                           encode_png(plain_image(9, 9, {static_cast<uint8_t>(at + i)})));
    const std::string set = " --data folder:" + (folder / "set");
    for (const int64_t features : {192, 64}) {
        const std::string name = "flat" + std::to_string(features), run = folder / (name + "-run"),
                          model = " --model " + run + "/best.safetensors ";
        std::ofstream(folder / (name + ".json"))
            << R"({"input": [)" << features << R"(], "layers": [{"name": "fc", "op": "linear", "out": "classes"}]})";
        for (const auto& [command, said] :
             {std::pair("train --epochs 4 --batch 4 --model " + (folder / (name + ".json")) + set + " --out " + run,
                        "input [" + std::to_string(features) + "]"),
              std::pair("eval" + model + set, std::string("top-1 100.00%")),
              std::pair("predict" + model + (folder / "set/val/dark/3.png"), std::string("3.png  dark ")),
              std::pair("predict" + model + (folder / "set/val/light/3.png"), std::string("3.png  light ")),
              std::pair("scan --images 4" + model + set, std::string("fc.weight")),
              std::pair("prune --sparsity 0.5" + model + set + " --out " + (folder / (name + "-half")),
                        std::string("fc.weight"))}) {
            const auto [code, log] = lathe_command(command, folder / "log");
            INFO(command, "\n", log);
            CHECK(code == 0);
            CHECK(log.find(said) != std::string::npos);
        }
        CHECK(nn::load(run + "/best.safetensors")->scaling.mean.size() == (features == 192 ? 3 : 1));
    }
}

TEST_CASE("a description that does not hold, and a file of an earlier version, are refused in one line") {
    TemporaryFolder folder;
    std::string text = readme_network();
    text.replace(text.find("conv2d"), 6, "convd");
    std::ofstream(folder / "net.json") << text;
    auto [code, log] = lathe_command(
        "train --model " + (folder / "net.json") + " --data shapes --out " + (folder / "run"), folder / "log");
    CHECK(code == 1);
    CHECK(log == "lathe: net.conv1: no op is called 'convd'; did you mean 'conv2d'?\n");
    CHECK_FALSE(std::filesystem::exists(folder / "run"));

    std::ofstream(folder / "net.json")
        << R"({"input": [8, 8, 3], "layers": [{"name": "conv", "op": "conv2d", "out": 4, "kernel": 3}]})";
    std::tie(code, log) = lathe_command(
        "train --model " + (folder / "net.json") + " --data shapes --out " + (folder / "run"), folder / "log");
    CHECK(code == 1);
    CHECK(log == "lathe: net: expected an output for each class, or one like the input [1, 8, 8, 3], got "
                 "[1, 6, 6, 4]\n");
    CHECK_FALSE(std::filesystem::exists(folder / "run"));

    nn::Model model("branches", {.classes = 10, .input = {32, 32, 3}}, std::make_unique<Branches>(10));
    TensorFile old = nn::to_file(model);
    old.metadata["lathe.version"] = "1";
    write_safetensors(folder / "old.safetensors", old);
    std::tie(code, log) = lathe_command("eval --data shapes --model " + (folder / "old.safetensors"), folder / "log");
    CHECK(code == 1);
    CHECK(log == "lathe: " + (folder / "old.safetensors") + ": expected a model of version 2, got '1'\n");
}
