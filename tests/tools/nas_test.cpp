#include <doctest/doctest.h>

#include "lathe/data/open.h"
#include "lathe/nas/predict/proxies.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nas/made_up_table.h"
#include "lathe/tests/tools/command.h"

using namespace testing;
using ::lathe::testing::json_of, ::lathe::testing::made_up_table;
namespace nas = ::lathe::nas;
namespace data = ::lathe::data;

namespace {

Result run(const std::string& arguments, const std::string& interrupt_after = {}) {
    return testing::lathe(arguments, interrupt_after);
}

}  // namespace

TEST_CASE("lathe nas show and lathe profile agree on a subnet, without any weights") {
    const Folder folder;
    const Result shown = run("nas show --arch smallest --json --out " + (folder / "arch.svg"));
    REQUIRE(shown.code == 0);
    const Json cost = Json::parse(shown.out);
    CHECK(cost["lab-macs"] == 8302128);
    CHECK(cost["peak-memory"] == 72 * 1024);
    CHECK(text_of(folder / "arch.svg").find("MB3 3x3 SE") != std::string::npos);
    CHECK(text_of(folder / "arch.svg").ends_with("</svg>\n"));
    const std::string arch = "--arch '" + cost["arch"].dump() + "' ";
    const Result profile = run("profile --model mcunetv2 " + arch + "--input 96x96x3 --json --runs 1");
    REQUIRE(profile.code == 0);
    const Json traced = Json::parse(profile.out);
    CHECK(traced["macs"] == cost["macs"]);
    CHECK(traced["params"] == cost["parameters"]);
    CHECK(run("info").out.find("mcunetv2") != std::string::npos);
    CHECK(run("nas show --arch largest").out.find("6-144-") == std::string::npos);
}

TEST_CASE("a subnet is trained like any network, and its file knows its arch") {
    const Folder folder;
    for (const std::string path : {"train/a", "train/b", "val/a", "val/b"}) {
        fs::create_directories(folder / ("set/" + path));
        for (int i = 0; i < 3; ++i) write_bmp(folder / ("set/" + path + "/" + std::to_string(i) + ".bmp"));
    }
    const std::string on = " --data folder:" + (folder / "set") + " --epochs 1 --batch 4 --out " + (folder / "run");
    const Result trained = run("train --model mcunetv2 --arch smallest" + on);
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    CHECK(text_of(folder / "run/best.safetensors").find("\\\"image_size\\\":96") != std::string::npos);
    check_fails(run("train --init " + (folder / "run/best.safetensors") + " --arch smallest --force" + on), 1,
                "--arch are for a new network");
}

TEST_CASE("images of a data set are scaled to the size that a network is for") {
    const Folder folder;
    const std::string run_folder = folder / "run", saved = " --model " + (folder / "run/best.safetensors");
    const std::string on = " --data shapes --limit 60 --epochs 1 --batch 20";
    const Result trained = run("train --model ofa-resnet-cifar --arch smallest --out " + run_folder + on);
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    CHECK(trained.out.find("input [24, 24, 3]") != std::string::npos);
    const Result unasked = run("eval --json --data shapes" + saved);
    CHECK(unasked.code == 0);
    CHECK(unasked.out == run("eval --json --data shapes --input 24x24x3" + saved).out);
    CHECK(unasked.out != run("eval --json --data shapes --input 32x32x3" + saved).out);
    const Result scanned = run("scan --data shapes --images 40" + saved);
    CHECK_MESSAGE(scanned.code == 0, scanned.err);
    const Result pruned =
        run("prune --sparsity 0.5 --data shapes --limit 60 --out " + (folder / "pruned") + saved);
    CHECK_MESSAGE(pruned.code == 0, pruned.err);
    CHECK(pruned.out.find("24x24x3, 10 classes, scaled from 32x32") != std::string::npos);
    const Result again = run("train --init " + (folder / "run/best.safetensors") + " --out " + (folder / "c") + on);
    CHECK_MESSAGE(again.code == 0, again.err);
    CHECK(again.out.find("input [24, 24, 3]") != std::string::npos);
    check_fails(run("train --model ofa-resnet-cifar --arch smallest --input 32x32x3 --out " + (folder / "b") + on), 1,
                "expected images of [24, 24, 3], the arch's, got [32, 32, 3]");
}

TEST_CASE("a network of flat pixels takes images of the size that it was trained with") {
    const Folder folder;
    const std::string saved = " --model " + (folder / "run/best.safetensors");
    const Result trained = run("train --model autoencoder --input 12x20x3 --data shapes --limit 40 --epochs 1 "
                               "--batch 20 --out " + (folder / "run"));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    check_fails(run("eval --data shapes" + saved), 1, "expected an input like [128, 720]");
    const Result square = run("train --model autoencoder --input 16x16x3 --data shapes --limit 40 --epochs 1 "
                              "--batch 20 --force --out " + (folder / "run"));
    REQUIRE_MESSAGE(square.code == 0, square.err);
    const Result evaluated = run("eval --json --data shapes" + saved);
    CHECK_MESSAGE(evaluated.code == 0, evaluated.err);
}

TEST_CASE("lathe nas: from a table to a predictor to a network within limits") {
    const Folder folder;
    const std::string table = folder / "table.json", out = folder / "predictor", found = folder / "found";
    lathe::testing::write_file(table, json_of(made_up_table(400)));
    const Result trained = run("nas predictor --table " + table + " " + table + " --epochs 3 --batch 32 --out " + out);
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("trained on 640 rows for 3 epochs") != std::string::npos);
    CHECK(trained.out.find("Kendall tau") != std::string::npos);
    for (const char* name : {"predictor.safetensors", "predictor.csv", "predictor.gnuplot"})
        CHECK(fs::exists(fs::path(out) / name));
    CHECK(text_of(out + "/predictor.csv").starts_with("measured,predicted\n0.8"));

    const std::string search =
        "nas search --predictor " + out + "/predictor.safetensors --lab-macs 30M --peak-memory 200KB --iterations 5 ";
    const Result text = run(search + "--out " + found);
    INFO(text.err);
    REQUIRE(text.code == 0);
    CHECK(text.out.find("evolution: 600 subnets scored") != std::string::npos);
    for (const char* name : {"found.csv", "found.json", "found.svg", "search.gnuplot"})
        CHECK(fs::exists(fs::path(found) / name));
    const auto json = [&](const std::string& more) {
        const Result result = run(search + more + " --json");
        INFO(result.err);
        REQUIRE(result.code == 0);
        return Json::parse(result.out);
    };
    const Json tuned = json("--tune 0.3");
    CHECK(tuned["tried"].size() >= 1);
    CHECK(tuned["tried"][0]["mean"] >= tuned["tried"].back()["mean"]);
    check_fails(run(search + "--tune 1 --method random"), 1, "--tune: of evolution, not of random");
    const Json one = json("--threads 1"), two = json("--threads 2");
    CHECK(one["found"] == two["found"]);
    CHECK(one["found"][0]["arch"] == Json::parse(text_of(found + "/found.json")));
    CHECK(one["found"][0]["lab-macs"] <= 30000000);
    CHECK(one["found"][0]["arch"]["wid"] < 2);
    CHECK(json("--method random --image-size 112")["found"][0]["arch"]["image_size"] == 112);
    const Json front = json("--method pareto --population 20 --generations 3 --out " + found);
    CHECK(front["found"].size() > 2);
    CHECK(fs::exists(found + "/front.gnuplot"));
    const std::string compare = "nas predictor --table " + table + " --epochs 1 --out " + out +
                                "2 --proxies 3 --images 2 --data shapes ";
    const Result compared = run(compare);
    INFO(compared.err);
    REQUIRE(compared.code == 0);
    CHECK(compared.out.find("the first 3 of them, on 2 images of shapes train:") != std::string::npos);
    const Json orderings = Json::parse(run(compare + "--json --threads 1").out)["orderings"];
    REQUIRE(orderings.size() == 6);
    const char* by[] = {"predictor", "macs", "parameters", "synflow", "naswot", "gradient-norm"};
    for (size_t i = 0; i < 6; ++i) {
        CHECK(orderings[i]["by"] == by[i]);
        CHECK(std::abs(orderings[i]["kendall"].get<double>()) <= 1);
    }
    const Result shown = run("nas show --arch \"$(cat " + found + "/found.json)\" --predictor " + out +
                                          "/predictor.safetensors");
    CHECK(shown.out.find("predicted accuracy ") != std::string::npos);
}

TEST_CASE("lathe nas: what only a table or a predictor can tell to be wrong is one line, too") {
    const Folder folder;
    const std::string out = " --out " + (folder / "out"), table = folder / "table.json";
    lathe::testing::write_file(table, json_of(made_up_table(40)));
    check_fails(run("nas predictor --table " + table + " --epochs 0" + out), 2, "--epochs");
    check_fails(run("nas predictor --table " + table + " --hold-out 1" + out), 1, "between 0 and 1, got 1");
    const std::string both = "expected --proxies and --data together";
    check_fails(run("nas predictor --table " + table + " --proxies 3" + out), 1, both);
    check_fails(run("nas predictor --table " + table + " --data shapes" + out), 1, both);
    check_fails(run("nas predictor --table " + table + " --data shapes --proxies 9" + out), 1,
                "--proxies: expected at most 8, the rows that are held out, got 9");
    check_fails(run("nas predictor --table " + table + " --data nowhere --proxies 3" + out), 1, "nowhere");
    CHECK_FALSE(fs::exists(folder / "out/predictor.safetensors"));
    REQUIRE(run("nas predictor --table " + table + " --epochs 1" + out).code == 0);
    const std::string search = "nas search --predictor " + (folder / "out/predictor.safetensors") + " ";
    check_fails(run("nas search --predictor " + table), 1, "table.json");
    check_fails(run(search + "--peak-memory 64KB"), 1, "of at most 64 KB cannot be met, the least is 72 KB");
    check_fails(run(search + "--image-size 100"), 1, "--image-size: 100 is none of the sizes");
    check_fails(run(search + "--parents 0"), 1, "at least one of 100, got 0");
    check_fails(run(search + "--population x"), 2, "--population");
}

namespace {

// Two classes of grey pictures of 8x8 pixels, four of each to train on and two to validate with, in FOLDER/set.
std::string pictures(const Folder& folder) {
    for (const auto& [split, count] : {std::pair{"train", 4}, std::pair{"val", 2}})
        for (const char* name : {"a", "b"}) {
            const std::string to = folder / ("set/" + std::string(split) + "/" + name);
            fs::create_directories(to);
            for (int i = 0; i < count; ++i) write_bmp(to + "/" + std::to_string(i) + ".bmp");
        }
    return " --data folder:" + (folder / "set") + " --calibration 8 ";
}

}  // namespace

TEST_CASE("lathe nas: from images to a supernet, a table of its subnets, and one of them as a network of its own") {
    const Folder folder;
    const std::string data = pictures(folder), net = folder / "net", more = "--batch 4 --epochs 2 ";
    const std::string train = "nas train --space ofa-resnet-cifar --random 1 " + data + more + "--out ";
    const Result trained = run(train + net);
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    CHECK(trained.out.find("ofa-resnet-cifar, 14414517 networks: 0.764992 M to 14.1395 M MACs") != std::string::npos);
    const Result parts = run(train + (folder / "parts"), folder / "parts/last.safetensors");
    CHECK((parts.code == 130 || parts.code == 0));
    if (parts.code == 130) CHECK(parts.out.find("go on with: lathe nas train --out ") != std::string::npos);
    REQUIRE(run("nas train --resume --out " + (folder / "parts")).code == 0);
    CHECK(text_of(folder / "parts/supernet.safetensors") == text_of(net + "/supernet.safetensors"));

    const std::string from = " --supernet " + net + "/supernet.safetensors" + data;
    const std::string sample = "nas sample" + from + "--out " + (folder / "table.csv");
    REQUIRE(run(sample + " --subnets 2").code == 0);
    const std::string two = text_of(folder / "table.csv");
    CHECK(two.starts_with("resolution,wid,ks,e,d,acc,origin\n"));
    REQUIRE(run(sample + " --subnets 3").code == 0);
    CHECK(text_of(folder / "table.csv").starts_with(two));
    CHECK(std::count(two.begin(), two.end(), '\n') == 3);
    const std::string other = "expected a table of this supernet, these images, prefilter and seed";
    check_fails(run(sample + " --subnets 3 --seed 7"), 1, other);
    check_fails(run(sample + " --subnets 3 --prefilter synflow"), 1, other);

    const std::string subnet = folder / "subnet.safetensors";
    const Result extracted = run("nas extract" + from + "--arch smallest --out " + subnet);
    INFO(extracted.err);
    REQUIRE(extracted.code == 0);
    CHECK(extracted.out.find("0.764992 M MACs, 23,818 parameters") != std::string::npos);
    CHECK(run("eval --model " + subnet + " --data folder:" + (folder / "set")).code == 0);

    const std::string joint = from + "--space ofa-resnet-cifar-joint ", rows = folder / "joint.csv";
    REQUIRE(run("nas sample" + joint + "--subnets 8 --out " + rows).code == 0);
    CHECK(text_of(rows).starts_with("resolution,wid,ks,e,d,bits,kept,acc,origin\n"));
    check_fails(run("nas sample" + from + "--subnets 9 --out " + rows), 1, "a column 'bits' is of a joint space");
    check_fails(run("nas sample" + joint + "--subnets 9 --out " + (folder / "table.csv")), 1,
                "expected a column 'bits' in the first line");
    check_fails(run("nas measure --space ofa-resnet-cifar-joint --out x"), 1, "expected ofa-resnet-cifar, whose times");
    check_fails(run("nas train --space ofa-resnet-cifar-joint" + data + "--out " + (folder / "x")), 1,
                "expected a space with a supernet of its own, as ofa-resnet-cifar");
    const std::string predictor = folder / "predictor";
    REQUIRE(run("nas predictor --space ofa-resnet-cifar-joint --table " + rows + " --epochs 1 --hold-out 0.5 --batch 2 "
                "--out " + predictor).code == 0);
    const std::string search = "nas search --predictor " + predictor + "/predictor.safetensors --iterations 1 ";
    const Result ranked = run(search + "--flash 30KB --arena 20KB --evaluate 3 --json" + from);
    INFO(ranked.err);
    REQUIRE(ranked.code == 0);
    const Json best = Json::parse(ranked.out)["found"];
    REQUIRE(best.size() == 3);
    for (size_t i = 0; i < 3; ++i) {
        CHECK(best[i]["flash"] <= 30 * 1024);
        CHECK(best[i]["arena"] <= 20 * 1024);
        CHECK(best[i]["arch"]["bits"].size() == 12);
        if (i) CHECK(best[i - 1]["measured_accuracy"] >= best[i]["measured_accuracy"]);
    }
    check_fails(run(search + "--evaluate 3 --supernet nowhere --out " + (folder / "y") + data), 1, "nowhere");
    CHECK_FALSE(fs::exists(folder / "y"));
    check_fails(run(search + "--evaluate 3"), 1, "--evaluate: expected --supernet and --data, too");
    const std::string pruned = folder / "pruned.safetensors";
    const Result compressed =
        run("nas extract" + joint + "--out " + pruned + " --arch '" + best[0]["arch"].dump() + "'");
    INFO(compressed.err);
    REQUIRE(compressed.code == 0);
    const Result integers =
        run("quantize --method linear --qat 1 --model " + pruned + " --data folder:" + (folder / "set") +
            " --out " + (folder / "int8"));
    INFO(integers.err);
    REQUIRE(integers.code == 0);
    CHECK(integers.out.find("bits of each block as its arch says") != std::string::npos);
    check_fails(run("nas extract" + from + "--space mcunetv2 --arch smallest --out x"), 1,
                "expected the space ofa-resnet-cifar or its joint one, got mcunetv2");

    const auto cut = text_of(net + "/supernet.safetensors").substr(0, 50000);
    lathe::testing::write_file(folder / "damaged", cut);
    const auto with = [&](const std::string& file) { return "nas extract --supernet " + file + data; };
    check_fails(run(with(folder / "damaged") + "--arch smallest --out x"), 1, "damaged: ");
    check_fails(run(with(subnet) + "--arch smallest --out x"), 1, "expected a supernet of `lathe nas train`");
    check_fails(run("nas extract" + from + "--arch '{\"width\":1}' --out x"), 1, "arch: unknown key 'width'");
    check_fails(run(train + net), 1, "holds a run; --resume goes on with it");
    check_fails(run("nas train --space ofa-resnet-cifer" + data + "--out " + (folder / "x")), 1,
                "did you mean 'ofa-resnet-cifar'?");
    check_fails(run(train + (folder / "x") + " --ema 0.9"), 1, "not for a supernet");
}

TEST_CASE("lathe nas sample --prefilter: of each few subnets drawn, only the best by a proxy is measured") {
    const Folder folder;
    const std::string pictured = pictures(folder), net = folder / "net";
    REQUIRE(run("nas train --space ofa-resnet-cifar" + pictured + "--batch 4 --epochs 1 --out " + net).code == 0);
    const std::string sample = "nas sample --supernet " + net + "/supernet.safetensors --images 4" + pictured;
    const auto sampled = [&](const std::string& proxy, int subnets, int threads) {
        const std::string to = folder / (proxy + std::to_string(threads) + ".csv");
        const Result result = run(sample + "--keep 0.4 --prefilter " + proxy + " --subnets " + std::to_string(subnets) +
                                  " --threads " + std::to_string(threads) + " --out " + to);
        CHECK_MESSAGE(result.code == 0, result.err);
        return text_of(to);
    };
    for (const std::string proxy : {"synflow", "naswot", "gradient-norm"}) {
        const std::string one = sampled(proxy, 1, 1), three = sampled(proxy, 3, 1);
        CHECK(three.starts_with(one));
        CHECK(sampled(proxy, 3, 2) == three);
    }

    const auto images = data::open("folder:" + (folder / "set"), "", data::Split::train);
    const nas::Space& space = nas::ofa_resnet_cifar();
    std::vector<std::pair<double, std::string>> draws;
    for (uint64_t k = 0; k < 7; ++k) {
        ::lathe::Random random(0, k);
        const nas::Arch arch = space.sample(random);
        draws.emplace_back(nas::proxy_of(nas::Proxy::synflow, space, arch, images), arch.str());
    }
    const nas::AccuracyTable table = nas::read_accuracy_table(space, folder / "synflow1.csv");
    REQUIRE(table.size() == 3);  // of draws 0 and 1, of 2 to 4, of 5 and 6
    CHECK(table[0].arch.str() == std::max(draws[0], draws[1]).second);
    CHECK(table[1].arch.str() == std::max({draws[2], draws[3], draws[4]}).second);
    CHECK(table[2].arch.str() == std::max(draws[5], draws[6]).second);

    const std::string out = "--prefilter synflow --out " + (folder / "synflow1.csv");
    check_fails(run(sample + out), 1, "expected a table of this supernet, these images, prefilter and seed");  // of 0.5
    check_fails(run(sample + "--keep 0 " + out), 1, "--keep: expected a share of 0.001 or more, got 0");
    check_fails(run(sample + "--prefilter synflo --out x"), 2, "synflo");
}

TEST_CASE("lathe nas measure: a table of times by any meter, which search and show take") {
    const Folder folder;
    const std::string meter = folder / "meter.sh", table = folder / "times.json", out = folder / "predictor",
                      rows = folder / "table.json", of = "nas measure --image-size 96 --threads 1 --out " + table;
    std::ofstream(meter) << "#!/bin/sh\necho \"on the board: $(($(wc -c < \"$1\") / 1000)) ms, or so:\"\n"
                            "wc -c < \"$1\"\n";
    fs::permissions(meter, fs::perms::owner_all);
    const Result bytes = run(of + " --check 3 --meter " + meter);
    INFO(bytes.err);
    REQUIRE(bytes.code == 0);
    CHECK(bytes.out.find("3 whole networks, beside the sum of their parts: Spearman") != std::string::npos);
    CHECK_FALSE(fs::exists(table + ".part.safetensors"));
    check_fails(run(of), 1, "to go on with; got one of mcunetv2 by " + meter);
    check_fails(run(of + "2 --meter true"), 1, "to print milliseconds, a number above 0; it printed nothing");
    check_fails(run(of + "2 --meter false"), 1, "failed");
    CHECK_FALSE(fs::exists(table + "2"));
    const Result again = run(of + " --check 0 --json --meter " + meter);
    REQUIRE(again.code == 0);
    CHECK(Json::parse(again.out)["parts"] == Json::parse(text_of(table))["parts"].size());

    const Result shown = run("nas show --arch smallest --latency-table " + table);
    CHECK(shown.out.find("latency") != std::string::npos);
    lathe::testing::write_file(rows, json_of(made_up_table(200)));
    REQUIRE(run("nas predictor --table " + rows + " --epochs 1 --out " + out).code == 0);
    const std::string search = "nas search --image-size 96 --iterations 2 --predictor " + out +
                               "/predictor.safetensors --latency-table " + table;
    const Result found = run(search + " --json --latency 5000s");
    INFO(found.err);
    REQUIRE(found.code == 0);
    CHECK(Json::parse(found.out)["found"][0]["latency"].get<double>() <= 5e12);
    check_fails(run(search + " --latency 1ms"), 1, "latency of at most 1 ms cannot be met, the least is");
    check_fails(run(search + " --latency 5"), 1, "--latency: expected a time in ms, us or s, like 2ms, got 5");
}
