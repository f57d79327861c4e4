#include "lathe/tools/nas_costs.h"

#include <cstdio>

namespace lathe::tools {

using nas::Quantity;

std::vector<Quantity> known(const nas::Efficiency& cost) {
    std::vector<Quantity> all = nas::quantities();
    if (cost.latency) all.push_back(Quantity::latency);
    return all;
}

std::vector<std::string> cost_names(const nas::Efficiency& cost) {
    std::vector<std::string> names;
    for (Quantity quantity : known(cost)) names.push_back(nas::name_of(quantity));
    return names;
}

std::vector<std::string> cost_texts(const nas::Efficiency& cost) {
    std::vector<std::string> texts;
    for (Quantity quantity : known(cost)) texts.push_back(nas::text_of(quantity, nas::value_of(cost, quantity)));
    return texts;
}

nlohmann::ordered_json json_of(const nas::Arch& arch, const nas::Efficiency& cost) {
    nlohmann::ordered_json out{{"arch", nlohmann::ordered_json::parse(arch.str())}};
    for (Quantity quantity : known(cost)) out[nas::name_of(quantity)] = nas::value_of(cost, quantity);
    return out;
}

nas::LatencyTable open_times(const std::string& path, const nas::Space& space) {
    nas::LatencyTable table = nas::LatencyTable::load(path);
    const std::string& name = space.joint() ? space.supernet : space.name;
    check(table.space().name == name, path, ": expected times of ", name, ", got those of ", table.space().name);
    return table;
}

void say_files(const std::string& folder, const std::string& files, const std::string& figure, bool drawn) {
    std::printf("in %s: %s, %s%s\n", folder.c_str(), files.c_str(), figure.c_str(),
                drawn ? ".svg" : ".gnuplot; install gnuplot for its picture");
}

}  // namespace lathe::tools
