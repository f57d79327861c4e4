// The course's first lab, pruning, as a walk through the library: build/lab1_pruning --model FILE --data cifar10
//
// It takes a trained network and asks the lab's questions in order. Each step is one function below that prints its
// table and writes its figure; main() at the end reads as the table of contents.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "lathe/core/measure/median.h"
#include "lathe/core/text_table.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/lathe.h"
#include "lathe/tools/plot.h"

using namespace lathe;

namespace {

struct Options {
    std::string model = "resnet20.safetensors", out = "build/lab1";
    tools::DataOptions data;
    int64_t epochs = 5, scan_images = 2000, limit = 0;
};

struct Lab {
    std::string model, out;
    int64_t epochs;
    data::Dataset train, held_out, test;  // fine-tuning; the scan, taken out of the training images; the result
};

double accuracy(nn::Module& model, const Lab& lab) { return optim::evaluate(model, lab.test)["accuracy"]; }

void draw(const Lab& lab, const char* name, const std::string& commands, int height = 540) {
    const bool drawn = tools::plot_svg(lab.out + "/" + name, commands, 900, height);
    std::printf("figure: %s/%s.%s\n", lab.out.c_str(), name,
                drawn ? "svg" : "gnuplot (install gnuplot for the picture)");
}

void heading(const char* text) { std::printf("\n=== %s\n\n", text); }

// ---------------------------------------------------------------------------------------------------------------------

// A mask keeps the weights whose importance, here |w|, is strictly above a threshold: the round(25 s)-th smallest of
// them.
void question_1_and_2() {
    heading("1, 2. Magnitude pruning of one 5x5 tensor");
    const std::vector<float> w = {-0.46f, -0.40f, 0.39f,  0.19f,  0.37f,  0.00f, 0.40f, 0.17f, -0.15f,
                                  0.16f,  -0.20f, -0.23f, 0.36f,  0.25f,  0.03f, 0.24f, 0.41f, 0.07f,
                                  0.13f,  -0.15f, 0.48f,  -0.09f, -0.36f, 0.12f, 0.45f};
    Tensor importance = Tensor::of({5, 5}, w);
    for (float* x = importance.mutable_data<float>(); float& value : std::span(x, 25)) value = std::abs(value);
    for (double sparsity : {0.75, 0.6}) {
        const Tensor mask = compress::make_mask(importance, sparsity);
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

// How the weights of every layer are distributed; those that are zero are left out.
void histograms(const Lab& lab, nn::Module& model, const char* name) {
    constexpr int kBins = 64;
    std::string data, plots;
    int count = 0;
    const NoGrad no_grad;
    for (const auto& [layer, parameter] : model.named_parameters()) {
        if (parameter->value().rank() < 2) continue;
        const Tensor weight = parameter->effective().value();
        const float* w = weight.data<float>();
        const float limit = std::abs(
            *std::max_element(w, w + weight.numel(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
        std::vector<int64_t> bins(kBins, 0);
        for (int64_t i = 0; i < weight.numel(); ++i)
            if (w[i] != 0) ++bins[static_cast<size_t>(std::min<float>(kBins - 1, (w[i] / limit + 1) / 2 * kBins))];
        data += format("$h%d << end\n", count);
        for (int i = 0; i < kBins; ++i)
            data += format("%g %lld\n", limit * (2.0 * (i + 0.5) / kBins - 1),
                           static_cast<long long>(bins[static_cast<size_t>(i)]));
        data += "end\n";
        plots +=
            "set title " + tools::plot_quoted(layer) + format("\nplot $h%d using 1:2 with boxes notitle\n", count++);
    }
    const int rows = (count + 2) / 3;
    draw(lab, name,
         data +
             format("set style fill solid\nset xtics font ',8'\nset ytics font ',8'\nset title font ',10'\nset "
                    "multiplot layout %d,3\n",
                    rows) +
             plots + "unset multiplot\n",
         160 * rows);
}

// One layer at a time is pruned, without fine-tuning. The images are held out of the training set: the test set is for
// the end. Curves that fall early belong to layers that should lose little.
compress::Sensitivity question_3(const Lab& lab, nn::Module& model) {
    heading("3. How sensitive is each layer?");
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

    draw(lab, "sensitivity", tools::sensitivity_curves(scan));
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
    draw(lab, "parameters",
         data +
             "end\nset style fill solid\nset boxwidth 0.8\nset xtics rotate by -60 font ',9'\nset bmargin 10\n"
             "set ylabel 'parameters'\nplot $p using 0:2:xtic(1) with boxes notitle\n");
}

optim::History fine_tune(const Lab& lab, nn::Model& model) {
    optim::Trainer trainer(model, optim::sgd({.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4}));
    return trainer.fit(lab.train, lab.test,
                       {.epochs = lab.epochs, .schedule = optim::cosine(), .on_epoch = [](const optim::EpochReport& e) {
                            std::printf("epoch %lld: accuracy %.2f%%\n", static_cast<long long>(e.epoch),
                                        e.validation["accuracy"]);
                            std::fflush(stdout);
                        }});
}

// The lab has the student pick the sparsities. Here the scan picks them: where a byte saved costs the least loss.
// The size to reach is the lab's, a quarter of the dense one, and indices count.
std::unique_ptr<nn::Model> question_5(const Lab& lab, const compress::Sensitivity& scan) {
    heading("5. Sparsities for a quarter of the size");
    auto model = nn::load(lab.model);
    const compress::CostModel costs = compress::size_cost(*model, scan);
    const compress::Allocation chosen = compress::allocate(scan, costs, 0.25 * costs.dense);
    print(compress::prune_magnitude(*model, {.layers = chosen.sparsities()}));
    const compress::SizeReport::Entry size = compress::measure_size(*model).total();
    std::printf("values alone %.2f%%, packed %.2f%% of the dense size\naccuracy before fine-tuning: %.2f%%\n",
                100.0 * static_cast<double>(size.nonzero_bytes()) / static_cast<double>(size.dense_bytes),
                100.0 * static_cast<double>(size.packed_bytes) / static_cast<double>(size.dense_bytes),
                accuracy(*model, lab));
    histograms(lab, *model, "weights_pruned");
    fine_tune(lab, *model);  // masks hold: they are part of the weight
    nn::save(*model, lab.out + "/sparse.safetensors", nn::Weights::encoded);
    histograms(lab, *model, "weights_finetuned");
    return model;
}

// Cutting whole channels leaves a smaller dense network. Which ones? Sorting them by importance changes no output, and
// makes "the first 70%" a better choice.
std::unique_ptr<nn::Model> question_6_and_7(const Lab& lab) {
    heading("6, 7. Channels: 30% of every layer");
    auto unsorted = nn::load(lab.model), sorted = nn::load(lab.model);
    const Tensor x = unsorted->example();
    const double before = accuracy(*sorted, lab);
    compress::sort_channels(*sorted, x, {.kind = compress::ChannelImportance::next_l2});
    std::printf("accuracy before sorting %.2f%%, after %.2f%%\n", before, accuracy(*sorted, lab));
    const compress::ChannelPruneOptions options{
        .ratio = 0.3, .importance = {.kind = compress::ChannelImportance::order}, .macs = MacsCount::lab};
    print(compress::prune_channels(*unsorted, x, options));
    compress::prune_channels(*sorted, x, options);
    std::printf("accuracy of the first 70%%: unsorted %.2f%%, sorted %.2f%%\n", accuracy(*unsorted, lab),
                accuracy(*sorted, lab));
    fine_tune(lab, *sorted);
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

void question_8(const Lab& lab, std::vector<std::pair<const char*, nn::Model*>> models) {
    heading("8. What was gained");
    TextTable table({"network", "accuracy", "MACs (lab's count)", "parameters", "not zero", "packed bytes", "batch 1"});
    for (const auto& [name, model] : models) {
        const compress::SizeReport::Entry size = compress::measure_size(*model).total();
        table.add({name, format("%.2f%%", accuracy(*model, lab)),
                   with_commas(macs(nn::trace(*model, model->example()), MacsCount::lab)), with_commas(size.elements),
                   with_commas(size.nonzeros), with_commas(size.packed_bytes),
                   format("%.2f ms", milliseconds(*model))});
    }
    std::printf("%s", table.str().c_str());
}

void walk(const Options& o) {
    std::filesystem::create_directories(o.out);
    const auto dense = nn::load(o.model);
    const auto open = [&](data::Split split, const char* augment) {
        const data::Dataset all = o.data.open(split, *dense, augment);
        return o.limit && split == data::Split::train ? all.sample(o.limit) : all;
    };
    const Lab lab{o.model, o.out, o.epochs, open(data::Split::train, "auto").without_sample(o.scan_images),
                  open(data::Split::train, "none").sample(o.scan_images), open(data::Split::test, "none")};
    std::printf("%s: %s\n%s\naccuracy %.2f%%\n", o.model.c_str(), dense->architecture().c_str(),
                lab.test.describe().c_str(), accuracy(*dense, lab));

    question_1_and_2();
    histograms(lab, *dense, "weights_dense");
    const compress::Sensitivity scan = question_3(lab, *dense);
    question_4(lab, *dense);
    const auto sparse = question_5(lab, scan);
    const auto smaller = question_6_and_7(lab);
    question_8(lab, {{"dense", dense.get()}, {"fine-grained", sparse.get()}, {"channels", smaller.get()}});
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App app("The course's pruning lab on a trained network: every table on standard output, every figure as SVG",
                 "lab1_pruning");
    app.add_option("--model", o.model, "A saved .safetensors file, such as a trained resnet20 or vgg-cifar")
        ->capture_default_str();
    o.data.add_to(app);
    app.add_option("--epochs", o.epochs, "Of each fine-tuning")->check(tools::PositiveNumber)->capture_default_str();
    app.add_option("--scan-images", o.scan_images, "Held out of the training images for the scan")
        ->check(tools::PositiveNumber)
        ->capture_default_str();
    app.add_option("--limit", o.limit, "Take N training images only, drawn at random; 0: all")
        ->check(tools::NonNegativeNumber)
        ->capture_default_str();
    app.add_option("--out", o.out, "Folder for figures and models")->capture_default_str();
    CLI11_PARSE(app, argc, argv);
    try {
        walk(o);
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
