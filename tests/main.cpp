#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdlib>

#include "lathe/core/graph/graph.h"

int main(int argc, char** argv) {
    lathe::check_passes(true);
    setenv("LATHE_TUNE", "none", 1);  // the tests and the commands that they run choose kernels alike on every machine
    return doctest::Context(argc, argv).run();
}
