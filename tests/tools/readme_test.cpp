#include <doctest/doctest.h>

#include <regex>

#include "lathe/compress/quantize/codebook.h"
#include "lathe/compress/weights/prune.h"
#include "lathe/core/files/safetensors.h"
#include "lathe/core/print.h"
#include "lathe/data/image.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/nn/layers/linear.h"
#include "lathe/nn/mask.h"
#include "lathe/nn/models/registry.h"
#include "lathe/optim/trainer.h"
#include "lathe/tests/data/test_files.h"
#include "lathe/tests/nas/made_up_table.h"
#include "lathe/tests/tools/command.h"

// What the README and the chapters of the reading path show is what happens: their commands run here, on a few pictures
// and for an epoch or two, and print the lines shown, but for the numbers; their C++ stands in a source file.
using namespace testing;

namespace {

const char* const kChapters[] = {"README.md", "core/README.md", "nn/README.md", "optim/README.md",
                                 "compress/README.md", "nas/README.md"};

// A fenced block: ```sh commands, ```text what the commands before print, ```cpp.
struct Block {
    std::string language, text;
};

std::vector<Block> blocks_of(const std::string& markdown) {
    std::vector<Block> blocks;
    std::istringstream lines(markdown);
    bool inside = false;
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("```")) {
            inside = !inside;
            if (inside) blocks.push_back({line.substr(3), ""});
        } else if (inside) {
            blocks.back().text += line + "\n";
        }
    }
    return blocks;
}

// All that stands outside of the blocks.
std::string prose_of(const std::string& markdown) {
    return std::regex_replace(markdown, std::regex(R"(\n```[^`]*\n```)"), "\n");
}

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> found;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const size_t begin = line.find_first_not_of(" \t"), end = line.find_last_not_of(" \t");
        if (begin != std::string::npos) found.push_back(line.substr(begin, end - begin + 1));
    }
    return found;
}

std::string joined(const std::vector<std::string>& lines) {
    std::string text = "\n";
    for (const std::string& line : lines) text += line + "\n";
    return text;
}

bool is_program(const Block& block) { return block.text.find("int main(") != std::string::npos; }

// Commands that the reader's machine runs and this test does not: the tests of the installation do, or what runs all
// tests.
bool is_elsewhere(const std::string& command) {
    return std::regex_search(command, std::regex(R"(^(sudo|make|tools/download_data\.sh|c\+\+ .*train\.cpp))"));
}

// The same commands on the pictures of this test and for as short as can be.
std::string small(const std::string& script) {
    std::string kept = std::regex_replace(script, std::regex(R"(\\\n *)"), "");
    std::string commands = "set -e\n";
    for (const std::string& line : lines_of(kept))
        if (!is_elsewhere(line)) commands += line + "\n";
    const std::pair<const char*, const char*> shorter[] = {
        {R"(--data (cifar10|shapes))", "--data folder:pictures"},
        {R"( --limit \d+)", ""},
        {R"(--model resnet20)", "--model resnet20 --width 0.25"},
        {R"(--model vgg-cifar)", "--model vgg-cifar --width 0.125"},
        {R"( --validation [0-9.]+)", ""},  // of so few pictures
        {R"(lathe scan(?! --bits))", "lathe scan --sparsities 0.5,0.9"},
        {R"(--epochs \d+)", "--epochs 2"},
        {R"(--finetune \d+)", "--finetune 1"},
        {R"(--subnets \d+)", "--subnets 20"},
        {R"(--proxies \d+)", "--proxies 3 --images 2"},
        {R"(--prefilter)", "--images 4 --prefilter"},
        {R"((--target-(size|bops) [0-9.]+))", "$1 --scan-images 20"},
        {R"(--latency \w+)", "--latency 60s"},  // sanitizers make anything slow
        {R"(LATHE_DATA=DIR)", "LATHE_DATA=."},
        {R"(build/conv-ladder)", "build/conv-ladder --size 4 --batch 16 --seconds 0"},
        {R"(build/(lab1_pruning|lab2_quantization))",
         "build/$1 --data folder:pictures --scan-images 20 --train-epochs 1 --epochs 1"},
        {R"(build/lab3_nas --table \S+)",
         "build/lab3_nas --table tables/a.json --epochs 2 --iterations 5 --generations 5 --seeds 1 --limit 150 "
         "--train-epochs 1 --subnets 10 --qat 1"},
        {R"(lathe nas search)", "lathe nas search --iterations 5 --generations 5"},
        {R"(lathe compare)", "lathe compare --runs 1"},
        {R"(-Wl,)", "-O0 -Wl,"},
    };
    for (const auto& [from, to] : shorter) commands = std::regex_replace(commands, std::regex(from), to);
    return commands;
}

// A line without what differs from run to run and machine to machine: numbers, instruction sets, the width of columns.
std::string shape_of_line(std::string line) {
    static const std::regex varying(R"([-+]?[0-9][0-9.,:]*(e[-+]?[0-9]+)?|avx512|amx|avx-vnni|avx2|baseline|neon)");
    line = std::regex_replace(line, varying, "#");
    return std::regex_replace(line, std::regex(R"(-{3,}|\s+)"), " ");
}

std::vector<std::string> shapes_of_lines(const std::string& text) {
    std::vector<std::string> found;
    for (const std::string& line : lines_of(text)) found.push_back(shape_of_line(line));
    return found;
}

// Whether a line shown is the whole one printed, or its beginning and "...".
bool shows(const std::string& shown, const std::string& whole) {
    return shown == whole || (shown.ends_with("...") && whole.starts_with(shown.substr(0, shown.size() - 3)));
}

// A folder with what the commands name: programs, data sets, files of other origin.
struct Desk : Folder {
    explicit Desk(const std::string& readme) {
        fs::create_directories(path / "build");
        for (const auto& entry : fs::directory_iterator(fs::path(binary()).parent_path()))
            if (!entry.is_directory() || entry.path().filename() == "include")
                fs::create_symlink(entry.path(), path / "build" / entry.path().filename());

        uint8_t shade = 0;
        for (const auto& [split, count] : {std::pair{"train", 5}, std::pair{"test", 2}})
            for (int c = 0; c < 10; ++c)
                for (int i = 0; i < count; ++i)
                    lathe::testing::write_file(
                        *this / ("pictures/" + std::string(split) + "/class" + char('0' + c) + "/" + char('0' + i) +
                                 ".png"),
                        lathe::testing::encode_png(lathe::testing::plain_image(32, 32, {shade += 29, 100, 200})));
        fs::create_directory_symlink("pictures", path / "photos");
        lathe::testing::write_file(*this / "photo.jpg",
                                   lathe::testing::encode_jpeg(lathe::testing::plain_image(40, 50, {20, 100, 200})));
        for (const auto& [split, count] : {std::pair{"train", 60}, std::pair{"t10k", 20}}) {
            const auto big_endian = [](int number) { return std::string{0, 0, 0, static_cast<char>(number)}; };
            std::string labels = std::string{0, 0, 8, 1} + big_endian(count);
            for (int i = 0; i < count; ++i) labels += static_cast<char>(i % 10);
            const std::string file = *this / ("mnist/" + std::string(split));
            lathe::testing::write_file(file + "-labels-idx1-ubyte", labels);
            lathe::testing::write_file(file + "-images-idx3-ubyte",
                                       std::string{0, 0, 8, 3} + big_endian(count) + big_endian(28) + big_endian(28) +
                                           std::string(static_cast<size_t>(count) * 28 * 28, 'x'));
        }
        const auto resnet20 = lathe::nn::make_model("resnet20", {.width = 0.25});
        lathe::testing::write_file(*this / "tables/a.json",
                                   lathe::testing::json_of(lathe::testing::made_up_table(200)));
        lathe::write_safetensors(*this / "from_pytorch.safetensors", {.tensors = resnet20->state(), .metadata = {}});
        auto demo = lathe::nn::make_model("resnet8");
        for (char c = '0'; c <= '9'; ++c) demo->class_names.push_back(std::string("class") + c);
        fs::create_directories(path / "build/demo");
        lathe::nn::save(*demo, *this / "build/demo/best.safetensors");
        for (const Block& block : blocks_of(readme))
            if (block.language == "json") std::ofstream(path / "net.json") << block.text;
    }
};

}  // namespace

TEST_CASE("every command of the README and the chapters runs, and prints the lines that they show") {
    const bool release = fs::path(binary()).parent_path().filename() == "build";
    const bool draws = std::system("command -v gnuplot > /dev/null") == 0;  // else figures stay descriptions for it
    for (const std::string chapter : kChapters) {
        INFO(chapter);
        const std::string markdown = text_of(chapter);
        const Desk desk(markdown);
        std::string program;
        std::vector<std::string> printed;
        for (const Block& block : blocks_of(markdown)) {
            if (block.language == "cpp" && is_program(block)) program = block.text;
            if (block.language == "text" && !printed.empty()) {
                for (const std::string& line : shapes_of_lines(block.text)) {
                    if (!draws && line.find(".svg") != std::string::npos) continue;
                    CHECK_MESSAGE(std::any_of(printed.begin(), printed.end(),
                                              [&](const std::string& whole) { return shows(line, whole); }),
                                  "not printed: ", line, "\nin:", joined(printed));
                }
            }
            if (block.language != "sh") continue;
            std::smatch file;
            const bool builds = std::regex_search(block.text, file, std::regex(R"(c\+\+ .*?(\w+\.cpp))"));
            if (builds && !release) continue;  // a sanitized library is not what users link
            if (builds) std::ofstream(desk / file[1]) << program;
            const std::string commands = small(block.text);
            INFO(commands);
            const Result result = shell("cd " + desk.path.string() + "\n" + commands);
            INFO(result.out);
            CHECK_MESSAGE(result.code == 0, result.err);
            CHECK_FALSE(std::regex_search(result.out, std::regex(R"(test cases: +0 )")));  // a name that matches none
            printed = commands == "set -e\n" ? std::vector<std::string>{} : shapes_of_lines(result.out);
        }
    }
}

TEST_CASE("every target of make that the README and the chapters name is there") {
    const std::string makefile = text_of("Makefile");
    for (const std::string chapter : kChapters) {
        const std::string markdown = text_of(chapter);
        const std::regex call(R"((?:^|`|    )(?:sudo )?make ([a-z][a-z-]*)\b(?! sure))", std::regex::multiline);
        for (std::sregex_iterator at(markdown.begin(), markdown.end(), call), end; at != end; ++at) {
            const std::string target = (*at)[1];
            if (target == "build") continue;  // a program by its file
            CHECK_MESSAGE(makefile.find("\n" + target + ":") != std::string::npos, chapter, " names make ", target);
        }
    }
}

TEST_CASE("every piece of C++ in the README and the chapters stands in a source file") {
    std::vector<std::string> sources;
    for (const char* folder : {"core", "nn", "data", "optim", "compress", "nas", "tools", "tests"})
        for (const auto& entry : fs::recursive_directory_iterator(folder))
            if (const auto kind = entry.path().extension(); kind == ".cpp" || kind == ".h" || kind == ".inc")
                sources.push_back(joined(lines_of(text_of(entry.path()))));
    int64_t pieces = 0;
    for (const std::string chapter : kChapters)
        for (const Block& block : blocks_of(text_of(chapter))) {
            if (block.language != "cpp" || is_program(block)) continue;
            std::vector<std::string> piece;
            const auto found = [&] {
                const std::string text = joined(piece);
                return std::any_of(sources.begin(), sources.end(),
                                   [&](const std::string& source) { return source.find(text) != std::string::npos; });
            };
            for (const std::string& line : lines_of(block.text + "// ...\n")) {
                if (line != "// ...") {
                    piece.push_back(line);
                    continue;
                }
                CHECK_MESSAGE(found(), chapter, ": in no source file:", joined(piece));
                piece.clear();
                ++pieces;
            }
        }
    CHECK(pieces >= 20);
}

TEST_CASE("every file that the README and the chapters link is there") {
    for (const std::string chapter : kChapters) {
        const std::string markdown = prose_of(text_of(chapter));
        const std::regex link(R"(\]\(([^)#:]+)[^):]*\))");
        for (std::sregex_iterator at(markdown.begin(), markdown.end(), link), end; at != end; ++at) {
            const fs::path target = fs::path(chapter).parent_path() / (*at)[1].str();
            CHECK_MESSAGE(fs::exists(target), chapter, " links ", target.string());
        }
    }
}

TEST_CASE("the README's pieces of C++ do what stands beside them") {
    using namespace lathe;
    seed(1);
    const auto lenet = nn::make_model("lenet5");
    nn::Module& model = *lenet;
    print(compress::prune_magnitude(model, {.sparsity = 0.8, .layers = {{"conv1", 0.5}}}));  // then trainer.fit()
    CHECK(lenet->named_parameters("conv1.weight")[0].second->find_transform<nn::Mask>()->sparsity() == 0.5);
    CHECK(lenet->named_parameters("fc1.weight")[0].second->find_transform<nn::Mask>()->sparsity() == 0.8);

    print(compress::quantize_kmeans(model, {.bits = 4, .layers = {{"conv1", 8}}}));  // then trainer.fit()
    CHECK(lenet->named_parameters("conv1.weight")[0].second->find_transform<nn::Codebook>()->bits() == 8);
    CHECK(lenet->named_parameters("fc1.weight")[0].second->find_transform<nn::Codebook>()->bits() == 4);

    Tensor features({64, 4}), accuracies({64, 1});
    Random random(1);
    for (int64_t i = 0; i < 64; ++i) {
        float sum = 0;
        for (int64_t j = 0; j < 4; ++j)
            sum += features.mutable_data<float>()[i * 4 + j] = static_cast<float>(random.normal());
        accuracies.mutable_data<float>()[i] = sum;
    }
    nn::Linear predictor({.in = 4, .out = 1});
    optim::Trainer trainer(predictor, optim::adam({.lr = 0.1}));
    data::Dataset train({.name = "architectures"}, {.inputs = {features}, .targets = {accuracies}});
    auto [rest, validation] = train.hold_out(0.1);
    trainer.fit(rest, validation, {.task = optim::regression(), .step = optim::accumulated(4)});
    for (int64_t j = 0; j < 4; ++j) CHECK(predictor.weight.value().at(j) == doctest::Approx(1).epsilon(0.5));
}
