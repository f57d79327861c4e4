#include "lathe/core/graph/attributes.h"

#include <doctest/doctest.h>

#include "lathe/core/error.h"

using namespace lathe;

namespace {

const Attributes example{{"stride", std::vector<int64_t>{2, 1}},
                         {"groups", int64_t{4}},
                         {"epsilon", 1e-5},
                         {"mode", "same"}};

}  // namespace

TEST_CASE("attributes keep their types and their order") {
    CHECK(example.integers("stride") == std::vector<int64_t>{2, 1});
    CHECK(example.integer("groups") == 4);
    CHECK(example.real("epsilon") == 1e-5);
    CHECK(example.text("mode") == "same");
    CHECK(example.str() == "stride=[2, 1] groups=4 epsilon=1e-05 mode=same");
    CHECK(Attributes().str() == "");

    Attributes more = example;
    more.add("axis", int64_t{-1});
    CHECK(more.has("axis"));
    CHECK_FALSE(example.has("axis"));
    std::vector<std::string> names;
    for (const auto& [name, value] : more) names.push_back(name);
    CHECK(names == std::vector<std::string>{"stride", "groups", "epsilon", "mode", "axis"});
}

TEST_CASE("an attribute that is missing or of another type is an error that names it") {
    CHECK_THROWS_WITH_AS(example.integer("padding"),
                         "attribute 'padding' expected, got only stride=[2, 1] groups=4 epsilon=1e-05 mode=same",
                         Error);
    CHECK_THROWS_WITH_AS(example.real("groups"), "attribute 'groups' has another type than expected", Error);
    CHECK_THROWS_AS(example.integers("mode"), Error);
}
