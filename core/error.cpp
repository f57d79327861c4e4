#include "lathe/core/error.h"

#include <algorithm>
#include <numeric>

namespace lathe {

namespace {
thread_local std::vector<const std::string*> path;

// Texts of a file may be long, or hold what a terminal would obey.
constexpr size_t kLongest = 1000;

std::string with_path(const std::string& message) {
    const std::string where = current_path();
    return printable(shortened(where.empty() ? message : where + ": " + message, kLongest));
}

size_t edit_distance(const std::string& a, const std::string& b) {
    std::vector<size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 1; i <= a.size(); ++i) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.size(); ++j) {
            const size_t substitute = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, substitute});
        }
    }
    return row.back();
}
}  // namespace

Error::Error(const std::string& message) : std::runtime_error(with_path(message)) {}

PathScope::PathScope(const std::string& name) { path.push_back(&name); }
PathScope::~PathScope() { path.pop_back(); }

std::string current_path() {
    std::string joined;
    for (const std::string* name : path) {
        if (name->empty()) continue;
        if (!joined.empty()) joined += '.';
        joined += *name;
    }
    return joined;
}

std::string nearest_name(const std::string& name, const std::vector<std::string>& candidates) {
    std::string best;
    size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
    for (const auto& candidate : candidates) {
        const size_t distance = edit_distance(name, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best.empty() ? "" : "did you mean '" + best + "'?";
}

}  // namespace lathe
