#pragma once
#include <CLI/CLI.hpp>
#include <cmath>
#include <string>

namespace lathe::tools {

// Numbers on the command line. CLI11's checks of the same names answer a wrong one with the 300 digits of the largest
// double.
inline CLI::Validator number_check(const char* name, const char* expected, bool (*fits)(double)) {
    return {[=](std::string& text) {
                double value = 0;
                const bool right = CLI::detail::lexical_cast(text, value) && std::isfinite(value) && fits(value);
                return right ? std::string() : std::string("expected ") + expected + ", got " + text;
            },
            name};
}
inline const CLI::Validator PositiveNumber =
    number_check("POSITIVE", "a number above 0", [](double x) { return x > 0; });
inline const CLI::Validator NonNegativeNumber =
    number_check("NONNEGATIVE", "a number of 0 or more", [](double x) { return x >= 0; });
inline const CLI::Validator ProbabilityOrUsual =
    number_check("-1 or [0,1)", "-1 or a number in [0, 1)", [](double x) { return x == -1 || (x >= 0 && x < 1); });
inline const CLI::Validator NonNegativeOrUsual =
    number_check("-1 or NONNEGATIVE", "-1 or a number of 0 or more", [](double x) { return x == -1 || x >= 0; });

// Holds all options of a command to words of their types: CLI11 alone takes "" and " 3", whole numbers that wrap
// around, and NaN.
void check_words(CLI::App& command);

}  // namespace lathe::tools
