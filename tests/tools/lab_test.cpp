#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "lathe/data/shapes.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nas/made_up_table.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;

namespace {

// What a lab's program, beside the command under test, prints and returns.
std::pair<int, std::string> lab(const char* name, const std::string& arguments, const std::string& log) {
    const char* binary = std::getenv("LATHE_BIN");
    const std::string program = std::filesystem::path(binary ? binary : "build/lathe").replace_filename(name).string();
    const int status = std::system((program + " " + arguments + " >" + log + " 2>&1").c_str());
    std::ostringstream text;
    text << std::ifstream(log).rdbuf();
    return {WEXITSTATUS(status), text.str()};
}

std::pair<int, std::string> lab1(const std::string& arguments, const std::string& log) {
    return lab("lab1_pruning", arguments, log);
}

}  // namespace

TEST_CASE("without a model the pruning lab trains its own the first time, and sets the reference beside its figures") {
    const TemporaryFolder folder;
    CHECK(lab1("--help", folder / "log").second.find("--data TEXT=shapes") != std::string::npos);
    Random random(1);
    for (const data::Split split : {data::Split::train, data::Split::test}) {
        const data::Dataset images = data::shapes(split);
        for (int64_t i = 0; i < (split == data::Split::train ? 80 : 20); ++i)
            testing::write_file(folder / "pictures/" + data::name_of(split) + "/" +
                                    images.classes()[static_cast<size_t>(images.label(i))] + "/" + std::to_string(i) +
                                    ".png",
                                testing::encode_png(images.image(i, random)));
    }
    const std::string small = " --data folder:" + (folder / "pictures") +
                              " --scan-images 20 --train-epochs 1 --epochs 1 --out " + (folder / "lab");
    for (const bool first : {true, false}) {
        const auto [code, text] = lab1(small, folder / "log");
        INFO(text);
        REQUIRE(code == 0);
        const auto has = [&](const char* words) { return text.find(words) != std::string::npos; };
        CHECK(has("no --model: training vgg-cifar") == first);
        for (const char* words : {"the reference: scans, chooses and reports on the test images", "points lost by",
                                  "Beside the reference", "22.13%", "fewer MACs"})
            CHECK(has(words));
        if (first) CHECK(nn::load(folder / "lab/dense.safetensors")->parameter_count() == 145554);
    }
}

TEST_CASE("the pruning lab goes through all questions on a small network") {
    const TemporaryFolder folder;
    seed(1);
    nn::Model model = nn::models::lenet5({.classes = 10, .input = {32, 32, 3}});
    const data::Dataset train = data::shapes(data::Split::train, {.count = 512}),
                        test = data::shapes(data::Split::test, {.count = 64});
    optim::Trainer(model, optim::sgd({.lr = 0.05})).fit(train, test, {.epochs = 1, .batch = 64});
    nn::save(model, folder / "model.safetensors");

    const auto [code, text] =
        lab1("--model " + (folder / "model.safetensors") +
                 " --data shapes --limit 600 --scan-images 100 --epochs 1 --out " + (folder / "lab"),
             folder / "log");
    INFO(text);
    REQUIRE(code == 0);
    for (const char* words : {"sparsity 0.75, 19 zeros", "6 weights left", "sparsity 0.60, 15 zeros", "10 weights left",
                              "most sensitive:", "packed 2", "accuracy before sorting", "fine-grained"})
        CHECK(text.find(words) != std::string::npos);
    for (const char* name :
         {"sparse.safetensors", "channels.safetensors", "scan.json", "weights_dense.gnuplot", "weights_pruned.gnuplot",
          "weights_finetuned.gnuplot", "sensitivity.gnuplot", "parameters.gnuplot"})
        CHECK(std::filesystem::exists(folder / "lab" + "/" + name));

    CHECK(lab1("--model " + (folder / "none.safetensors") + " --data shapes --out " + (folder / "lab"), folder / "log")
              .first == 1);
}

TEST_CASE("the architecture search lab goes through all questions on a made-up table") {
    const TemporaryFolder folder;
    testing::write_file(folder / "table.json", testing::json_of(testing::made_up_table(300)));
    const auto [code, text] =
        lab("lab3_nas", "--table " + (folder / "table.json") +
                            " --epochs 2 --iterations 5 --generations 5 --seeds 2 --out " + (folder / "lab"),
            folder / "log");
    INFO(text);
    REQUIRE(code == 0);
    for (const char* words : {"8,302,128   8,302,128", "79,416,432  79,416,432", "misspells the key", "Kendall tau",
                              "60 M & 250 KB", "15 M & 256 KB: can be met", "cannot be met, the least is 72 KB",
                              "networks, from"})
        CHECK(text.find(words) != std::string::npos);
    for (const char* name : {"predictor.safetensors", "predictor.gnuplot", "search.gnuplot", "front.gnuplot",
                             "smallest.svg", "found.svg"})
        CHECK(std::filesystem::exists(folder / "lab" + "/" + name));
    const auto [failed, message] = lab("lab3_nas", "--table " + (folder / "none.csv"), folder / "log");
    CHECK(failed == 1);
    CHECK(message.find("none.csv") != std::string::npos);
}
