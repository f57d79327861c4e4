#pragma once
#include <clocale>
#include <locale>
#include <string>

namespace lathe {

// While it lives the program's C++ locale writes numbers as in German, "1.234,5", and so does the C locale where one is
// installed.
class GermanLocale {
public:
    GermanLocale() {
        for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "de_DE"})
            if (std::setlocale(LC_ALL, name)) break;
    }
    ~GermanLocale() {
        std::locale::global(cpp_);
        std::setlocale(LC_ALL, c_.c_str());
    }
    GermanLocale(const GermanLocale&) = delete;
    GermanLocale& operator=(const GermanLocale&) = delete;

private:
    struct Numbers : std::numpunct<char> {
        char do_decimal_point() const override { return ','; }
        char do_thousands_sep() const override { return '.'; }
        std::string do_grouping() const override { return "\3"; }
    };
    const std::string c_ = std::setlocale(LC_ALL, nullptr);
    const std::locale cpp_ = std::locale::global(std::locale(std::locale::classic(), new Numbers));
};

}  // namespace lathe
