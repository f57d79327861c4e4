#pragma once
#include <string>
#include <vector>

#include "lathe/nas/predict/accuracy_predictor.h"
#include "lathe/nas/predict/latency.h"
#include "lathe/nas/search/candidates.h"

namespace lathe::tools {

// The lab's drawing of a subnet as an SVG text: a box for every layer, in order, as high as the block expands and
// coloured by its kernel, with its channels, and below the resolution that the stage works at.
std::string drawing_of(const nas::Space& space, const nas::Arch& arch);

// Commands for plot_svg. Accuracies are shares and drawn in percent.

// Predicted over measured accuracy of every row of the validation part.
std::string predictor_scatter(const nas::PredictorReport& report);
// Predicted over measured times of whole networks.
std::string latency_scatter(const nas::LatencyCheck& check);
// The best score so far over the subnets scored, a curve for each search.
struct NamedSearch {
    std::string name;
    std::vector<nas::SearchStep> steps;
};
std::string search_curves(const std::vector<NamedSearch>& searches);
// Score over the quantity.
std::string front_curve(const std::vector<nas::Candidate>& front, nas::Quantity quantity);

}  // namespace lathe::tools
