#include "lathe/core/text_table.h"

#include <locale.h>

#include <algorithm>
#include <cctype>
#include <cstdarg>
#include <cstdio>

#include "lathe/core/text.h"

namespace lathe {

namespace {

// Its first word is one: "0.5", "64.0 KiB", "1:02:03", "56%"; the layer "0.weight" is not.
bool is_number(const std::string& cell) {
    const std::string word = cell.substr(0, cell.find(' '));
    return !word.empty() && (word[0] == '-' || std::isdigit(static_cast<unsigned char>(word[0]))) &&
           word.find_first_not_of("0123456789.,:%+-e") == std::string::npos;
}

// The C locale on this thread for the length of a scope: the program's may write decimal commas.
class ClassicLocale {
public:
    ClassicLocale() : before_(uselocale(classic())) {}
    ~ClassicLocale() { uselocale(before_); }
    ClassicLocale(const ClassicLocale&) = delete;
    ClassicLocale& operator=(const ClassicLocale&) = delete;

private:
    static locale_t classic() {
        static const locale_t locale = newlocale(LC_ALL_MASK, "C", nullptr);
        return locale;
    }
    locale_t before_;
};

}  // namespace

void TextTable::add(std::vector<std::string> row) {
    for (std::string& cell : row) cell = printable(cell);
    rows_.push_back(std::move(row));
}

std::string TextTable::str() const {
    std::vector<size_t> widths;
    std::vector<bool> right;
    for (size_t r = 0; r < rows_.size(); ++r)
        for (size_t c = 0; c < rows_[r].size(); ++c) {
            if (c == widths.size()) widths.push_back(0), right.push_back(true);
            widths[c] = std::max(widths[c], rows_[r][c].size());
            if (r > 0 && !rows_[r][c].empty() && !is_number(rows_[r][c])) right[c] = false;
        }
    size_t total = 0;
    for (size_t width : widths) total += width + 2;
    const std::string rule(total > 2 ? total - 2 : 0, '-');

    std::string text;
    for (size_t r = 0; r < rows_.size(); ++r) {
        std::string line;
        if (rows_[r].empty()) line = rule;
        for (size_t c = 0; c < rows_[r].size(); ++c) {
            const std::string fill(widths[c] - rows_[r][c].size(), ' ');
            line += (c ? "  " : "") + (right[c] ? fill + rows_[r][c] : rows_[r][c] + fill);
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + '\n';
        if (r == 0) text += rule + '\n';
    }
    return text;
}

std::string format(const char* pattern, ...) {
    const ClassicLocale locale;
    va_list arguments, again;
    va_start(arguments, pattern);
    va_copy(again, arguments);
    std::string text(static_cast<size_t>(std::vsnprintf(nullptr, 0, pattern, arguments)), '\0');
    std::vsnprintf(text.data(), text.size() + 1, pattern, again);
    va_end(again);
    va_end(arguments);
    return text;
}

std::string with_commas(int64_t number) {
    std::string digits = std::to_string(number);
    for (int at = static_cast<int>(digits.size()) - 3; at > (number < 0); at -= 3)
        digits.insert(static_cast<size_t>(at), 1, ',');
    return digits;
}

std::string human_bytes(int64_t bytes) {
    const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double amount = static_cast<double>(bytes);
    int unit = 0;
    for (; amount >= 1024 && unit < 4; ++unit) amount /= 1024;
    return format(unit == 0 ? "%.0f %s" : "%.1f %s", amount, units[unit]);
}

std::string percent(double share) { return format("%.2f%%", 100 * share); }

std::string human_time(double seconds) {
    if (seconds < 60) return format("%.1f s", seconds);
    const auto whole = static_cast<long>(seconds + 0.5);
    if (whole < 3600) return format("%ld:%02ld", whole / 60, whole % 60);
    return format("%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
}

}  // namespace lathe
