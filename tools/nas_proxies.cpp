#include "lathe/tools/nas_proxies.h"

#include <chrono>

#include "lathe/core/text_table.h"
#include "lathe/nas/predict/efficiency.h"
#include "lathe/nas/predict/proxies.h"
#include "lathe/nas/predict/rank_correlation.h"
#include "lathe/tools/checks.h"
#include "lathe/tools/progress.h"

namespace lathe::tools {

void ProxyOptions::add_to(CLI::App& c) {
    c.add_option("--proxies", networks,
                 "Also how zero-cost proxies, MACs and parameters order the first N of the rows held out")
        ->check(CLI::Range(2, 1000000));
    add_proxy_images(c, images);
    data.add_to(c);
    c.get_option("--data")->required(false);
}

void add_proxy_images(CLI::App& c, int64_t& images) {
    c.add_option("--images", images, "Training images that a proxy works on, drawn by the seed")
        ->check(CLI::Range(2, 10000))
        ->capture_default_str();
}

std::optional<data::Dataset> ProxyOptions::open(const nas::Space& space, size_t held_out, uint64_t seed) const {
    check((networks > 0) == !data.data.empty(), "predictor: expected --proxies and --data together");
    if (!networks) return {};
    check(networks <= static_cast<int64_t>(held_out), "--proxies: expected at most ", held_out,
          ", the rows that are held out, got ", networks);
    const int64_t side = space.choices.image_size.back();
    const data::Dataset all = data.open(data::Split::train, {.size = {side, side, 3}});
    return all.without(data.damaged(all)).sample(images, seed);
}

std::vector<Ordering> ProxyOptions::compare(const nas::Space& space, const nas::AccuracyTable& held_out,
                                            const nas::PredictorReport& report, const data::Dataset& sample,
                                            uint64_t seed, bool silent) const {
    const auto count = static_cast<size_t>(networks);
    const std::span<const double> measured(report.measured.data(), count);
    std::vector<Ordering> orderings;
    const auto add = [&](const std::string& by, std::span<const double> values, double seconds = 0) {
        orderings.push_back({by, nas::kendall_tau(values, measured), nas::spearman(values, measured), seconds});
    };
    add("predictor", {report.predicted.data(), count});
    std::vector<double> values(count);
    for (nas::Quantity quantity : {nas::Quantity::macs, nas::Quantity::parameters}) {
        for (size_t i = 0; i < count; ++i)
            values[i] = static_cast<double>(nas::value_of(nas::efficiency(space, held_out[i].arch), quantity));
        add(nas::name_of(quantity), values);
    }
    for (const std::string& name : nas::proxy_names()) {
        Progress progress(name, networks, !silent);
        const auto begin = std::chrono::steady_clock::now();
        for (size_t i = 0; i < count; ++i) {
            values[i] = nas::proxy_of(nas::proxy_named(name), space, held_out[i].arch, sample, seed);
            progress.update(static_cast<int64_t>(i) + 1);
        }
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
        add(name, values, seconds.count() / static_cast<double>(count));
    }
    return orderings;
}

std::string table_of(const std::vector<Ordering>& orderings) {
    TextTable table({"order by", "Kendall tau", "Spearman", "seconds a network"});
    for (const Ordering& o : orderings)
        table.add({o.by, format("%.4f", o.kendall), format("%.4f", o.spearman),
                   o.seconds > 0 ? format("%.3f", o.seconds) : ""});
    return table.str();
}

}  // namespace lathe::tools
