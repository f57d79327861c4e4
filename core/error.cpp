#include "lathe/core/error.h"

#include <algorithm>
#include <numeric>

namespace lathe {

namespace {
// A list through the scopes themselves: what a thread keeps on the heap would be lost to a child process, in which only
// the thread that forked goes on.
thread_local const PathScope* innermost = nullptr;

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

namespace detail {

void fail(std::initializer_list<Part> parts) { throw Error(concatenated(parts)); }

}  // namespace detail

Error::Error(const std::string& message) : std::runtime_error(with_path(message)) {}

PathScope::PathScope(const std::string& name) : name_(name), outer_(innermost) { innermost = this; }
PathScope::~PathScope() { innermost = outer_; }

std::string current_path() {
    std::vector<const std::string*> names;
    for (const PathScope* scope = innermost; scope; scope = scope->outer_)
        if (!scope->name_.empty()) names.push_back(&scope->name_);
    std::string joined;
    for (auto name = names.rbegin(); name != names.rend(); ++name) joined += (joined.empty() ? "" : ".") + **name;
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
