#include "lathe/core/text.h"

#include <doctest/doctest.h>

#include "lathe/core/error.h"
#include "lathe/core/shape.h"
#include "lathe/core/text_table.h"
#include "lathe/tests/german_locale.h"

using namespace lathe;

TEST_CASE("text for machines is the same in every locale") {
    const auto written = [] {
        return concatenated(1234567, " ", 0.5, " ", Shape{1024, 3}, " ") + format("%.6g", 1234.5);
    };
    const std::string here = written();
    CHECK(here == "1234567 0.5 [1024, 3] 1234.5");
    const GermanLocale german;
    std::ostringstream natural;
    natural << 1234567 << ' ' << 0.5;
    CHECK(natural.str() == "1.234.567 0,5");  // the locale is in force
    CHECK(written() == here);
}

TEST_CASE("printable text obeys no terminal and loses nothing") {
    CHECK(printable("caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x90\x9d") == "caf\xc3\xa9 \xe2\x9c\x93 \xf0\x9f\x90\x9d");
    CHECK(printable("\x1b[2Jant\n\t\x7f") == "\\x1b[2Jant\\n\\t\\x7f");
    CHECK(printable(std::string("a\0b", 3)) == "a\\x00b");
    CHECK(printable("\xc2\x9b""31m") == "\\xc2\\x9b31m");                        // C1, as UTF-8 spells it
    CHECK(printable("caf\xe9 \xc0\xaf \xed\xa0\x80 \xf5") ==
          "caf\\xe9 \\xc0\\xaf \\xed\\xa0\\x80 \\xf5");  // Latin-1, overlong, surrogate
    CHECK(printable("cut \xe2\x9c") == "cut \\xe2\\x9c");
    CHECK(printable(printable("\x1b")) == printable("\x1b"));
    CHECK(is_utf8("\xe2\x9c\x93\n"));
    CHECK_FALSE(is_utf8("caf\xe9"));
}

TEST_CASE("shortened text keeps both ends, and characters whole") {
    CHECK(shortened("short", 5) == "short");
    CHECK(shortened("0123456789", 6) == "0123…89");
    CHECK(shortened("012\xc3\xa9""45678\xc3\xa9", 6) == "012…\xc3\xa9");
}

TEST_CASE("a word for the shell") {
    CHECK(shell_quoted("runs/a-1.2_b") == "runs/a-1.2_b");
    CHECK(shell_quoted("my run") == "'my run'");
    CHECK(shell_quoted("it's $HOME") == "'it'\\''s $HOME'");
    CHECK(shell_quoted("") == "''");
    CHECK(shell_quoted("~/x*") == "'~/x*'");
}

TEST_CASE("an error is one line of a readable length, whatever it quotes") {
    const Error error("file: got '" + std::string(10'000'000, 'x') + "\x1b[2J', expected\nless");
    const std::string what = error.what();
    CHECK(what.size() < 1100);
    CHECK(what.starts_with("file: got 'xxx"));
    CHECK(what.ends_with("xxx\\x1b[2J', expected\\nless"));
}
