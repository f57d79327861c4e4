#include "lathe/nas/predict/latency.h"

#include <doctest/doctest.h>

#include <set>

#include "lathe/core/graph/cost.h"
#include "lathe/core/files/file.h"
#include "lathe/nas/search/evolution.h"
#include "lathe/nas/space/network.h"
#include "lathe/tests/nn/random_tensor.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::nas;
using namespace lathe::testing;

namespace {

// A machine on which a multiply-accumulate takes a nanosecond, and a call another one.
Measurement count(nn::Model& model) {
    return {1e-9 * static_cast<double>(1 + macs(nn::trace(model, model.example(1)))), 0};
}

LatencyTable full_table(const Space& space) {
    LatencyTable table(space, "counted");
    for (const Part& part : distinct_parts(space)) table.add(part, count);
    return table;
}

// A space of fewer networks, whose parts are made in no time.
Space small_space() {
    Space space = ofa_mobilenet_cifar();
    space.choices.image_size = {space.choices.image_size.front()};
    return space;
}

}  // namespace

TEST_CASE("the parts of a subnet multiply what the subnet does, in every space") {
    for (const std::string& name : space_names()) {
        INFO(name);
        const Space& space = space_named(name);
        Random random(3);
        for (int i = 0; i < 5; ++i) {
            const Arch arch = space.sample(random);
            const auto whole = network(space, arch);
            int64_t sum = 0;
            for (const Part& part : parts_of(space, arch)) {
                const auto model = part.make();
                sum += macs(nn::trace(*model, model->example(1)));
            }
            CHECK(sum == macs(nn::trace(*whole, whole->example(1))));
        }
    }
}

TEST_CASE("the distinct parts of a space are those of all its networks, each once") {
    for (const std::string& name : space_names()) {
        INFO(name);
        const Space& space = space_named(name);
        std::set<std::string> keys;
        for (const Part& part : distinct_parts(space)) CHECK(keys.insert(part.key).second);
        Random random(4);
        for (int i = 0; i < 200; ++i)
            for (const Part& part : parts_of(space, space.sample(random))) CHECK(keys.contains(part.key));
    }
}

TEST_CASE("a table adds up the parts of a subnet less the calls, and comes back from its file") {
    const Space space = small_space();
    const LatencyTable table = full_table(space);
    Random random(5);
    const Arch arch = space.sample(random);
    const auto whole = network(space, arch);
    CHECK(table.seconds(arch) == doctest::Approx(count(*whole).seconds).epsilon(1e-12));
    const LatencyCheck check = check_latency(table, space, count, 20, 1);
    CHECK(check.measured.size() == 20);
    CHECK(check.spearman == 1);
    CHECK(check.median_error < 1e-12);

    const TemporaryFolder folder;
    table.save(folder / "times.json");
    const LatencyTable again = LatencyTable::load(folder / "times.json");
    CHECK(again.meter() == "counted");
    CHECK(again.space().name == space.name);
    CHECK(again.seconds(arch) == table.seconds(arch));

    Arch other = arch;  // an image size that was not measured
    other.image_size = ofa_mobilenet_cifar().choices.image_size.back();
    CHECK(message_of([&] { again.seconds(other); }).starts_with("latency: the table of ofa-mobilenet-cifar has no "));
    CHECK(message_of([&] { LatencyTable(space, "").add(parts_of(space, arch)[1], [](nn::Model&) {
              return Measurement{-1, 0};
          }); }).starts_with("latency: expected a time above 0 s, got -1 s for first "));
    for (const char* text : {"", "{}", "[1]", R"({"format": "lathe latency table", "space": "mcunetv2", "meter": ""})",
                             R"({"format": "lathe latency table", "space": "x", "parts": {}})",
                             R"({"format": "lathe latency table", "space": "mcunetv2", "parts": {"a": [0, 1]}})",
                             R"({"format": "lathe latency table", "space": "mcunetv2", "parts": {"a": 3}})"}) {
        INFO(text);
        write_file_atomically(folder / "bad.json", text);
        CHECK_THROWS_AS(LatencyTable::load(folder / "bad.json"), Error);
    }
}

TEST_CASE("a search keeps to a latency, and says what cannot be met") {
    const Space space = small_space();
    const LatencyTable table = full_table(space);
    const Score score = [](std::span<const Arch> archs) {  // larger is better
        std::vector<double> scores;
        for (const Arch& arch : archs)
            scores.push_back(static_cast<double>(efficiency(ofa_mobilenet_cifar(), arch).macs));
        return scores;
    };
    const int64_t most = 3'000'000;
    const Limits limits{{Quantity::latency, most, &table}};
    const SearchResult found = evolve(space, score, limits, {.population = 20, .iterations = 3});
    CHECK(found.best().cost.latency <= most);
    CHECK(found.best().cost.latency > most / 2);
    CHECK(found.best().cost.latency == found.best().cost.macs + 1);
    CHECK(efficiency(space, found.best().arch).latency == 0);
    CHECK(message_of([&] { evolve(space, score, {{Quantity::latency, 10, &table}}, {}); })
              .starts_with("ofa-mobilenet-cifar: latency of at most 1e-05 ms cannot be met, the least is "));
}

TEST_CASE("what this machine takes is measured in repeated runs") {
    const auto parts = parts_of(small_space(), small_space().smallest());
    const auto call = parts.front().make(), first = parts[1].make();
    const Measurement short_one = measure_here(*call), taken = measure_here(*first);
    CHECK(short_one.seconds > 0);
    CHECK(taken.seconds > short_one.seconds);
    CHECK(taken.spread >= 0);
    const Measurement in_integers = measure_integer_here(*first);
    CHECK(in_integers.seconds > 0);
    CHECK(in_integers.seconds < 100 * taken.seconds);
}
