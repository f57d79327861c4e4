#pragma once
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lathe/nas/predict/efficiency.h"

namespace lathe::tools {

// What is known of a cost: latency (of more than 0) only with a table.
std::vector<nas::Quantity> known(const nas::Efficiency& cost);
std::vector<std::string> cost_names(const nas::Efficiency& cost);
std::vector<std::string> cost_texts(const nas::Efficiency& cost);
nlohmann::ordered_json json_of(const nas::Arch& arch, const nas::Efficiency& cost);

// Times of the space's networks; of a joint space, of those that it compresses. Error: as LatencyTable::load, or times
// of another space.
nas::LatencyTable open_times(const std::string& path, const nas::Space& space);

// What a command left in its folder, with figures where gnuplot is; the others as gnuplot's commands.
void say_files(const std::string& folder, const std::string& files, const std::string& figure, bool drawn);

}  // namespace lathe::tools
