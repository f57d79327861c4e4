#include <cstdio>

#include "lathe/compress/budget/sensitivity.h"
#include "lathe/core/files/file.h"
#include "lathe/core/print.h"
#include "lathe/core/text_table.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/commands.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/data_options.h"
#include "lathe/tools/plot.h"
#include "lathe/tools/progress.h"
#include "lathe/tools/quantize_linear.h"
#include "lathe/tools/saved.h"

namespace lathe::tools {

namespace {

struct ScanCommand {
    std::string model, split = "train", pattern = "unstructured", importance = "magnitude", method = "kmeans", out;
    DataOptions data;
    compress::ScanOptions scan;
    bool json = false;
};

void scan(const CLI::App& command, ScanCommand& o) {
    check(!o.scan.bits.empty() || command.get_option("--method")->count() == 0,
          "scan: --method is for --bits; expected --bits beside it");
    if (!o.scan.bits.empty() && command.get_option("--sparsities")->count() == 0) o.scan.sparsities = {0};
    if (o.method == "linear") o.scan.few_bits = few_bits_of({});
    compress::check_settings(o.scan);
    auto model = open_network(o.model);
    const data::Dataset images = o.data.open(data::split_of(o.split), *model);
    o.scan.pattern = compress::parse_pattern(o.pattern);
    o.scan.importance.kind = compress::weight_importance_of(o.importance);
    o.scan.importance.data = &images;
    o.scan.workers = o.data.workers;
    if (!o.out.empty()) {
        make_folder(o.out);
        o.scan.cache = o.out + "/scan.json";
    }
    if (o.method == "linear") {
        model = in_8_bits({}, {}, *model, images);
        o.scan.only = quantized_weights(*model);
        if (!o.json) std::printf("dense: all weights and activations in 8 bits\n");
    }
    Progress progress("scan", 1000, !o.json);
    o.scan.go_on = [&](int64_t done, int64_t total) { return progress.update(1000 * done / total), true; };
    const compress::Sensitivity result = compress::scan_sensitivity(*model, images, o.scan);
    progress.clear();
    if (o.json) std::printf("%s", result.json().c_str());
    else print(result);
    if (o.out.empty()) return;
    write_file_atomically(o.out + "/scan.csv", result.csv());
    const bool drawn = plot_svg(o.out + "/scan", sensitivity_curves(result));
    if (!o.json)
        std::printf("in %s: scan.json, scan.csv%s\n", o.out.c_str(),
                    drawn ? ", scan.svg" : "; install gnuplot for the picture of scan.gnuplot");
}

}  // namespace

void add_scan(CLI::App& app) {
    auto o = std::make_shared<ScanCommand>();
    CLI::App& c = *app.add_subcommand("scan", "Show how sensitive each layer is: accuracy against sparsity or bits");
    c.add_option("--model", o->model, "A saved .safetensors file")->required();
    o->data.add_to(c);
    c.add_option("--split", o->split, "Where the images come from: train, validation or test")
        ->check(CLI::IsMember({"train", "validation", "test"}))
        ->capture_default_str();
    c.add_option("--images", o->scan.images, "So many, drawn at random; 0: all")
        ->check(NonNegativeNumber)
        ->capture_default_str();
    c.add_option("--seed", o->scan.seed, "Of the images drawn")->capture_default_str();
    c.add_option("--sparsities", o->scan.sparsities, "0.4,0.5,…")
        ->delimiter(',')
        ->expected(1, 1000)
        ->capture_default_str();
    c.add_option("--bits", o->scan.bits,
                 "2,3,4,…: the widths to try instead, or with --sparsities each of them at each")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--method", o->method, "Of --bits, as of quantize: kmeans, or linear in a network of 8 bits")
        ->check(CLI::IsMember({"kmeans", "linear"}))
        ->capture_default_str();
    c.add_option("--pattern", o->pattern, "unstructured, N:M (2:4), or blocks of outputs x inputs (1x4, 4x1)")
        ->capture_default_str();
    c.add_option("--importance", o->importance, "Of a weight: magnitude, taylor, movement or random")
        ->capture_default_str();
    c.add_option("--skip", o->scan.skip, "Leave out layers of these names or below them")
        ->delimiter(',')
        ->expected(1, 1000);
    c.add_option("--batch", o->scan.batch, "Images at a time")->check(PositiveNumber)->capture_default_str();
    add_threads(c);
    c.add_option("--out", o->out, "Folder for scan.json, scan.csv and scan.svg; a scan found there is not made again");
    c.add_flag("--json", o->json, "Print JSON");
    c.callback([&c, o] { scan(c, *o); });
}

}  // namespace lathe::tools
