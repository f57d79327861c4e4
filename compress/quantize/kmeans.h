#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "lathe/core/tensor.h"

namespace lathe::compress {

// Where the centroids of one-dimensional k-means come from. `exact` is the optimum; the others are where Lloyd's
// iterations begin, which end in some local one (Lloyd 1982).
enum class KMeansInit {
    exact,      // by dynamic programming over the sorted values (Bellman 1973; Wang and Song 2011, "Ckmeans.1d.dp")
    plus_plus,  // drawn one by one, by the squared distance to those before (Arthur and Vassilvitskii 2007)
    linear,     // evenly between the least and the greatest value (Han et al. 2015, arXiv 1510.00149, section 3.2)
    density,    // the values at even steps of the distribution function (the same)
    random,     // different values, drawn evenly (Forgy's; the same)
};
std::vector<std::string> kmeans_init_names();
KMeansInit kmeans_init_of(const std::string& name);  // Error: unknown (names the nearest)

struct KMeansOptions {
    int64_t clusters = 16;
    KMeansInit init = KMeansInit::exact;
    uint64_t seed = 0;         // of plus_plus and random
    int64_t iterations = 300;  // of Lloyd's, at most
};

// Clusters of values on a line: each is the values from its begin to that of the next one.
struct Clusters {
    std::vector<float> begins;      // the least value of each, ascending
    std::vector<double> centroids;  // their means
    double sse = 0;                 // sum of the squared distances of the values to their centroids

    size_t of(float value) const;  // the cluster that a value lies in
};

// At most so many clusters of the f32 values, those alone whose `keep` (u8, of the values' shape; empty: all) is not 0;
// fewer where there are fewer different values, or where one of Lloyd's clusters ends up empty; none without values.
// Error: fewer than 1 cluster, values that are not finite.
Clusters kmeans(const Tensor& values, const KMeansOptions& options, const Tensor& keep = {});

}  // namespace lathe::compress
