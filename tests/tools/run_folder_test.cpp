#include "command.h"

#include <map>

using namespace testing;

namespace {

const std::string kTrain = "train --model lenet5 --data shapes --limit 64 --epochs 1 ";

// What is in the folder, by name.
std::map<std::string, std::string> contents(const std::string& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : fs::directory_iterator(folder))
        files[entry.path().filename().string()] = entry.is_directory() ? "" : text_of(entry.path());
    return files;
}

}  // namespace

TEST_CASE("no command replaces a file that it was told to read") {
    const Folder folder;
    const std::string run = folder / "run";
    REQUIRE(lathe(kTrain + "--out " + run).code == 0);
    const auto before = contents(run);
    check_fails(lathe("train --init " + run + "/best.safetensors --data shapes --force --out " + run), 1,
                "--init is " + run + "/best.safetensors, which would be replaced");
    const std::string prune = "prune --data shapes --limit 64 --sparsity 0.5 --model ";
    check_fails(lathe(prune + run + "/last.safetensors --force --out " + run), 1, "--model is");
    fs::create_symlink(run, folder / "link");
    check_fails(lathe(prune + (folder / "link/best.safetensors") + " --force --out " + run), 1,
                "which would be replaced");
    check_fails(lathe(prune + run + "/best.safetensors --out " + run), 1, "holds a run");
    CHECK(contents(run) == before);
}

TEST_CASE("any file of a run is a run") {
    const Folder folder;
    REQUIRE(lathe(kTrain + "--out " + (folder / "base")).code == 0);
    const std::string prune = "prune --data shapes --limit 64 --model " + (folder / "base/best.safetensors") +
                              " --out " + (folder / "pruned");
    REQUIRE(lathe(prune + " --sparsity 0.5").code == 0);
    const auto before = contents(folder / "pruned");
    check_fails(lathe(prune + " --sparsity 0.9"), 1, "holds a run");
    CHECK(contents(folder / "pruned") == before);
    for (const char* name : {"best.safetensors", "log.csv", "config.json"}) {
        const std::string mine = folder / (std::string("mine-") + name);
        fs::create_directory(mine);
        std::ofstream(fs::path(mine) / name) << "mine";
        check_fails(lathe(kTrain + "--out " + mine), 1, "holds a run");
        CHECK(text_of(fs::path(mine) / name) == "mine");
    }
}

TEST_CASE("a run goes only when another one has taken its place") {
    const Folder folder;
    const std::string run = folder / "run";
    REQUIRE(lathe(kTrain + "--out " + run).code == 0);
    const auto before = contents(run);
    const std::string prune = "prune --data shapes --limit 64 --model " + run + "/best.safetensors --out ";
    REQUIRE(lathe(prune + (folder / "pruned") + " --sparsity 0.5").code == 0);
    const auto pruned = contents(folder / "pruned");
    check_fails(lathe(prune + (folder / "pruned") + " --force --sparsity 1"), 1, "[0, 1), got 1");
    CHECK(contents(folder / "pruned") == pruned);
    check_fails(lathe(prune + (folder / "new") + " --sparsity 1"), 1, "[0, 1), got 1");
    CHECK(contents(folder / "new").empty());

    // A run that ends before its first epoch does.
    check_fails(lathe(kTrain + "--lr 1e30 --force --out " + run), 1, "the loss is ");
    CHECK(contents(run) == before);

    // Stopped in the middle of replacing: before the settings of the new run were there, and before its first result.
    fs::create_directory(run + "/.replaced");
    fs::rename(run + "/config.json", run + "/.replaced/config.json");
    fs::rename(run + "/last.safetensors", run + "/.replaced/last.safetensors");
    check_fails(lathe(kTrain + "--out " + run), 1, "holds a run");
    CHECK(contents(run) == before);
    fs::create_directory(run + "/.replaced");
    for (const auto& [name, text] : before) fs::rename(run + "/" + name, run + "/.replaced/" + name);
    std::ofstream(run + "/config.json") << before.at("config.json");
    check_fails(lathe(kTrain + "--out " + run), 1, "holds a run");
    CHECK(contents(run) == before);
    // The new one goes on when it is asked to, and then the old one goes.
    fs::create_directory(run + "/.replaced");
    for (const auto& [name, text] : before) fs::rename(run + "/" + name, run + "/.replaced/" + name);
    std::ofstream(run + "/config.json") << before.at("config.json");
    CHECK(lathe("train --resume --out " + run).code == 0);
    CHECK(contents(run).size() == before.size());
    CHECK(text_of(run + "/best.safetensors") == before.at("best.safetensors"));
}

TEST_CASE("two processes never share a folder") {
    const Folder folder;
    const std::string run = folder / "run";
    const std::string first = binary() + " train --model lenet5 --data shapes --limit 64 --epochs 100000 --out " + run;
    const Result second = shell(first + " >/dev/null 2>&1 & child=$!; for i in $(seq 1000); do [ -e " + run +
                                "/log.csv ] && break; sleep 0.02; done; " + binary() + " " + kTrain + "--force --out " +
                                run + "; code=$?; kill -KILL $child; wait $child 2>/dev/null; exit $code");
    check_fails(second, 1, run + ": another process is at work in this folder");
    CHECK(Json::parse(text_of(run + "/config.json"))["epochs"] == 100000);
    fs::remove(run + "/log.csv");
    CHECK(lathe("train --resume --out " + run, run + "/log.csv").code == 130);  // the lock went with the process
}

TEST_CASE("config.json says what was asked, byte for byte") {
    const Folder folder;
    const std::string run = folder / "my run's";
    const std::string out = " --out \"" + run + "\"";
    REQUIRE(lathe(kTrain +
                  "--nesterov=false --decay-all=true --lr 1e-3 --seed 18446744073709551615 --augment none --mean 0.10 "
                  "--std 1 " +
                  out)
                .code == 0);
    const Json settings = Json::parse(text_of(run + "/config.json"));
    CHECK(settings["nesterov"] == false);
    CHECK(settings["decay-all"] == true);
    CHECK(settings["lr"] == 0.001);
    CHECK(settings["seed"] == 18446744073709551615u);
    CHECK(settings["mean"] == "0.10");  // a text stays one
    CHECK(settings["std"] == "1");
    CHECK(settings["model"] == "lenet5");
    CHECK(lathe("train --resume --nesterov=false --lr 0.001 --mean 0.10" + out).code == 0);
    check_fails(lathe("train --resume --nesterov" + out), 1, "--nesterov was false");
    check_fails(lathe("train --resume --decay-all=false" + out), 1, "--decay-all was true");
    check_fails(lathe("train --resume --mean 0.1" + out), 1, "--mean was \"0.10\"");
}

TEST_CASE("a config.json that is none is one line") {
    const Folder folder;
    const std::string config = folder / "config.json";
    const auto resumed = [&](const std::string& text) {
        std::ofstream(config) << text;
        return lathe("train --resume --out " + folder.path.string());
    };
    check_fails(resumed(std::string(200000, '[')), 1, config + ": expected at most 16 nested levels");
    check_fails(resumed("{\"epochs\": " + std::string(200000, '[') + std::string(200000, ']') + "}"), 1,
                "nested levels");
    check_fails(resumed("{broken"), 1, config + ": expected JSON in UTF-8");
    check_fails(resumed("[1]"), 1, config + ": expected a JSON object");
    check_fails(resumed("{\"epochs\": [3]}"), 1, config + ": epochs: expected a number or a text, got [3]");
    check_fails(resumed("{\"epochs\": \"many\"}"), 1, config + ": --epochs: expected a number above 0, got many");
    check_fails(resumed("{\"nesterov\": 3}"), 1, config + ": nesterov: expected true or false, got 3");
    check_fails(resumed("{\"freeze\": 5}"), 1, config + ": freeze: expected a list, got 5");
    check_fails(resumed("{\"sparsity\": 0.5}"), 1, config + ": lathe train has no setting 'sparsity'");
    check_fails(resumed("{\"model\": \"lenet5\", \"model\": \"resnet8\"}"), 1, "duplicate key");
}

TEST_CASE("names that are not UTF-8 are one line, before a folder is made, and shown by their bytes") {
    const Folder folder;
    const std::string latin = folder / "caf\xe9";
    check_fails(lathe(kTrain + "--out " + latin), 1,
                "--out: expected UTF-8, which settings are kept in, got " + (folder / "caf\\xe9"));
    CHECK_FALSE(fs::exists(latin));
    REQUIRE(lathe(kTrain + "--out " + (folder / "run")).code == 0);
    write_bmp(latin + ".bmp");
    const Result named = lathe("predict --json --model " + (folder / "run/best.safetensors") + " " + latin + ".bmp");
    CHECK(named.code == 0);
    CHECK(Json::parse(named.out)[0]["image"] == folder / "caf\xef\xbf\xbd.bmp");
    CHECK(
        lathe("predict --model " + (folder / "run/best.safetensors") + " " + latin + ".bmp").out.find("caf\\xe9.bmp") !=
        std::string::npos);
    fs::copy(folder / "run/best.safetensors", latin + ".safetensors");
    CHECK(Json::parse(lathe("compare --json --runs 1 " + latin + ".safetensors").out)[0]["model"] ==
          folder / "caf\xef\xbf\xbd.safetensors");
}

TEST_CASE("the process around a command") {
    const Folder folder;
    const std::string run = folder / "run", model = run + "/best.safetensors";
    REQUIRE(lathe(kTrain + "--out " + run).code == 0);
    write_bmp(folder / "x.bmp");
    for (const std::string& words : std::vector<std::string>{"info", "--help", "train --help",
                                                             "predict --model " + model + " " + (folder / "x.bmp"),
                                                             "eval --json --data shapes --model " + model}) {
        CAPTURE(words);
        check_fails(shell(binary() + " " + words + " >/dev/full"), 1,
                    "the output cannot be written: No space left on device");
    }
    check_fails(shell("LATHE_CPU=pentium " + binary() + " info"), 2,
                "LATHE_CPU: expected baseline, avx2, avx-vnni, avx512, amx or neon, got 'pentium'");
    CHECK(shell("LATHE_CPU=pentium " + binary() + " --help").code == 0);

    check_fails(shell("ulimit -f 8; exec " + binary() + " " + kTrain + "--out " + (folder / "small")), 1,
                "File too large");
    CHECK(contents(folder / "small").empty());  // nothing that the next run would take for one

    // In the background of a script SIGINT is ignored, and stays so.
    const Result ignored = shell("trap '' INT; " + binary() + " " + kTrain + "--out " + (folder / "ignored"),
                                 folder / "ignored/config.json");
    CHECK(ignored.code == 0);
}

TEST_CASE("a command that was stopped says how to go on, ready to paste") {
    const Folder folder;
    const std::string out = folder / "my run's";
    const Result stopped =
        lathe("train --model lenet5 --data shapes --limit 64 --epochs 100000 --out \"" + out + "\"", out + "/log.csv");
    REQUIRE(stopped.code == 130);
    const size_t at = stopped.out.find("go on with: lathe ");
    REQUIRE(at != std::string::npos);
    const std::string hint = stopped.out.substr(at + 18, stopped.out.find('\n', at) - at - 18);
    CHECK(hint == "train --out '" + (folder / "my run'\\''s") + "' --resume");
    fs::remove(out + "/log.csv");
    CHECK(lathe(hint, out + "/log.csv").code == 130);
}
