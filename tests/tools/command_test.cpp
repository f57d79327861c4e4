#include "command.h"

#include <doctest/doctest.h>

using namespace testing;

namespace {

std::string train(const std::string& out, const std::string& more = {}) {
    return "train --model lenet5 --data shapes --limit 512 --epochs 2 --batch 64 --seed 3 --out " + out + " " + more;
}

}  // namespace

TEST_CASE("help names every command and option") {
    const Result all = lathe("--help");
    CHECK(all.code == 0);
    for (const std::string command :
         {"train", "prune", "quantize", "scan", "eval", "profile", "compare", "predict", "tune", "nas", "info"}) {
        CHECK(all.out.find(command) != std::string::npos);
        const Result one = lathe(command + " --help");
        CHECK(one.code == 0);
        CHECK(one.out.find("--help") != std::string::npos);
    }
    CHECK(lathe("info").out.find("resnet20") != std::string::npos);
}

TEST_CASE("tune measures a table that other commands then use") {
    Folder folder;
    const std::string file = folder / "cache/table.txt";
    const Result tuned = lathe("tune --threads 1 --seconds 0.01 --out " + file);
    REQUIRE(tuned.code == 0);
    CHECK(tuned.out.find("winograd4") != std::string::npos);
    CHECK(tuned.out.find("written to " + file) != std::string::npos);
    CHECK(text_of(file).starts_with("lathe speed 3 "));
    CHECK(lathe("info").out.find("by the shipped table (") != std::string::npos);
    setenv("LATHE_TUNE", file.c_str(), 1);
    CHECK(lathe("info").out.find("by " + file + " (") != std::string::npos);
    std::ofstream(file) << "damaged\n";
    check_fails(lathe("info"), 1, file + ": expected 'lathe speed 3 ");
    setenv("LATHE_TUNE", "none", 1);
    check_fails(lathe("tune --seconds 0"), 2, "--seconds: expected a number above 0, got 0");
}

TEST_CASE("wrong usage is one line and exit code 2") {
    check_fails(lathe(""), 2, "A subcommand is required");
    check_fails(lathe("trian"), 2, "trian");
    check_fails(lathe("train --out x --frobnicate 3"), 2, "frobnicate");
    check_fails(lathe("train --out x --epochs many"), 2, "--epochs: expected a number above 0, got many");
    check_fails(lathe("train --out x --epochs 0"), 2, "--epochs: expected a number above 0, got 0");
    check_fails(lathe("train --out x --lr inf"), 2, "--lr: expected a number of 0 or more, got inf");
    check_fails(lathe("train --out x --optimizer sdg"), 2, "sdg");
    check_fails(lathe("eval --model x"), 2, "--data");
}

TEST_CASE("bad input is one line and exit code 1") {
    const Folder folder;
    check_fails(lathe("train --model resnet21 --data shapes --out " + (folder / "a")), 1, "resnet20");
    check_fails(lathe("train --model resnet20 --data cifar11 --out " + (folder / "a")), 1, "cifar10");
    check_fails(
        lathe("train --model lenet5 --data mnist --data-root " + (folder / "none") + " --out " + (folder / "a")), 1,
        "none");
    check_fails(lathe("train --model lenet5 --data folder:" + (folder / "none") + " --out " + (folder / "a")), 1,
                "none");
    check_fails(lathe("train --model lenet5 --data shapes --lr-schedule linear --out " + (folder / "a")), 1, "linear");
    check_fails(lathe("train --model lenet5 --data shapes --augment crop:x --out " + (folder / "a")), 1, "crop");
    check_fails(lathe("train --model lenet5 --data shapes --freeze fc9 --out " + (folder / "a")), 1, "fc");
    check_fails(lathe("train --model lenet5 --data shapes --out /proc/no/such/folder"), 1, "/proc/no/such/folder");
    check_fails(lathe("train --data shapes --out " + (folder / "a")), 1, "--model");
    check_fails(lathe("train --resume --out " + (folder / "empty")), 1, "config.json");
    check_fails(lathe("profile --model vgg-cifar --input 4x4x3"), 1, "4");
    check_fails(lathe("profile --model vgg-cifar --input 32x32"), 1, "32x32x3");
    check_fails(lathe("profile --model vgg-cifar --input 32x32x3x1"), 1, "32x32x3");
    check_fails(lathe("profile --model vgg-cifar --input 32"), 1, "[32, 32, 3]");
    check_fails(lathe("train --model autoencoder --input 640 --data shapes --out " + (folder / "a")), 1,
                "HEIGHTxWIDTHxCHANNELS");
    check_fails(lathe("train --model lenet5 --data shapes --limit 3 --validation 0.01 --out " + (folder / "a")), 1,
                "leaves 3 and 0");
    check_fails(lathe("eval --model " + (folder / "none.safetensors") + " --data shapes"), 1, "none.safetensors");
    std::ofstream(folder / "short.safetensors") << "abc";
    check_fails(lathe("eval --model " + (folder / "short.safetensors") + " --data shapes"), 1, "short.safetensors");
}

TEST_CASE("train, eval, predict and profile work on one saved file") {
    const Folder folder;
    const std::string run = folder / "run";
    const Result trained = lathe(train(run));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    for (const char* name : {"last.safetensors", "best.safetensors", "log.csv", "config.json"})
        CHECK(fs::exists(run + "/" + name));
    const std::string log = text_of(run + "/log.csv");
    CHECK(std::count(log.begin(), log.end(), '\n') == 3);  // names, two epochs
    CHECK(log.starts_with("epoch,train_loss,train_accuracy,validation_loss,validation_accuracy,"));
    CHECK(trained.out.find("images, 10% of the training images, held out\n") != std::string::npos);
    CHECK(trained.out.find("\ntest: loss ") != std::string::npos);
    const Json settings = Json::parse(text_of(run + "/config.json"));
    CHECK(settings["validation"] == 0.1);
    CHECK(settings["epochs"] == 2);
    CHECK(settings["model"] == "lenet5");
    CHECK(settings["momentum"] == 0.9);

    const std::string model = run + "/best.safetensors";
    const Json result = Json::parse(lathe("eval --json --data shapes --model " + model).out);
    CHECK(result["total"].get<int>() > 0);
    CHECK(result["top1"].get<double>() ==
          doctest::Approx(100.0 * result["correct"].get<double>() / result["total"].get<double>()));
    CHECK(result["loss"].get<double>() > 0);
    CHECK(lathe("eval --data shapes --model " + model).out.find("top-1") != std::string::npos);

    write_bmp(folder / "grey.bmp");
    const Json named = Json::parse(lathe("predict --json --top 10 --model " + model + " " + (folder / "grey.bmp")).out);
    REQUIRE(named.size() == 1);
    double total = 0;
    for (const Json& prediction : named[0]["predictions"]) total += prediction["probability"].get<double>();
    CHECK(total == doctest::Approx(1.0));
    check_fails(lathe("predict --model " + model + " " + run + "/log.csv"), 1, "log.csv");

    const Json profile = Json::parse(lathe("profile --json --runs 1 --model " + model).out);
    CHECK(profile["params"].get<int64_t>() > 0);
    CHECK(profile["peak_activation_bytes"].get<int64_t>() > 0);
    CHECK(profile["layers"].size() > 5);

    fs::resize_file(model, fs::file_size(model) - 1);
    check_fails(lathe("eval --data shapes --model " + model), 1, "best.safetensors");
}

TEST_CASE("train: with --validation 0 the test images choose the best epoch, and nothing is held out") {
    const Folder folder;
    const Result trained = lathe(train(folder / "run", "--validation 0"));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.starts_with(
        "shapes train: 512 images 32x32x3, 10 classes\nvalidation: 4,000 images, the test images (--validation 0)\n"));
    CHECK(trained.out.find("\ntest: ") == std::string::npos);
    const Json result =
        Json::parse(lathe("eval --json --data shapes --model " + (folder / "run/best.safetensors")).out);
    char accuracy[32];
    std::snprintf(accuracy, sizeof accuracy, "accuracy %.2f%%, in ", result["top1"].get<double>());
    CHECK(trained.out.find(accuracy) != std::string::npos);
}

TEST_CASE("an autoencoder trains on images, and eval and compare tell its reconstruction error") {
    const Folder folder;
    const Result trained =
        lathe("train --model autoencoder --data shapes --limit 512 --epochs 3 --batch 16 --optimizer adam --out " +
              (folder / "run"));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("autoencoder: ") != std::string::npos);
    CHECK(trained.out.find("input [3072]") != std::string::npos);
    const std::string model = folder / "run/best.safetensors";
    const Json result = Json::parse(lathe("eval --json --data shapes --model " + model).out);
    CHECK(result["total"] == 4000);
    CHECK(result["loss"].get<double>() > 0);
    CHECK(result["loss"].get<double>() < 0.1);  // of pixels in [0, 1]
    CHECK_FALSE(result.contains("auc"));        // every class is normal
    const Json rows = Json::parse(lathe("compare --json --runs 1 --data shapes " + model).out);
    CHECK(rows[0]["accuracy"].is_null());
    CHECK(rows[0]["loss"].get<double>() == doctest::Approx(result["loss"].get<double>()).epsilon(1e-4));
    CHECK(lathe("train --help").out.find("mobilenetv1-025, ds-cnn, autoencoder") != std::string::npos);
}

TEST_CASE("profile shows the kernel chosen, the share of the peak and, when asked, backward") {
    const Json forward = Json::parse(lathe("profile --json --runs 1 --threads 1 --model resnet20").out);
    CHECK(forward["peak_gflops"].get<double>() > 0);
    CHECK_FALSE(forward.contains("backward_seconds"));
    CHECK(forward["layers"][0]["kernel"] == "direct");
    for (const Json& layer : forward["layers"]) {
        CHECK(layer["op"] != "batch_norm");  // what runs is folded
        CHECK(layer["op"] != "relu");
    }
    const Json& plan = forward["memory_plan"];
    CHECK(plan["input"] == 32 * 32 * 3 * 4);
    CHECK(plan["output"] == 10 * 4);
    CHECK(plan["total"] == 2 * 32 * 32 * 16 * 4);  // a convolution writes onto the block's input
    CHECK(plan["lower_bound"] == plan["total"]);
    CHECK(plan["alive_at_peak"].size() == 2);
    CHECK(forward["peak_activation_bytes"] == plan["total"].get<int64_t>() + 32 * 32 * 3 * 4 + 10 * 4);
    CHECK(lathe("profile --runs 1 --model resnet20").out.find("memory: activations 128.0 KiB in one block") !=
          std::string::npos);
    const Json both =
        Json::parse(lathe("profile --json --runs 1 --threads 1 --batch 2 --backward --model resnet20").out);
    CHECK(both["batch"] == 2);
    CHECK(both["macs"].get<int64_t>() == 2 * forward["macs"].get<int64_t>());
    double backward = 0;
    for (const Json& layer : both["layers"]) {
        CHECK(layer["backward_seconds"].get<double>() > 0);
        backward += layer["backward_seconds"].get<double>();
        if (layer["macs"].get<int64_t>() == 0) continue;
        const double flop = 2.0 * layer["macs"].get<double>(), peak = 1e9 * both["peak_gflops"].get<double>();
        CHECK(layer["of_peak"].get<double>() == doctest::Approx(flop / layer["seconds"].get<double>() / peak));
        const double passes = layer["name"] == "conv1" ? 1 : 2;  // nobody wants the gradient of the images
        CHECK(layer["backward_of_peak"].get<double>() ==
              doctest::Approx(passes * flop / layer["backward_seconds"].get<double>() / peak));
        CHECK_FALSE(layer["kernel"].get<std::string>().empty());
    }
    CHECK(both["backward_seconds"].get<double>() == doctest::Approx(backward));
    CHECK(lathe("profile --runs 1 --batch 2 --backward --model lenet5").out.find("backward") != std::string::npos);
    CHECK(lathe("profile --runs 1 --model autoencoder").code == 0);
}

TEST_CASE("profile counts what the course prints") {
    const auto profile = [](const std::string& arguments) {
        return Json::parse(lathe("profile --json --runs 1 --model " + arguments).out);
    };
    const Json vgg = profile("vgg-cifar");
    CHECK(vgg["params"] == 9228362);
    CHECK(vgg["macs"] == 605754368);
    CHECK(profile("vgg-cifar --widths 45,90,179,179,358,358,358,512")["params"] == 5013666);
    CHECK(profile("mobilenetv2 --input 32x32x3 --classes 10")["macs"] == 87976448);
    CHECK(profile("autoencoder")["macs"] == 264192);
    CHECK(profile("autoencoder --input 320")["params"].get<int64_t>() < 267928);
}

TEST_CASE("a run is replaced only when told to") {
    const Folder folder;
    const std::string run = folder / "run";
    const std::string first = "train --model lenet5 --data shapes --limit 64 --epochs 1 --out " + run;
    REQUIRE(lathe(first).code == 0);
    const std::string last = text_of(run + "/last.safetensors"), settings = text_of(run + "/config.json");
    check_fails(lathe(first + " --seed 5"), 1, run + " holds a run; --resume goes on with it, --force replaces it");
    CHECK(text_of(run + "/last.safetensors") == last);
    CHECK(text_of(run + "/config.json") == settings);
    check_fails(lathe(first + " --force --resume"), 2, "--force");
    CHECK(lathe(first + " --seed 5 --force").code == 0);
    CHECK(text_of(run + "/last.safetensors") != last);
    const Json now = Json::parse(text_of(run + "/config.json"));
    CHECK(now["seed"] == 5);
    CHECK_FALSE(now.contains("force"));
}

TEST_CASE("an interrupted run goes on to the same weights, for any number of threads") {
    const Folder folder;
    const std::string whole = folder / "whole", parts = folder / "parts";
    REQUIRE(lathe(train(whole, "--threads 1 --augment crop:4,flip --ema 0.9")).code == 0);
    const Result stopped =
        lathe(train(parts, "--threads 2 --augment crop:4,flip --ema 0.9"), parts + "/last.safetensors");
    CHECK((stopped.code == 130 || stopped.code == 0));  // the machine may be too fast for the signal
    const Result resumed = lathe("train --resume --out " + parts);
    INFO(resumed.err);
    REQUIRE(resumed.code == 0);
    CHECK(text_of(parts + "/last.safetensors").size() == text_of(whole + "/last.safetensors").size());
    CHECK(text_of(parts + "/best.safetensors") == text_of(whole + "/best.safetensors"));
    check_fails(lathe("train --resume --lr 7 --out " + parts), 1, "lr");
}

TEST_CASE("activation checkpointing changes nothing but memory, and a resumed run may switch it") {
    const Folder folder;
    const std::string plain = folder / "plain", less = folder / "less";
    REQUIRE(lathe(train(plain)).code == 0);
    REQUIRE(lathe(train(less, "--recompute-activations")).code == 0);
    CHECK(text_of(plain + "/best.safetensors") == text_of(less + "/best.safetensors"));
    CHECK(lathe("train --resume --recompute-activations --out " + plain).code == 0);
}

TEST_CASE("fine-tuning replaces the classifier when the classes differ, and freezes what it is told to") {
    const Folder folder;
    REQUIRE(lathe(train(folder / "base", "--epochs 1")).code == 2);  // given twice
    REQUIRE(lathe("train --model lenet5 --data shapes --limit 256 --epochs 1 --out " + (folder / "base")).code == 0);
    for (const char* split : {"train", "val"})
        for (const char* name : {"dark", "grey", "light"}) {
            const fs::path at = folder.path / "images" / split / name;
            fs::create_directories(at);
            for (int i = 0; i < 4; ++i) write_bmp((at / (std::to_string(i) + ".bmp")).string());
        }
    const Result tuned =
        lathe("train --init " + (folder / "base/best.safetensors") + " --data folder:" + (folder / "images") +
              " --validation 0 --freeze conv1 --epochs 1 --batch 4 --out " + (folder / "tuned"));
    INFO(tuned.err);
    CHECK(tuned.code == 0);
    const Result result =
        lathe("eval --json --model " + (folder / "tuned/best.safetensors") + " --data folder:" + (folder / "images"));
    CHECK(Json::parse(result.out)["classes"].size() == 3);
    check_fails(lathe("eval --model " + (folder / "tuned/best.safetensors") + " --data shapes"), 1,
                "class 'circle' is none of those expected: dark, grey, light");
}

TEST_CASE("fine-tuning on images of another size makes a network for that size") {
    const Folder folder;
    REQUIRE(lathe("train --model resnet8 --width 0.25 --data shapes --limit 64 --epochs 1 --out " + (folder / "base"))
                .code == 0);
    for (const char* name : {"dark", "light"}) {
        fs::create_directories(folder.path / "images" / name);
        for (int i = 0; i < 8; ++i)
            write_bmp(folder / ("images/" + std::string(name) + "/" + std::to_string(i) + ".bmp"));
    }
    const std::string init = "train --init " + (folder / "base/last.safetensors") +
                             " --data folder:" + (folder / "images") + " --validation 0 --epochs 1 --batch 4 --out " +
                             (folder / "tuned");
    const Result tuned = lathe(init + " --input 48x48x3");
    INFO(tuned.err);
    REQUIRE(tuned.code == 0);
    const Json profile =
        Json::parse(lathe("profile --json --runs 1 --model " + (folder / "tuned/last.safetensors")).out);
    CHECK(profile["layers"][0]["output"] == Json({1, 48, 48, 4}));

    check_fails(lathe(init + " --force --width 2"), 1, "--width");
    check_fails(lathe("profile --model " + (folder / "tuned/last.safetensors") + " --width 2"), 1, "--width");
    check_fails(lathe("profile --model " + (folder / "tuned/last.safetensors") + " --classes 3"), 1, "--classes");
}

TEST_CASE("a loss that is no longer finite stops the run and leaves the last good checkpoint") {
    const Folder folder;
    const std::string run = folder / "run";
    check_fails(lathe("train --model lenet5 --data shapes --limit 256 --epochs 1 --lr 1e30 --out " + run), 1, "step");
    const Result left = lathe("eval --json --data shapes --model " + run + "/last.safetensors");
    INFO(left.err);
    CHECK(left.code == 0);
    CHECK(Json::parse(left.out)["loss"].is_number());  // JSON writes NaN as null
}

TEST_CASE("prune, scan and compare work on one trained model") {
    const Folder folder;
    REQUIRE(
        lathe("train --model lenet5 --data shapes --limit 512 --epochs 1 --batch 64 --out " + (folder / "base")).code ==
        0);
    const std::string model = folder / "base/best.safetensors",
                      common = " --model " + model + " --data shapes --limit 512 --batch 64 ";

    const Result once = lathe("prune" + common + "--sparsity 0.9 --layer conv1=0.5 --finetune 1 --distill 0.5 --out " +
                              (folder / "once"));
    INFO(once.err);
    REQUIRE(once.code == 0);
    CHECK(once.out.find("conv1.weight") != std::string::npos);
    const std::string pruned = folder / "once/pruned.safetensors";
    CHECK(fs::file_size(pruned) * 3 < fs::file_size(model));
    CHECK(lathe("eval --json --data shapes --model " + pruned).code == 0);

    const Json profile = Json::parse(lathe("profile --json --runs 1 --model " + pruned).out);
    CHECK(profile["nonzeros"].get<double>() < 0.15 * profile["params"].get<double>());
    CHECK(profile["effective_macs"].get<double>() < 0.55 * profile["macs"].get<double>());
    CHECK(profile["layers"][0]["nonzeros"] == 225 + 6);
    for (const Json& layer : profile["layers"]) CHECK(layer["op"] != "mul");  // masks are in the weights
    const Json many = Json::parse(lathe("profile --json --runs 1 --batch 32 --model " + pruned).out);
    CHECK(many["done_macs"].get<double>() < 0.9 * many["macs"].get<double>());  // some layers skip their zeros
    CHECK(many["done_macs"] >= many["effective_macs"]);
    CHECK(lathe("profile --runs 1 --model " + pruned).out.find("sparsity") != std::string::npos);
    CHECK(lathe("profile --runs 1 --model " + model).out.find("sparsity") == std::string::npos);

    const Result scanned = lathe("scan --json --model " + model +
                                 " --data shapes --images 64 --sparsities 0.5,0.9 --out " + (folder / "scan"));
    INFO(scanned.err);
    REQUIRE(scanned.code == 0);
    const Json scan = Json::parse(scanned.out);
    REQUIRE(scan["layers"].size() == 5);
    CHECK(scan["layers"][0]["points"].size() == 2);
    CHECK(scan["images"] == 64);
    CHECK(fs::exists(folder / "scan/scan.csv"));
    CHECK(fs::exists(folder / "scan/scan.gnuplot"));

    const Result chosen = lathe("prune" + common + "--target-size 0.3 --scan-images 64 --out " + (folder / "target"));
    INFO(chosen.err);
    REQUIRE(chosen.code == 0);
    const Result compared = lathe("compare --json --runs 1 --data shapes --figure " + (folder / "ratio") + " " + model +
                                  " " + pruned + " " + (folder / "target/pruned.safetensors"));
    INFO(compared.err);
    REQUIRE(compared.code == 0);
    const Json rows = Json::parse(compared.out);
    REQUIRE(rows.size() == 3);
    CHECK(rows[0]["nonzeros"] == rows[0]["params"]);
    CHECK(rows[1]["nonzeros"].get<double>() < 0.15 * rows[1]["params"].get<double>());
    CHECK(rows[1]["effective_macs"].get<double>() < rows[1]["macs"].get<double>());
    CHECK(rows[2]["file_bytes"].get<double>() < 0.33 * rows[0]["file_bytes"].get<double>());
    CHECK(rows[2]["accuracy"].is_number());
    CHECK(rows[0]["same_class"] == 100);
    const double right[] = {rows[0]["accuracy"], rows[1]["accuracy"]};  // where one is right and one wrong, they differ
    CHECK(rows[1]["same_class"].get<double>() < 100);
    CHECK(rows[1]["same_class"].get<double>() <= 100 - std::fabs(right[0] - right[1]) + 1e-6);
    CHECK(rows[1]["same_class"].get<double>() >= right[0] + right[1] - 100 - 1e-6);  // where both are right, the same
    const double ratio = rows[0]["file_bytes"].get<double>() / rows[2]["file_bytes"].get<double>();
    const std::string figure = text_of(folder / "ratio.gnuplot");
    const size_t third = figure.rfind('\n', figure.find(" 3\nend"));
    REQUIRE(third != std::string::npos);
    double drawn[2] = {};
    CHECK(std::sscanf(figure.c_str() + third, "%lf %lf 3", &drawn[0], &drawn[1]) == 2);
    CHECK(drawn[0] == doctest::Approx(ratio).epsilon(1e-4));
    CHECK(drawn[1] == doctest::Approx(rows[2]["accuracy"].get<double>()).epsilon(1e-4));

    const auto bad = [&](const std::string& more) {
        return lathe("prune" + common + more + " --out " + (folder / "bad"));
    };
    check_fails(bad("--sparsity 1"), 1, "[0, 1), got 1");
    check_fails(bad(""), 1, "--sparsity");
    check_fails(bad("--layer conv9=0.5"), 1, "did you mean 'conv1'?");
    check_fails(bad("--layer conv1"), 1, "NAME=SPARSITY");
    check_fails(bad("--target-size 0.001 --scan-images 64"), 1, "expected a target of at least");
    check_fails(bad("--method nm --skip conv2 --skip fc*"), 1, "2:4 fits no layer");
    check_fails(bad("--target-size 0.5 --scan-images 100000"), 1, "out of the training; expected fewer");
    check_fails(bad("--sparsity 0.5 --schedule gradual"), 1, "--finetune");
    check_fails(bad("--target-size 0.5 --target-latency 0.5"), 1, "one target");
    check_fails(bad("--sparsity 0.5 --target-macs 0.5"), 1, "target");
    check_fails(lathe("scan --data shapes --sparsities 1.5 --model " + model), 1, "[0, 1), got 1.5");
    check_fails(lathe("compare " + model + " " + (folder / "none.safetensors")), 1, "none.safetensors");
}

TEST_CASE("an interrupted gradual pruning goes on to the same file") {
    const Folder folder;
    REQUIRE(
        lathe("train --model lenet5 --data shapes --limit 256 --epochs 1 --batch 64 --out " + (folder / "base")).code ==
        0);
    const auto prune = [&](const std::string& out) {
        return "prune --model " + (folder / "base/best.safetensors") +
               " --data shapes --limit 512 --batch 32 --sparsity 0.8 --schedule gradual"
               " --importance movement --finetune 3 --out " +
               out;
    };
    REQUIRE(lathe(prune(folder / "whole")).code == 0);
    const Result stopped = lathe(prune(folder / "parts"), folder / "parts/last.safetensors");
    CHECK((stopped.code == 130 || stopped.code == 0));  // the machine may be too fast for the signal
    const Result resumed = lathe("prune --resume --out " + (folder / "parts"));
    INFO(resumed.err);
    REQUIRE(resumed.code == 0);
    CHECK(text_of(folder / "parts/pruned.safetensors") == text_of(folder / "whole/pruned.safetensors"));
}

TEST_CASE(
    "channels are cut, the rest is taught by the dense model, saved and cut again; interrupted it goes on to the same "
    "file") {
    const Folder folder;
    REQUIRE(
        lathe("train --model lenet5 --data shapes --limit 256 --epochs 1 --batch 64 --out " + (folder / "base")).code ==
        0);
    const auto prune = [&](const std::string& model, const std::string& more, const std::string& out) {
        return "prune --method channel --model " + model + " --data shapes --limit 512 --batch 32 " + more + " --out " +
               out;
    };
    const std::string model = folder / "base/best.safetensors",
                      half = "--ratio 0.5 --layer fc2=0.25 --finetune 2 --distill 0.5";
    const Result whole = lathe(prune(model, half, folder / "whole"));
    INFO(whole.err);
    REQUIRE(whole.code == 0);
    for (const char* line :
         {"      16     8  conv2\n", "      84    63  fc2\n", "fc3  (left alone: it is the network's output)"})
        CHECK(whole.out.find(line) != std::string::npos);
    const Result stopped = lathe(prune(model, half, folder / "parts"), folder / "parts/last.safetensors");
    CHECK((stopped.code == 130 || stopped.code == 0));  // the machine may be too fast for the signal
    REQUIRE(lathe("prune --resume --out " + (folder / "parts")).code == 0);
    CHECK(text_of(folder / "parts/pruned.safetensors") == text_of(folder / "whole/pruned.safetensors"));

    const std::string pruned = folder / "whole/pruned.safetensors";
    const Result again =
        lathe(prune(pruned, "--target-macs 0.5 --importance next-l2 --scope global --macs lab", folder / "again"));
    INFO(again.err);
    REQUIRE(again.code == 0);
    CHECK(again.out.find("MACs as the lab counts") != std::string::npos);
    const auto macs = [](const std::string& file) {
        return Json::parse(lathe("profile --json --runs 1 --model " + file).out)["macs"].get<double>();
    };
    CHECK(macs(folder / "again/pruned.safetensors") <= 0.5 * macs(pruned));

    const auto bad = [&](const std::string& more) { return lathe(prune(model, more, folder / "bad")); };
    check_fails(bad(""), 1, "--ratio");
    check_fails(bad("--ratio 1"), 1, "[0, 1), got 1");
    check_fails(bad("--target-macs 0.0001"), 1, "expected a target of at least");
    check_fails(bad("--ratio 0.5 --target-macs 0.5"), 1, "got 2");
    check_fails(bad("--ratio 0.5 --importance tailor"), 1, "did you mean 'taylor'?");
    check_fails(bad("--layer fc3=0.5"), 1, "it is the network's output");
    check_fails(bad("--ratio 0.5 --skip conv7"), 1, "conv7");
    check_fails(bad("--ratio 0.5 --schedule gradual --finetune 1"), 1, "oneshot");
}
