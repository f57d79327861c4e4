#include "lathe/core/files/json.h"

#include <doctest/doctest.h>

#include "lathe/core/error.h"

using namespace lathe;

TEST_CASE("JSON from outside is looked at before it is built") {
    CHECK(checked_json(R"({"a": [1, {"a": 2}], "b": null})", "f") == R"({"a": [1, {"a": 2}], "b": null})");
    CHECK_THROWS_WITH_AS(checked_json("{", "f"), "f: expected JSON in UTF-8", Error);
    CHECK_THROWS_WITH_AS(checked_json("", "f"), "f: expected JSON in UTF-8", Error);
    CHECK_THROWS_WITH_AS(checked_json("\"\xff\"", "f"), "f: expected JSON in UTF-8", Error);
    CHECK_THROWS_WITH_AS(checked_json("[1e999]", "f"), "f: expected JSON in UTF-8", Error);
    CHECK_THROWS_WITH_AS(checked_json(R"({"a": 1, "b": 2, "a": 3})", "f"), "f: duplicate key \"a\"", Error);
    CHECK_NOTHROW(checked_json("[[[]]]", "f", 3));
    CHECK_THROWS_WITH_AS(checked_json("[[[[]]]]", "f", 3), "f: expected at most 3 nested levels, got more", Error);
    CHECK_THROWS_WITH_AS(checked_json(std::string(10'000'000, '['), "f"),
                         "f: expected at most 16 nested levels, got more", Error);
}
