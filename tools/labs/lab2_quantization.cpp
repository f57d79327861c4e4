// The course's second lab, quantization, as a walk through the library: build/lab2_quantization
//
// It takes a trained network, or trains a small one first, and goes the lab's way: values shared by k-means, then grids
// of integers, from one tensor up to a network that computes in integers alone. Each step is one function, those that
// need no network in by_hand.cpp; walk() at the end reads as the table of contents. Where the reference notebook (MIT
// 6.5940, lab 2) does something that a reader should know before comparing, the step says so, and its published figures
// stand beside those found here.
#include <algorithm>
#include <cstdio>
#include <map>

#include "lathe/core/text_table.h"
#include "lathe/tools/labs/by_hand.h"
#include "lathe/tools/labs/network.h"
#include "lathe/tools/labs/walk.h"
#include "lathe/tools/lathe.h"

using namespace lathe;
using tools::draw, tools::draw_histograms, tools::heading, tools::Histogram, tools::Lab, tools::trap;

namespace {

// What the steps find, to be set beside the reference at the end: accuracies in percent.
struct Found {
    double dense = 0;
    struct Codebooks {
        double before = 0, means = -1, sums = -1;  // after fine-tuning one way and the other; negative: not done
    };
    std::map<int, Codebooks> codebooks;  // by bits
    double folded = 0, integers = 0;  // integers with the lab's calibration
};

std::string told(double percent) { return percent < 0 ? "" : format("%.2f%%", percent); }

// ---------------------------------------------------------------------------------------------------------------------

// The lab counts `bits` for each parameter, norms and biases included, and no codebook.
int64_t bytes_of_the_lab(nn::Model& model, int bits) { return model.parameter_count() * bits / 8; }

// The optimum takes time in proportion to 2^bits; of many values that begin where weights are, Lloyd's iterations make
// much the same, at once.
std::unique_ptr<nn::Model> with_codebooks(const Lab& lab, int bits, nn::Codebook::Gradient gradient) {
    auto model = nn::load(lab.model);
    const auto init = bits > 4 ? compress::KMeansInit::density : compress::KMeansInit::exact;
    compress::quantize_kmeans(*model, {.bits = bits, .init = init, .gradient = gradient});
    return model;
}

// Where the shared values lie among the weights that they stand for.
void draw_codebooks(const Lab& lab, nn::Model& dense, nn::Model& quantized, int bits) {
    std::vector<Histogram> histograms = tools::weight_histograms(dense);
    for (Histogram& h : histograms) {
        const Tensor entries =
            nn::by_name(quantized.named_parameters()).at(h.title)->find_transform<nn::Codebook>()->entries();
        h.levels.assign(entries.data<float>(), entries.data<float>() + entries.numel());
    }
    draw_histograms(lab.out, format("codebooks_%d_bits", bits).c_str(), histograms);
}

// Every layer has its own 2^bits values.
void codebooks(const Lab& lab, nn::Model& dense, Found& found) {
    heading("2. The network with codebooks");
    trap("counts n bits for every parameter and nothing for codebooks. Its accuracies are those of the test images,\n"
         "by which its copies chose, too",
         "that count, and what the file takes: packed indices and codebooks, the rest as it was; then Huffman coded.\n"
         "The test images are for what comes out.");
    TextTable table({"bits", "lab's count", "packed", "Huffman coded", "32 bits over it", "accuracy"});
    table.add({"32", human_bytes(bytes_of_the_lab(dense, 32)), "", "", "", told(found.dense)});
    for (int bits : {8, 4, 2}) {
        const auto model = with_codebooks(lab, bits, nn::Codebook::Gradient::mean);
        const compress::CodingReport::Layer size = compress::measure_coding(*model).total();
        found.codebooks[bits].before = lab.accuracy(*model);
        table.add({std::to_string(bits), human_bytes(bytes_of_the_lab(dense, bits)), human_bytes(size.packed_bytes),
                   human_bytes(size.huffman_bytes), format("%.1fx", size.ratio()),
                   told(found.codebooks[bits].before)});
        if (bits < 8) draw_codebooks(lab, dense, *model, bits);
    }
    std::printf("%s", table.str().c_str());
}

// Weights stay in their clusters; what the clusters share is trained.
void fine_tune_codebooks(const Lab& lab, Found& found) {
    heading("3. Training what is shared");
    trap("steps every weight, then sets each shared value to the mean of its weights. Its cosine steps once a batch,\n"
         "though it is made for epochs; it stops at half a point lost of the test images",
         "that rule, as the mean of the gradients, and Deep Compression's, their sum, which is the gradient itself.\n"
         "One cosine over all batches; what the last epoch leaves. A sum grows with the layer: Adam takes its steps.");
    for (int bits : {4, 2})
        for (const auto gradient : {nn::Codebook::Gradient::mean, nn::Codebook::Gradient::sum}) {
            const bool means = gradient == nn::Codebook::Gradient::mean;
            const auto model = with_codebooks(lab, bits, gradient);
            std::printf("%d bits, %s\n", bits, means ? "means" : "sums");
            tools::train(*model, means ? optim::sgd({.lr = 0.01, .momentum = 0.9}) : optim::adam({.lr = 1e-4}),
                         optim::cosine(), lab.epochs, 128, lab.train, lab.test);
            (means ? found.codebooks[bits].means : found.codebooks[bits].sums) = lab.accuracy(*model);
            nn::save(*model, lab.out + format("/codebooks_%d_bits_%s.safetensors", bits, means ? "means" : "sums"),
                     nn::Weights::huffman);
        }
}

// Each layer's integers, a scale for each output channel.
void draw_integers(const Lab& lab, nn::Model& dense) {
    heading("5. Weights on grids of 4 and 2 bits");
    std::printf("A scale for each output channel: its greatest weight gets the greatest integer. With 2 bits that\n"
                "is 1, -2 is never used, and most weights become 0.\n");
    TextTable table({"bits", "zeros", "signal to noise"});
    for (int bits : {4, 2}) {
        std::vector<Histogram> histograms = tools::weight_histograms(dense);
        double signal = 0, noise = 0;
        int64_t zeros = 0, count = 0;
        for (Histogram& h : histograms) {
            const compress::Grid grid = compress::symmetric(h.values, bits);
            const Tensor integers = compress::quantize(h.values, grid), back = compress::dequantize(integers, grid);
            for (int64_t i = 0; i < back.numel(); ++i) {
                const double w = h.values.at(i), error = back.at(i) - w;
                signal += w * w;
                noise += error * error;
            }
            zeros += integers.numel() - integers.nonzeros();
            count += integers.numel();
            h = {.title = h.title, .values = integers.to(DType::f32), .bins = (1 << bits) + 1,
                 .limit = (1 << (bits - 1)) + 0.5};
        }
        draw_histograms(lab.out, format("integers_%d_bits", bits).c_str(), histograms);
        table.add({std::to_string(bits), percent(static_cast<double>(zeros) / static_cast<double>(count)),
                   format("%.1f dB", compress::decibels(signal, noise))});
    }
    std::printf("%s", table.str().c_str());
}

// Ops of the graph with a trained or fixed function; a norm with a relu counts as two.
int modules_of(const Graph& graph) {
    int count = 0;
    for (const GraphNode& node : graph.nodes)
        if (node.is_op() && node.activation && !node.op->traits.view)
            count += node.op->affine && node.attributes.text("activation") != "none" ? 2 : 1;
    return count;
}

// y = gamma (conv(x) - mean) / deviation + beta is a convolution with other weights.
void fold(const Lab& lab, nn::Model& dense, Found& found) {
    heading("8. Batch norms become part of the convolutions");
    const Graph graph = compress::fold_norms(dense, dense.example());
    found.folded = lab.accuracy(*compress::with_masks(graph, dense));
    std::printf("%d modules become %d (the lab's backbone, all but the classifier: 29 and 21)\naccuracy %.2f%%, before "
                "it %.2f%%\n",
                modules_of(nn::trace(dense, dense.example())), modules_of(graph), found.folded, found.dense);
}

// What the two ways of calibration make of each place.
std::string ranges_of(const compress::QuantizeReport& lab, const compress::QuantizeReport& ours) {
    TextTable table({"value", "lab's low", "high", "low", "high", "zero point", "observer"});
    for (size_t i = 0; i < ours.activations.size(); ++i) {
        const auto &theirs = lab.activations[i], &a = ours.activations[i];
        table.add({a.name, format("%.3f", theirs.range.low), format("%.3f", theirs.range.high),
                   format("%.3f", a.range.low), format("%.3f", a.range.high), std::to_string(a.zero_point),
                   compress::name_of(a.observer)});
    }
    return table.str();
}

// The network on 8 bits, first in floating point on grids, then in integers alone.
void eight_bits(const Lab& lab, nn::Model& dense, Found& found) {
    heading("9. Calibration, and 8 bits from input to output");
    trap("takes ranges from one augmented batch. Its pooling cuts fractions off; on a GPU it adds products in fp32,\n"
         "which is exact up to 2^24 only, and the sums of 4,608 of them may lie beyond. In one copy all images get\n"
         "the same class (10%)",
         "the same batch, and one without augmentation where each place has the observer that moves the output least;\n"
         "everything is rounded, and sums are int32. No test image chooses anything.");
    constexpr int64_t kImages = 512;
    const auto theirs = compress::prepare_quantization(dense, lab.train.sample(kImages));
    const auto ours = compress::prepare_quantization(dense, lab.held_out.sample(kImages),
                                                     {.observer = compress::Observer::automatic});
    std::printf("%s", ranges_of(theirs.report, ours.report).c_str());

    TextTable table({"calibration", "on grids, in floating point", "in integers alone"});
    for (const auto* quantized : {&theirs, &ours}) {
        const compress::IntegerProgram program = compress::lower_to_integer(*quantized->model);
        const double accuracy = optim::evaluate([&](const Tensor& x) { return program(x); }, lab.test)["accuracy"];
        table.add({quantized == &theirs ? "lab's" : "automatic", told(lab.accuracy(*quantized->model)),
                   told(accuracy)});
        if (quantized == &theirs) {
            found.integers = accuracy;
            continue;
        }
        compress::save(program, lab.out + "/int8.safetensors");
        int relus = 0;
        for (const GraphNode& node : program.net().graph.nodes) relus += node.op->activation != Activation::none;
        std::printf("\nrelus left in the integer program: %d. Behind one the range begins at 0, whose integer is the\n"
                    "least there is: saturation cuts off what the relu would.\n\n",
                    relus);
    }
    std::printf("%s", table.str().c_str());
}

// Grids of so many bits for the weights alone, of the network without norms.
double weights_on_grids(const Lab& lab, nn::Model& dense, const Graph& folded,
                        const std::function<compress::Grid(const Tensor&)>& grid) {
    const auto net = compress::with_masks(folded, dense);
    for (const auto& [name, parameter] : net->named_parameters())
        if (parameter->value().rank() >= 2) compress::set_fake_quantize(*parameter, grid(parameter->value()));
    return optim::evaluate(*net, lab.held_out)["accuracy"];
}

// All weights alike, nothing trained, activations in floating point.
void accuracy_over_bits(const Lab& lab, nn::Model& dense) {
    heading("10. Accuracy over bits");
    trap("has no such table, and chooses by the test images elsewhere",
         "images held out of the training set, since bits would be chosen by it.");
    const Graph folded = compress::fold_norms(dense, dense.example());
    struct Curve {
        const char* name;
        std::function<double(int bits)> accuracy;
    };
    const Curve curves[] = {
        {"k-means",
         [&](int bits) {
             return optim::evaluate(*with_codebooks(lab, bits, nn::Codebook::Gradient::mean), lab.held_out)["accuracy"];
         }},
        {"grid a channel, least error",
         [&](int bits) {
             return weights_on_grids(lab, dense, folded, [&](const Tensor& w) {
                 return compress::symmetric_least_error(w, bits);
             });
         }},
        {"grid a channel, as in the lab",
         [&](int bits) {
             return weights_on_grids(lab, dense, folded, [&](const Tensor& w) { return compress::symmetric(w, bits); });
         }},
        {"grid a tensor",
         [&](int bits) {
             return weights_on_grids(lab, dense, folded,
                                     [&](const Tensor& w) { return compress::symmetric(w, bits, -1); });
         }},
    };
    std::vector<std::string> header{"bits"};
    for (const Curve& curve : curves) header.push_back(curve.name);
    TextTable table(header);
    std::string data = "$accuracy << end\n";
    for (int bits = 2; bits <= 8; ++bits) {
        std::vector<std::string> cells{std::to_string(bits)};
        data += cells[0];
        for (const Curve& curve : curves) {
            const double accuracy = curve.accuracy(bits);
            cells.push_back(told(accuracy));
            data += format(" %g", accuracy);
        }
        data += "\n";
        table.add(cells);
    }
    std::printf("%s\n", table.str().c_str());
    data += "end\nset xlabel 'bits of a weight'\nset ylabel 'accuracy, %'\nset key bottom right\nset grid\nplot ";
    int column = 2;
    for (const Curve& curve : curves)
        data += format("$accuracy using 1:%d with linespoints title '%s', ", column++, curve.name);
    draw(lab.out, "accuracy_over_bits",
         data + format("%g with lines dashtype 2 linecolor 'black' title '32 bits'\n",
                       optim::evaluate(dense, lab.held_out)["accuracy"]));
    std::printf("\nk-means puts its values where weights are, a grid where its scale says: of the same bits a\n"
                "codebook has the smaller error, and saves room on the disk alone. A grid's integers can be\n"
                "multiplied: it saves time as well.\n");
}

// Of the published copies that are right, on CIFAR-10 and at full width.
void beside_the_reference(const Found& f) {
    heading("Beside the reference");
    struct Published {
        int bits;
        const char *before, *after;
    };
    TextTable table({"", "reference", "here"});
    table.add({"32 bits", "92.95%", told(f.dense)});
    for (const Published& p : {Published{8, "92.73% to 92.83%", ""},
                               Published{4, "79.07% to 81.61%", "92.47% to 92.70%"},
                               Published{2, "10.00% to 16.23%", "91.10% to 91.47%"}}) {
        const Found::Codebooks& c = f.codebooks.at(p.bits);
        table.add({format("codebooks of %d bits", p.bits), p.before, told(c.before)});
        if (c.means < 0) continue;
        table.add({"  after fine-tuning, means", p.after, told(c.means)});
        table.add({"  after fine-tuning, sums", "", told(c.sums)});
    }
    table.add_rule();
    table.add({"without norms", "92.95%", told(f.folded)});
    table.add({"8 bits, integers alone", "92.80% to 92.93%", told(f.integers)});
    std::printf("%s", table.str().c_str());
}

void walk(const tools::NetworkOptions& o) {
    const auto [lab, dense, accuracy] = tools::open_lab(o);
    Found found{.dense = accuracy, .codebooks = {}};

    tools::kmeans_by_hand();
    codebooks(lab, *dense, found);
    fine_tune_codebooks(lab, found);
    tools::scale_and_zero_by_hand();
    draw_integers(lab, *dense);
    tools::linear_layer_by_hand();
    fold(lab, *dense, found);
    eight_bits(lab, *dense, found);
    accuracy_over_bits(lab, *dense);
    beside_the_reference(found);
}

}  // namespace

int main(int argc, char** argv) {
    tools::NetworkOptions o("build/lab2");
    CLI::App app(
        "The course's quantization lab on a trained network: every table on standard output, every figure as SVG",
        "lab2_quantization");
    o.add_to(app);
    return tools::run(app, argc, argv, [&] { walk(o); });
}
