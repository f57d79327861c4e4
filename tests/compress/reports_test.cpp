#include <doctest/doctest.h>

#include "lathe/compress/budget/allocate.h"
#include "lathe/compress/budget/size.h"
#include "lathe/compress/channels/prune.h"
#include "lathe/compress/weights/prune.h"

using namespace lathe;
using namespace lathe::compress;

TEST_CASE("a report's table holds names of any length whole") {
    const std::string name(300, 'n');
    WeightReport report;
    report.layers.push_back({.name = name, .weights = 100, .zeros = 25});
    CHECK(report.str().find(name + "      100    75    25.00%") != std::string::npos);
    CHECK(SizeReport{.parameters = {{.name = name, .elements = 7}}, .buffers = {}}.str().find(name + "        7") !=
          std::string::npos);
    Sensitivity scan;
    scan.layers.push_back({name, 12, {}});
    CHECK(scan.str().find(name + "       12") != std::string::npos);
    ChannelReport channels;
    channels.parameters_before = channels.macs_before = 2;
    channels.groups.push_back({{name}, 8, 6, ""});
    CHECK(channels.str().find("       8     6  " + name + "\n") != std::string::npos);
    CHECK(Allocation{.layers = {{name, 0.5, 3}}, .dense = 6}.str().find(name + "    50.00%     3") !=
          std::string::npos);
}
