// The course's first lab, pruning, as a walk through the library: build/lab1_pruning
//
// It takes a trained network, or trains a small one first, and asks the lab's questions in order. Each step is one
// function below that prints its table and writes its figure; main() at the end reads as the table of contents. Where
// the reference notebook (MIT 6.5940, lab 1) does something that a reader should know before comparing, the step says
// so, and its published figures stand beside those found here.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

#include "lathe/core/measure/median.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/labs/network.h"
#include "lathe/tools/labs/walk.h"
#include "lathe/tools/lathe.h"
#include "lathe/tools/plot.h"

using namespace lathe;
using tools::draw, tools::heading, tools::trap, tools::draw_histograms, tools::Lab;

namespace {

// What the steps find, to be set beside the reference at the end. Accuracies in percent, sizes and speeds as shares.
struct Found {
    double dense = 0;
    double sparse_size = 0, sparse_before = 0, sparse = 0;                     // question 5
    double unsorted = 0, sorted = 0, channels = 0, fewer_macs = 0, fewer_parameters = 0, faster = 0;  // 6 to 8
};

// ---------------------------------------------------------------------------------------------------------------------

// A mask keeps the weights whose importance, here |w|, is strictly above a threshold: the round(25 s)-th smallest of
// them.
void question_1_and_2() {
    heading("1, 2. Magnitude pruning of one 5x5 tensor");
    trap("keeps what is strictly above the threshold, so ties may zero more weights than asked for; without any weight "
         "to\nzero its threshold is undefined",
         "the same rule and the same tensor, which must leave 6 and 10 weights; a sparsity of 0 keeps all.");
    const std::vector<float> w = {-0.46f, -0.40f, 0.39f,  0.19f,  0.37f,  0.00f, 0.40f, 0.17f, -0.15f,
                                  0.16f,  -0.20f, -0.23f, 0.36f,  0.25f,  0.03f, 0.24f, 0.41f, 0.07f,
                                  0.13f,  -0.15f, 0.48f,  -0.09f, -0.36f, 0.12f, 0.45f};
    Tensor importance = Tensor::of({5, 5}, w);
    for (float* x = importance.mutable_data<float>(); float& value : std::span(x, 25)) value = std::abs(value);
    for (double sparsity : {0.75, 0.6}) {
        const Tensor mask = compress::make_mask(importance, sparsity, {}, compress::Ties::prune_all);
        int64_t kept = 0;
        std::printf("sparsity %.2f, %lld zeros\n", sparsity, static_cast<long long>(compress::zeros_of(25, sparsity)));
        for (int64_t row = 0; row < 5; ++row) {
            for (int64_t column = 0; column < 5; ++column) {
                const int64_t i = row * 5 + column;
                kept += mask.at(i) != 0;
                std::printf(mask.at(i) ? " %5.2f" : "     .", static_cast<double>(w[static_cast<size_t>(i)]));
            }
            std::printf("\n");
        }
        std::printf("%lld weights left\n\n", static_cast<long long>(kept));
    }
}

// The reference's scan of the same network at full width on CIFAR-10 (dense 92.95 %): what each layer alone loses.
void beside_the_reference(const compress::Sensitivity& scan) {
    struct Row {
        const char* layer;
        double accuracy[3];
    };
    constexpr double kSparsities[] = {0.7, 0.8, 0.9}, kDense = 92.95;
    constexpr Row kReference[] = {{"conv0", {83.39, 69.43, 31.82}}, {"conv1", {92.40, 91.32, 84.78}},
                                  {"conv2", {91.77, 89.85, 78.56}}, {"conv3", {91.09, 85.35, 51.29}},
                                  {"conv4", {89.47, 76.84, 38.78}}, {"conv5", {91.88, 89.90, 82.21}},
                                  {"conv6", {92.10, 90.58, 83.64}}, {"conv7", {92.82, 92.63, 91.34}},
                                  {"classifier", {92.97, 92.67, 92.52}}};
    TextTable table({"points lost by", "at 70%", "reference", "at 80%", "reference", "at 90%", "reference"});
    bool any = false;
    for (const Row& row : kReference)
        for (const compress::Sensitivity::Layer& layer : scan.layers) {
            if (layer.name != std::string("backbone.") + row.layer + ".weight" &&
                layer.name != std::string(row.layer) + ".weight")
                continue;
            std::vector<std::string> cells{row.layer};
            for (int i = 0; i < 3; ++i)
                for (const compress::Sensitivity::Point& point : layer.points)
                    if (std::abs(point.sparsity - kSparsities[i]) < 1e-9) {
                        cells.push_back(format("%.2f", scan.dense.accuracy - point.accuracy));
                        cells.push_back(format("%.2f", kDense - row.accuracy[i]));
                    }
            table.add(cells);
            any = true;
        }
    if (any) std::printf("\n%s", table.str().c_str());
}

// One layer at a time is pruned, without fine-tuning. The images are held out of the training set: the test set is for
// the end. Curves that fall early belong to layers that should lose little.
compress::Sensitivity question_3(const Lab& lab, nn::Module& model) {
    heading("3. How sensitive is each layer?");
    trap("scans, chooses and reports on the test images, so that its choices have seen them",
         "scans images held out of the training set; the test images are for what comes out.");
    const compress::Sensitivity scan = compress::scan_sensitivity(
        model, lab.held_out,
        {.sparsities = {0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95}, .images = 0, .cache = lab.out + "/scan.json"});
    print(scan);
    const auto worst = std::min_element(scan.layers.begin(), scan.layers.end(), [](const auto& a, const auto& b) {
        const auto mean = [](const auto& layer) {
            double sum = 0;
            for (const auto& point : layer.points) sum += point.accuracy;
            return sum;
        };
        return mean(a) < mean(b);
    });
    std::printf("most sensitive: %s\n", worst->name.c_str());

    beside_the_reference(scan);
    draw(lab.out, "sensitivity", tools::sensitivity_curves(scan));
    return scan;
}

// Where the weights are: pruning a small layer saves nothing.
void question_4(const Lab& lab, nn::Module& model) {
    heading("4. How many parameters has each layer?");
    print(compress::measure_size(model));
    std::string data = "$p << end\n";
    for (const auto& [name, parameter] : model.named_parameters())
        if (parameter->value().rank() > 1)
            data += tools::plot_quoted(name) + format(" %lld\n", static_cast<long long>(parameter->value().numel()));
    draw(lab.out, "parameters",
         data +
             "end\nset style fill solid\nset boxwidth 0.8\nset xtics rotate by -60 font ',9'\nset bmargin 10\n"
             "set ylabel 'parameters'\nplot $p using 0:2:xtic(1) with boxes notitle\n");
}

void fine_tune(const Lab& lab, nn::Model& model) {
    trap("steps its cosine once a batch, though it is made for epochs: the rate swings with a period of 10 batches. It "
         "keeps\nthe epoch that the test images like best",
         "one cosine over all batches, and what the last epoch leaves.");
    tools::train(model, optim::sgd({.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4}), optim::cosine(), lab.epochs,
                 128, lab.train, lab.test);
}

// The lab has the student pick the sparsities. Here the scan picks them: where a byte saved costs the least loss.
// The size to reach is the lab's, a quarter of the dense one, and indices count.
std::unique_ptr<nn::Model> question_5(const Lab& lab, const compress::Sensitivity& scan, Found& found) {
    heading("5. Sparsities for a quarter of the size");
    trap("counts 32 bits for each weight left and nothing for where it stands",
         "both counts; the one with indices, which is what the file takes, has to meet the quarter.");
    auto model = nn::load(lab.model);
    const compress::CostModel costs = compress::size_cost(*model, scan);
    const compress::Allocation chosen = compress::allocate(scan, costs, 0.25 * costs.dense);
    print(compress::prune_magnitude(*model, {.layers = chosen.sparsities(), .ties = compress::Ties::prune_all}));
    const compress::SizeReport::Entry size = compress::measure_size(*model).total();
    found.sparse_size = static_cast<double>(size.nonzero_bytes()) / static_cast<double>(size.dense_bytes);
    found.sparse_before = lab.accuracy(*model);
    std::printf("values alone %.2f%%, packed %.2f%% of the dense size\naccuracy before fine-tuning: %.2f%%\n\n",
                100.0 * found.sparse_size,
                100.0 * static_cast<double>(size.packed_bytes) / static_cast<double>(size.dense_bytes),
                found.sparse_before);
    draw_histograms(lab.out, "weights_pruned", tools::weight_histograms(*model));
    fine_tune(lab, *model);  // masks hold: they are part of the weight
    found.sparse = lab.accuracy(*model);
    nn::save(*model, lab.out + "/sparse.safetensors", nn::Weights::encoded);
    draw_histograms(lab.out, "weights_finetuned", tools::weight_histograms(*model));
    return model;
}

// Cutting whole channels leaves a smaller dense network. Which ones? Sorting them by importance changes no output, and
// makes "the first 70%" a better choice.
std::unique_ptr<nn::Model> question_6_and_7(const Lab& lab, Found& found) {
    heading("6, 7. Channels: 30% of every layer");
    trap("is easily run on the weights that question 5 fine-tuned, which masks and training have changed (one copy\n"
         "finds 26.20% and 38.59% so). Its MACs include one for each element behind a batch norm and the mean",
         "the dense weights are loaded again; the report counts MACs in the same way, to compare.");
    auto unsorted = nn::load(lab.model), sorted = nn::load(lab.model);
    const Tensor x = unsorted->example();
    const double before = lab.accuracy(*sorted);
    compress::sort_channels(*sorted, x, {.kind = compress::ChannelImportance::next_l2});
    std::printf("accuracy before sorting %.2f%%, after %.2f%%\n", before, lab.accuracy(*sorted));
    const compress::ChannelPruneOptions options{
        .ratio = 0.3, .importance = {.kind = compress::ChannelImportance::order}, .macs = MacsCount::lab};
    print(compress::prune_channels(*unsorted, x, options));
    compress::prune_channels(*sorted, x, options);
    found.unsorted = lab.accuracy(*unsorted);
    found.sorted = lab.accuracy(*sorted);
    std::printf("accuracy of the first 70%%: unsorted %.2f%%, sorted %.2f%%\n\n", found.unsorted, found.sorted);
    fine_tune(lab, *sorted);
    found.channels = lab.accuracy(*sorted);
    nn::save(*sorted, lab.out + "/channels.safetensors");
    return sorted;
}

double milliseconds(nn::Model& model) {
    const Tensor x = model.example();
    const nn::Inference run_on(model, x);  // batch norms folded, sparse kernels where they are faster
    std::vector<double> times;
    for (int run = 0; run < 120; ++run) {  // the first 20 warm up
        const auto begin = std::chrono::steady_clock::now();
        run_on(x);
        if (run >= 20)
            times.push_back(1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return median(times);
}

void question_8(const Lab& lab, std::vector<std::pair<const char*, nn::Model*>> models, Found& found) {
    heading("8. What was gained");
    trap("times PyTorch without folding norms, on machines that differ by ten times; sparse weights gain it no time",
         "the median of 100 runs of what would be deployed.");
    struct Cost {
        double macs, parameters, milliseconds;
    };
    std::vector<Cost> costs;
    TextTable table({"network", "accuracy", "MACs (lab's count)", "parameters", "not zero", "packed bytes", "batch 1"});
    for (const auto& [name, model] : models) {
        const compress::SizeReport::Entry size = compress::measure_size(*model).total();
        const int64_t count = macs(nn::trace(*model, model->example()), MacsCount::lab);
        costs.push_back({static_cast<double>(count), static_cast<double>(size.elements), milliseconds(*model)});
        table.add({name, format("%.2f%%", lab.accuracy(*model)), with_commas(count), with_commas(size.elements),
                   with_commas(size.nonzeros), with_commas(size.packed_bytes),
                   format("%.2f ms", costs.back().milliseconds)});
    }
    std::printf("%s", table.str().c_str());
    const Cost &dense = costs.front(), &cut = costs.back();
    found.fewer_macs = dense.macs / cut.macs;
    found.fewer_parameters = dense.parameters / cut.parameters;
    found.faster = dense.milliseconds / cut.milliseconds;
}

// The best of the published copies that are right, on CIFAR-10 and at full width: levels differ with data and network,
// what each step loses or gains is to be compared.
void beside_the_reference(const Found& f) {
    heading("Beside the reference");
    TextTable table({"figure", "reference", "here"});
    const auto percent = [&](const char* what, double theirs, double ours) {
        table.add({what, format("%.2f%%", theirs), format("%.2f%%", ours)});
    };
    const auto times = [&](const char* what, const char* theirs, double ours) {
        table.add({what, theirs, format("%.1fx", ours)});
    };
    percent("dense accuracy", 92.95, f.dense);
    percent("single weights: values left", 22.13, 100 * f.sparse_size);
    percent("before fine-tuning", 84.36, f.sparse_before);
    percent("after it", 92.84, f.sparse);
    percent("points lost", 0.11, f.dense - f.sparse);
    table.add_rule();
    percent("70% of the channels, unsorted", 28.14, f.unsorted);
    percent("sorted by importance", 36.81, f.sorted);
    percent("after fine-tuning", 92.25, f.channels);
    percent("points lost", 0.70, f.dense - f.channels);
    times("fewer MACs (lab's count)", "2.0x", f.fewer_macs);
    times("fewer parameters", "1.8x", f.fewer_parameters);
    times("faster at batch 1", "1.1x to 2.5x", f.faster);
    std::printf("%s", table.str().c_str());
}

void walk(const tools::NetworkOptions& o) {
    const auto [lab, dense, accuracy] = tools::open_lab(o);
    Found found{.dense = accuracy};

    question_1_and_2();
    draw_histograms(lab.out, "weights_dense", tools::weight_histograms(*dense));
    const compress::Sensitivity scan = question_3(lab, *dense);
    question_4(lab, *dense);
    const auto sparse = question_5(lab, scan, found);
    const auto smaller = question_6_and_7(lab, found);
    question_8(lab, {{"dense", dense.get()}, {"fine-grained", sparse.get()}, {"channels", smaller.get()}}, found);
    beside_the_reference(found);
}

}  // namespace

int main(int argc, char** argv) {
    tools::NetworkOptions o("build/lab1");
    CLI::App app("The course's pruning lab on a trained network: every table on standard output, every figure as SVG",
                 "lab1_pruning");
    o.add_to(app);
    return tools::run(app, argc, argv, [&] { walk(o); });
}
