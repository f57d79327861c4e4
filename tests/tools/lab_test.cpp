#include <doctest/doctest.h>

#include "lathe/compress/integer/program_file.h"
#include "lathe/data/shapes.h"
#include "lathe/nn/codebook.h"
#include "lathe/nn/models/lenet5.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nas/made_up_table.h"
#include "lathe/tests/tools/command.h"

using namespace testing;
namespace data = lathe::data;
namespace nn = lathe::nn;
namespace optim = lathe::optim;
using ::lathe::testing::encode_png, ::lathe::testing::json_of, ::lathe::testing::made_up_table;
using ::lathe::testing::write_file;

namespace {

// Runs a lab's program, which stands beside the command.
Result lab(const char* name, const std::string& arguments) {
    return shell("exec " + fs::path(binary()).replace_filename(name).string() + " " + arguments);
}
Result lab1(const std::string& arguments) { return lab("lab1_pruning", arguments); }

// Pictures of ten classes of shapes, as few as a lab can do with.
void write_pictures(const Folder& folder) {
    lathe::Random random(1);
    for (const data::Split split : {data::Split::train, data::Split::test}) {
        const data::Dataset images = data::shapes(split);
        for (int64_t i = 0; i < (split == data::Split::train ? 80 : 20); ++i)
            write_file(folder / "pictures/" + data::name_of(split) + "/" +
                           images.classes()[static_cast<size_t>(images.label(i))] + "/" + std::to_string(i) + ".png",
                       encode_png(images.image(i, random)));
    }
}
std::string on_pictures(const Folder& folder) {
    return " --data folder:" + (folder / "pictures") + " --scan-images 20 --train-epochs 1 --epochs 1 --out " +
           (folder / "lab");
}

}  // namespace

TEST_CASE("without a model the pruning lab trains its own the first time, and sets the reference beside its figures") {
    const Folder folder;
    CHECK(lab1("--help").out.find("--data TEXT=shapes") != std::string::npos);
    write_pictures(folder);
    for (const bool first : {true, false}) {
        const Result result = lab1(on_pictures(folder));
        INFO(result.out, result.err);
        REQUIRE(result.code == 0);
        const auto has = [&](const char* words) { return result.out.find(words) != std::string::npos; };
        CHECK(has("no --model: training vgg-cifar") == first);
        for (const char* words : {"the reference: scans, chooses and reports on the test images", "points lost by",
                                  "Beside the reference", "22.13%", "fewer MACs"})
            CHECK(has(words));
        if (first) CHECK(nn::load(folder / "lab/dense.safetensors")->parameter_count() == 145554);
    }
}

TEST_CASE("the pruning lab goes through all questions on a small network") {
    const Folder folder;
    lathe::seed(1);
    nn::Model model = nn::models::lenet5({.classes = 10, .input = {32, 32, 3}});
    const data::Dataset train = data::shapes(data::Split::train, {.count = 512}),
                        test = data::shapes(data::Split::test, {.count = 64});
    optim::Trainer(model, optim::sgd({.lr = 0.05})).fit(train, test, {.epochs = 1, .batch = 64});
    nn::save(model, folder / "model.safetensors");

    const Result result = lab1("--model " + (folder / "model.safetensors") +
                               " --data shapes --limit 600 --scan-images 100 --epochs 1 --out " + (folder / "lab"));
    INFO(result.out, result.err);
    REQUIRE(result.code == 0);
    for (const char* words : {"sparsity 0.75, 19 zeros", "6 weights left", "sparsity 0.60, 15 zeros", "10 weights left",
                              "most sensitive:", "packed 2", "accuracy before sorting", "fine-grained"})
        CHECK(result.out.find(words) != std::string::npos);
    for (const char* name :
         {"sparse.safetensors", "channels.safetensors", "scan.json", "weights_dense.gnuplot", "weights_pruned.gnuplot",
          "weights_finetuned.gnuplot", "sensitivity.gnuplot", "parameters.gnuplot"})
        CHECK(fs::exists(folder / "lab" + "/" + name));

    const std::string none = "--model " + (folder / "none.safetensors") + " --data shapes --out ";
    check_fails(lab1(none + (folder / "lab")), 1, "none.safetensors");
    check_fails(lab1(none + (folder / "model.safetensors/lab")), 1, "lab: cannot make the folder");
}

TEST_CASE("the quantization lab goes from one tensor to a network of integers, every integer as the course has it") {
    const Folder folder;
    write_pictures(folder);
    const Result result = lab("lab2_quantization", on_pictures(folder));
    INFO(result.out, result.err);
    REQUIRE(result.code == 0);
    for (const char* words :
         {"sum of squared errors 0.0792215,", "S = 1.00 / 3 = 0.3333, Z = round(-2 - (-0.25) / S) = -1",
          " -1  0 -3 -1 -3  0  2 -4\n", "  0  0  0  0  0  1 -1 -2\n", "30 modules become 22",
          "relus left in the integer program: 0", "compares the quantized bias with itself", "32 bits over it",
          "91.10% to 91.47%"})
        CHECK_MESSAGE(result.out.find(words) != std::string::npos, words);
    for (const char* name :
         {"dense.safetensors", "codebooks_4_bits_means.safetensors", "codebooks_2_bits_sums.safetensors",
          "int8.safetensors", "codebooks_4_bits.gnuplot", "codebooks_2_bits.gnuplot", "integers_4_bits.gnuplot",
          "integers_2_bits.gnuplot", "accuracy_over_bits.gnuplot"})
        CHECK_MESSAGE(fs::exists(folder / "lab" + "/" + name), name);
    const auto shared = nn::load(folder / "lab/codebooks_2_bits_means.safetensors");
    CHECK(shared->named_parameters("backbone.conv7.weight")[0].second->find_transform<nn::Codebook>()->bits() == 2);
    CHECK(lathe::compress::load_program(folder / "lab/int8.safetensors")->about().class_names.size() == 10);
}

TEST_CASE("the architecture search lab goes through all questions on a made-up table") {
    const Folder folder;
    write_pictures(folder);  // of the built-in images the test set alone takes minutes under a sanitizer
    write_file(folder / "table.json", json_of(made_up_table(300)));
    const Result result =
        lab("lab3_nas", "--table " + (folder / "table.json") + " --data folder:" + (folder / "pictures") +
                            " --epochs 2 --iterations 5 --generations 5 --seeds 2 --train-epochs 1"
                            " --subnets 10 --qat 1 --out " + (folder / "lab"));
    INFO(result.out, result.err);
    REQUIRE(result.code == 0);
    for (const char* words : {"8,302,128   8,302,128", "79,416,432  79,416,432", "misspells the key", "Kendall tau",
                              "60 M & 250 KB", "15 M & 256 KB: can be met", "cannot be met, the least is 72 KB",
                              "networks, from", "39876894864 networks in one",
                              "limit: 6.87149 M MACs", "a predictor from 8 of them", "integers alone"})
        CHECK(result.out.find(words) != std::string::npos);
    for (const char* name : {"predictor.safetensors", "predictor.gnuplot", "search.gnuplot", "front.gnuplot",
                             "smallest.svg", "found.svg",
                             "supernet.safetensors", "own_predictor.gnuplot", "own_found.svg", "own-int8.safetensors"})
        CHECK(fs::exists(folder / "lab" + "/" + name));
    check_fails(lab("lab3_nas", "--table " + (folder / "none.csv")), 1, "none.csv");
    check_fails(lab("lab3_nas", "--table " + (folder / "table.json") +
                                    " --epochs 1 --iterations 1 --generations 1 --seeds 1 --space ofa-resnet-cifar "
                                    "--out " + (folder / "lab")),
                1, "expected the space ofa-resnet-cifar, got ofa-mobilenet-cifar; another --out trains anew");
}
