#include "lathe/tools/nas_measure.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>
#include <sys/wait.h>

#include "lathe/core/files/file.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/parallel.h"
#include "lathe/core/text_table.h"
#include "lathe/nas/predict/latency.h"
#include "lathe/nn/files/model_file.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/common_options.h"
#include "lathe/tools/json_line.h"
#include "lathe/tools/nas_figures.h"
#include "lathe/tools/plot.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

namespace {

struct Measure {
    std::string space = nas::mcunetv2().name, meter, out;
    std::vector<int> image_sizes;
    int64_t networks = 100;
    uint64_t seed = 0;
    bool int8 = false, json = false;
};

std::string shell_quoted(const std::string& text) {
    std::string quoted = "'";
    for (char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
    return quoted + "'";
}

// Milliseconds: the last number that a command prints which is given a model's file.
nas::Measurement ask(const std::string& command, const std::string& file, nn::Model& model) {
    nn::save(model, file);
    const std::string line = command + " " + shell_quoted(file);
    FILE* pipe = popen(line.c_str(), "r");
    check(pipe != nullptr, "nas measure: cannot run ", command);
    std::string said;
    for (int c; (c = fgetc(pipe)) != EOF;) said += static_cast<char>(c);
    const int status = pclose(pipe);
    check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "nas measure: ", line, " failed");
    double found = 0;
    bool any = false;
    for (const std::string& word : CLI::detail::split_up(said))
        if (double value = 0; CLI::detail::lexical_cast(word, value)) found = value, any = true;
    check(any && found > 0, "nas measure: expected ", command, " to print milliseconds, a number above 0; it printed ",
          said.empty() ? "nothing" : said);
    return {found * 1e-3, 0};
}

void measure(const Measure& o) {
    nas::Space space = nas::space_named(o.space);
    check(!space.joint(), "--space: expected ", space.supernet, ", whose times a search in ", space.name,
          " takes, got ", space.name);
    const std::vector<int> all = space.choices.image_size;
    for (int size : o.image_sizes)
        check(std::find(all.begin(), all.end(), size) != all.end(), "--image-size: ", size,
              " is none of the sizes that the space has");
    if (!o.image_sizes.empty()) space.choices.image_size = o.image_sizes;
    std::sort(space.choices.image_size.begin(), space.choices.image_size.end());

    const std::string here =
        format("%s, %d thread%s%s", name_of(kernels::active_isa()), threads(), threads() == 1 ? "" : "s",
               o.int8 ? ", int8" : "");
    const std::string meter_name = o.meter.empty() ? here : o.meter;
    const std::string part_file = o.out + ".part.safetensors";
    const nas::Meter meter =
        !o.meter.empty() ? [&](nn::Model& model) { return ask(o.meter, part_file, model); }
        : o.int8         ? nas::Meter(nas::measure_integer_here)
                         : nas::Meter(nas::measure_here);
    nas::LatencyTable table(nas::space_named(o.space), meter_name);
    if (std::filesystem::exists(o.out)) {
        table = nas::LatencyTable::load(o.out);
        check(table.space().name == space.name && table.meter() == meter_name, o.out, ": expected a table of ",
              space.name, " by ", meter_name, ", to go on with; got one of ", table.space().name, " by ",
              table.meter());
    }
    const std::vector<nas::Part> parts = nas::distinct_parts(space);
    Progress progress("measure", static_cast<int64_t>(parts.size()), !o.json);
    for (size_t i = 0; i < parts.size(); ++i) {
        table.add(parts[i], meter);
        if (i % 100 == 99 || i + 1 == parts.size()) table.save(o.out);
        progress.update(static_cast<int64_t>(i) + 1, parts[i].key);
    }
    progress.clear();
    std::vector<double> spreads;
    for (const auto& [key, taken] : table.parts()) spreads.push_back(taken.spread / taken.seconds);
    std::sort(spreads.begin(), spreads.end());

    nas::LatencyCheck found;
    if (o.networks > 0) {
        Progress whole("networks", o.networks, !o.json);
        found = nas::check_latency(table, space, meter, o.networks, o.seed, [&](int64_t done) { whole.update(done); });
    }
    std::error_code ignored;
    if (!o.meter.empty()) std::filesystem::remove(part_file, ignored);
    const bool drawn = o.networks > 0 && plot_svg(o.out, latency_scatter(found), 720, 640);
    if (o.json) {
        std::printf("%s", json_line({{"parts", table.parts().size()},
                                     {"median_spread", spreads[spreads.size() / 2]},
                                     {"networks", o.networks},
                                     {"spearman", found.spearman},
                                     {"median_error", found.median_error}})
                              .c_str());
        return;
    }
    std::printf("%zu parts of %s by %s, in %s; between their quartiles %.1f%% of the time, in the middle\n",
                table.parts().size(), space.name.c_str(), meter_name.c_str(), o.out.c_str(),
                100 * spreads[spreads.size() / 2]);
    if (o.networks > 0)
        std::printf("%s whole networks, beside the sum of their parts: Spearman %.4f, median error %.1f%%%s\n",
                    with_commas(o.networks).c_str(), found.spearman, 100 * found.median_error,
                    drawn ? format(", drawn in %s.svg", o.out.c_str()).c_str() : "");
}

}  // namespace

void add_nas_measure(CLI::App& nas) {
    auto o = std::make_shared<Measure>();
    CLI::App& c = *nas.add_subcommand(
        "measure", "Time every distinct part of a space's networks: the table that `lathe nas search` takes");
    c.add_option("--space", o->space, "The design space")->capture_default_str();
    c.add_option("--image-size", o->image_sizes, "Only for images of these sizes: 96,128; none: of all")
        ->delimiter(',')
        ->expected(1, 100);
    CLI::Option* meter = c.add_option("--meter", o->meter,
                                      "A command that is given a model file and prints milliseconds, as of another "
                                      "device; none: this machine, in float32");
    c.add_flag("--int8", o->int8, "This machine, as integer programs")->excludes(meter);
    c.add_option("--check", o->networks, "Whole random networks that the sums are compared with")
        ->check(CLI::IsMember(std::set<int64_t>{0}) | CLI::Range(2, 1000000))
        ->capture_default_str();
    c.add_option("--seed", o->seed, "Of those networks")->capture_default_str();
    add_threads(c);
    c.add_option("--out", o->out, "JSON file for the table; one that is there goes on")->required();
    c.add_flag("--json", o->json, "Print one JSON object");
    c.callback([o] { measure(*o); });
}

}  // namespace lathe::tools
