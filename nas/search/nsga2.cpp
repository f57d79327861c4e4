#include "lathe/nas/search/nsga2.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <set>

#include "lathe/core/error.h"

namespace lathe::nas {

namespace {

bool dominates(const Point& a, const Point& b) {
    bool better = false;
    for (size_t i = 0; i < a.size(); ++i) {
        if (a[i] > b[i]) return false;
        better |= a[i] < b[i];
    }
    return better;
}

struct Population {
    std::vector<Candidate> members;
    std::vector<int> fronts;
    std::vector<double> distances;

    // Ranks the members by the front, then by the distance within it.
    void rank(const std::vector<Quantity>& least) {
        std::vector<Point> points;
        for (const Candidate& member : members) {
            Point point{-member.score};
            for (Quantity quantity : least) point.push_back(static_cast<double>(value_of(member.cost, quantity)));
            points.push_back(std::move(point));
        }
        fronts = front_numbers(points);
        distances = crowding_distances(points, fronts);
    }
    bool better(size_t a, size_t b) const {
        return fronts[a] != fronts[b] ? fronts[a] < fronts[b] : distances[a] > distances[b];
    }
    // Two at random, the better of which is chosen.
    const Arch& parent(Random& random) const {
        const auto any = [&] { return static_cast<size_t>(random.below(static_cast<int64_t>(members.size()))); };
        const size_t a = any(), b = any();
        return members[better(b, a) ? b : a].arch;
    }
    // The best of the members, of equal networks only the first.
    Population best(size_t count, const Space& space) const {
        std::vector<size_t> order(members.size());
        std::iota(order.begin(), order.end(), size_t{0});
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return better(a, b); });
        std::set<std::string> known;
        Population kept;
        for (size_t i : order) {
            if (kept.members.size() == count) break;
            if (!known.insert(space.canonical(members[i].arch).str()).second) continue;
            kept.members.push_back(members[i]);
            kept.fronts.push_back(fronts[i]);
            kept.distances.push_back(distances[i]);
        }
        return kept;
    }
};

}  // namespace

std::vector<int> front_numbers(const std::vector<Point>& points) {
    std::vector<std::vector<size_t>> dominated(points.size());
    std::vector<int> dominators(points.size(), 0), fronts(points.size(), 0);
    std::vector<size_t> front;
    for (size_t a = 0; a < points.size(); ++a)
        for (size_t b = 0; b < points.size(); ++b)
            if (dominates(points[a], points[b])) dominated[a].push_back(b), ++dominators[b];
    for (size_t a = 0; a < points.size(); ++a)
        if (dominators[a] == 0) front.push_back(a);
    for (int number = 0; !front.empty(); ++number) {
        std::vector<size_t> next;
        for (size_t a : front) {
            fronts[a] = number;
            for (size_t b : dominated[a])
                if (--dominators[b] == 0) next.push_back(b);
        }
        front = std::move(next);
    }
    return fronts;
}

std::vector<double> crowding_distances(const std::vector<Point>& points, const std::vector<int>& fronts) {
    std::vector<double> distances(points.size(), 0);
    std::vector<size_t> order(points.size());
    std::iota(order.begin(), order.end(), size_t{0});
    for (size_t axis = 0; !points.empty() && axis < points[0].size(); ++axis) {
        std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
            return fronts[a] != fronts[b] ? fronts[a] < fronts[b] : points[a][axis] < points[b][axis];
        });
        for (size_t begin = 0, end; begin < order.size(); begin = end) {
            end = begin + 1;
            while (end < order.size() && fronts[order[end]] == fronts[order[begin]]) ++end;
            const auto at = [&](size_t i) { return points[order[i]][axis]; };
            const double extent = at(end - 1) - at(begin);
            distances[order[begin]] = distances[order[end - 1]] = std::numeric_limits<double>::infinity();
            for (size_t i = begin + 1; extent > 0 && i + 1 < end; ++i)
                distances[order[i]] += (at(i + 1) - at(i - 1)) / extent;
        }
    }
    return distances;
}

std::vector<Candidate> pareto_front(const Space& space, const Score& score, const Limits& limits,
                                    const ParetoOptions& o) {
    check(!o.least.empty(), "NSGA-II: expected a quantity to be small beside the score");
    check(o.population >= 2 && o.generations >= 0,
          "NSGA-II: expected a population of 2 or more and 0 or more generations, got ", o.population, " and ",
          o.generations);
    check(o.crossover >= 0 && o.crossover <= 1, "NSGA-II: expected a probability of crossover in [0, 1], got ",
          o.crossover);
    Population population;
    for (int64_t generation = 0; generation <= o.generations; ++generation) {
        std::vector<Candidate> children = draw_candidates(
            space, score, limits, o.population, o.seed, static_cast<uint64_t>(generation),
            [&](int64_t, Random& random) {
                if (generation == 0) return space.sample(random);
                const Arch& first = population.parent(random);
                const bool two = random.uniform() < o.crossover;
                return space.mutated(two ? space.crossed(first, population.parent(random), random) : first, o.mutation,
                                     random);
            });
        population.members.insert(population.members.end(), std::make_move_iterator(children.begin()),
                                  std::make_move_iterator(children.end()));
        population.rank(o.least);
        population = population.best(static_cast<size_t>(o.population), space);
    }
    std::vector<Candidate> front;
    for (size_t i = 0; i < population.members.size(); ++i)
        if (population.fronts[i] == 0) front.push_back(std::move(population.members[i]));
    std::stable_sort(front.begin(), front.end(), [&](const Candidate& a, const Candidate& b) {
        return value_of(a.cost, o.least[0]) < value_of(b.cost, o.least[0]);
    });
    return front;
}

}  // namespace lathe::nas
