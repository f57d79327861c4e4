#include "command.h"

#include "lathe/nn/files/model_file.h"
#include "lathe/tests/data/test_files.h"

namespace {

using testing::Json;
using testing::check_fails;

// A class folder of plain pictures, each of its own brightness, from `at` on.
void write_class(const std::string& folder, int count, int at) {
    for (int i = 0; i < count; ++i)
        lathe::testing::write_file(
            folder + "/" + std::to_string(i) + ".png",
            lathe::testing::encode_png(lathe::testing::plain_image(12, 12, {static_cast<uint8_t>(at + i)})));
}

// Folders train/ and val/ of class folders; classes are (name, brightness).
std::string write_set(const std::string& set, const std::vector<std::pair<std::string, int>>& classes) {
    for (const auto& [name, at] : classes)
        write_class(set + "/train/" + name, 24, at), write_class(set + "/val/" + name, 12, at + 4);
    return "folder:" + set;
}

}  // namespace

TEST_CASE(
    "classes are matched by their names: eval, compare, scan, prune and --init map them, or name the first that "
    "differs") {
    const testing::Folder folder;
    const std::string set = write_set(folder / "set", {{"dark", 10}, {"grey", 110}, {"light", 210}});
    const std::string lenet = "--model lenet5 --input 28x28x1 --epochs 8 --batch 8 --lr 0.02 --seed 1 --data ";
    const testing::Result trained = testing::lathe("train " + lenet + set + " --out " + (folder / "run"));
    INFO(trained.err);
    REQUIRE(trained.code == 0);
    const std::string model = folder / "run/best.safetensors";
    REQUIRE(Json::parse(testing::lathe("eval --json --model " + model + " --data " + set).out)["correct"] == 36);

    // "grey" and "light" alone have the numbers 0 and 1 in their folder, 1 and 2 in the model.
    const std::string some = write_set(folder / "some", {{"grey", 110}, {"light", 210}});
    const testing::Result subset = testing::lathe("eval --model " + model + " --data " + some);
    CHECK(subset.out.find("2 of the model's 3 classes, in its order\n") != std::string::npos);
    CHECK(Json::parse(testing::lathe("eval --json --model " + model + " --data " + some).out)["correct"] == 24);
    CHECK(Json::parse(testing::lathe("compare --json --runs 1 --data " + some + " " + model).out)[0]["accuracy"] ==
          100.0);
    CHECK(testing::lathe("scan --model " + model + " --data " + some + " --images 10").code == 0);
    const testing::Result pruned =
        testing::lathe("prune --model " + model + " --data " + some + " --sparsity 0.3 --out " + (folder / "pruned"));
    CHECK(pruned.code == 0);
    CHECK(pruned.out.find("2 of the model's 3 classes, in its order\n") != std::string::npos);
    CHECK(Json::parse(testing::lathe("eval --json --model " + (folder / "pruned/pruned.safetensors") + " --data " + set)
                          .out)["total"] == 36);

    const auto turned = lathe::nn::load(model);
    std::swap(turned->class_names[0], turned->class_names[2]);
    lathe::nn::save(*turned, folder / "turned.safetensors");
    CHECK(testing::lathe("eval --model " + (folder / "turned.safetensors") + " --data " + set)
              .out.find(", 3 classes, labelled in the model's order\n") != std::string::npos);

    const std::string others = write_set(folder / "others", {{"dark", 10}, {"grey", 110}, {"pale", 210}});
    for (const std::string& command : {"eval --model " + model, "scan --model " + model, "compare " + model,
                                       "prune --model " + model + " --sparsity 0.3 --out " + (folder / "none")})
        check_fails(testing::lathe(command + " --data " + others), 1,
                    "class 'pale' is none of those expected: dark, grey, light");
    CHECK(!testing::fs::exists(folder / "none"));

    // Training on: the same names keep the classifier, others get a new one.
    const std::string init = "train --init " + model + " --epochs 1 --lr 1e-6 --batch 8 --data ";
    const testing::Result same = testing::lathe(init + set + " --out " + (folder / "same"));
    CHECK(same.out.find("new classifier") == std::string::npos);
    CHECK(same.out.find("accuracy 100.00%") != std::string::npos);
    const testing::Result other = testing::lathe(init + others + " --out " + (folder / "other"));
    CHECK(other.out.find("a new classifier for dark, grey, pale, in place of that for dark, grey, light\n") !=
          std::string::npos);
    CHECK(testing::lathe(init + some + " --out " + (folder / "fewer"))
              .out.find("a new classifier for grey, light, in place of that for dark, grey, light\n") !=
          std::string::npos);
}

TEST_CASE("a run resumes from its checkpoint alone: --init may be gone and the data moved, but not changed") {
    const testing::Folder folder;
    const std::vector<std::pair<std::string, int>> classes{{"dark", 10}, {"light", 210}};
    const std::string set = write_set(folder / "set", classes), run = folder / "run", whole = folder / "whole";
    const std::string train = "train --input 28x28x1 --batch 8 --seed 3 --data ";
    REQUIRE(testing::lathe(train + set + " --model lenet5 --epochs 1 --out " + (folder / "first")).code == 0);
    const std::string init = " --epochs 30 --init " + (folder / "first/best.safetensors") + " --out ";
    REQUIRE(testing::lathe(train + set + init + whole).code == 0);
    REQUIRE(testing::lathe(train + set + init + run, run + "/best.safetensors").code == 130);
    testing::fs::rename(folder / "first", folder / "away");
    testing::fs::rename(folder / "set", folder / "moved");
    const std::string resume = "train --resume --out " + run + " --data ";

    check_fails(testing::lathe(resume + write_set(folder / "renamed", {{"bright", 10}, {"light", 210}})), 1,
                "--resume: the run was begun with classes dark, light, got bright, light");
    check_fails(testing::lathe(resume + write_set(folder / "swapped", {{"dark", 210}, {"light", 10}, {"more", 99}})), 1,
                "got dark, light, more");
    write_set(folder / "other", classes);
    testing::fs::rename(folder / "other/train/dark/7.png", folder / "other/train/dark/seven.png");
    check_fails(testing::lathe(resume + "folder:" + (folder / "other")), 1,
                "the run was begun with training examples 48 (");

    REQUIRE(testing::lathe(resume + "folder:" + (folder / "moved")).code == 0);
    CHECK(testing::text_of(run + "/best.safetensors") == testing::text_of(whole + "/best.safetensors"));
}

TEST_CASE("--limit takes images of all classes, the same for train and prune") {
    const testing::Folder folder;
    const std::string set = write_set(folder / "set", {{"dark", 10}, {"grey", 110}, {"light", 210}});
    const std::string limit = " --validation 0 --limit 30 --seed 5 --data " + set;
    REQUIRE(testing::lathe("train --model lenet5 --epochs 20 --lr 0.02 --batch 6 --input 28x28x1 --out " +
                           (folder / "run") + limit)
                .code == 0);
    const std::string model = folder / "run/best.safetensors";
    const Json tested = Json::parse(testing::lathe("eval --json --model " + model + " --data " + set).out);
    INFO(tested.dump());
    for (const Json& found : tested["classes"]) CHECK(found["correct"] > 6);
    const testing::Result pruned =
        testing::lathe("prune --model " + model + " --sparsity 0.3 --out " + (folder / "pruned") + limit);
    CHECK(pruned.out.find(" train: 30 images") != std::string::npos);
}
