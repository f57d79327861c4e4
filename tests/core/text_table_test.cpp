#include "lathe/core/text_table.h"

#include <doctest/doctest.h>

#include <clocale>
#include <cstdlib>

#include "lathe/tests/temporary_folder.h"

using namespace lathe;

TEST_CASE("a text table: columns as wide as their widest cell, numbers to the right") {
    TextTable table({"layer", "weights", "time"});
    table.add({"0.weight", "1,234", "0.5 ms"});
    table.add({"fc", "", "12.25 ms"});
    table.add_rule();
    table.add({"total", "1,234", ""});
    CHECK(table.str() ==
          "layer     weights      time\n"
          "---------------------------\n"
          "0.weight    1,234    0.5 ms\n"
          "fc                 12.25 ms\n"
          "---------------------------\n"
          "total       1,234\n");
}

TEST_CASE("format takes texts of any length and writes decimal points in every locale") {
    const std::string name(3000, 'x');
    CHECK(format("%s|%.2f", name.c_str(), 0.5) == name + "|0.50");
    const TemporaryFolder folder;
    const std::string before = std::setlocale(LC_ALL, nullptr);
    if (std::system(("localedef -i de_DE -f UTF-8 " + (folder / "de_DE.UTF-8") + " 2>/dev/null").c_str()) != 0) return;
    setenv("LOCPATH", (folder / "").c_str(), 1);
    REQUIRE(std::setlocale(LC_ALL, "de_DE.UTF-8"));
    unsetenv("LOCPATH");
    CHECK(format("%.2f %g", 1.5, 1e-5) == "1.50 1e-05");
    CHECK(std::string(std::localeconv()->decimal_point) == ",");  // the program's locale is left as it was
    std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("numbers for people") {
    CHECK(with_commas(9228362) == "9,228,362");
    CHECK(with_commas(-1234) == "-1,234");
    CHECK(with_commas(-123) == "-123");
    CHECK(human_bytes(1023) == "1023 B");
    CHECK(human_bytes(int64_t{3} << 40) == "3.0 TiB");
    CHECK(human_time(4.5) == "4.5 s");
    CHECK(human_time(123) == "2:03");
    CHECK(human_time(3723) == "1:02:03");
}
