#include "lathe/core/error.h"

#include <doctest/doctest.h>

#include <thread>

#include "lathe/core/shape.h"

using namespace lathe;

TEST_CASE("an error is made of its parts, and only when the condition fails") {
    CHECK_THROWS_WITH_AS(fail("conv2d: expected ", 3, " channels, got ", Shape{1, 4}),
                         "conv2d: expected 3 channels, got [1, 4]", Error);
    CHECK_THROWS_WITH_AS(check(1 > 2, "scale ", 0.5), "scale 0.5", Error);
    CHECK_NOTHROW(check(2 > 1, "never"));
    CHECK_THROWS_AS(fail("a standard exception, too"), std::runtime_error);
}

TEST_CASE("errors carry the path of the layer that runs, one for each thread") {
    const std::string layer = "layer1", unnamed, block = "0";
    const PathScope outer(layer);
    {
        const PathScope nameless(unnamed), inner(block);
        CHECK(current_path() == "layer1.0");
        CHECK_THROWS_WITH_AS(fail("relu: no"), "layer1.0: relu: no", Error);
        std::string elsewhere = "not set";
        std::thread([&] { elsewhere = current_path(); }).join();
        CHECK(elsewhere.empty());
    }
    CHECK(current_path() == "layer1");
    try {
        const PathScope gone(block);
        fail("unwinds");
    } catch (const Error&) {
        CHECK(current_path() == "layer1");
    }
}

TEST_CASE("a misspelt name is answered with the nearest one") {
    const std::vector<std::string> names{"resnet20", "resnet8", "vgg-cifar", "lenet5"};
    CHECK(nearest_name("resnet21", names) == "did you mean 'resnet20'?");
    CHECK(nearest_name("vgg_cifra", names) == "did you mean 'vgg-cifar'?");
    CHECK(nearest_name("enet5", names) == "did you mean 'lenet5'?");
    CHECK(nearest_name("transformer", names) == "");
    CHECK(nearest_name("", names) == "");
    CHECK(nearest_name("resnet20", {}) == "");
    // Of two as near, the one named first.
    CHECK(nearest_name("bab", {"bat", "bar"}) == "did you mean 'bat'?");
}
