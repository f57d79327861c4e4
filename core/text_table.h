#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

// A plain-text table: columns as wide as their widest cell, numbers to the right, a rule under the header.
class TextTable {
public:
    explicit TextTable(std::vector<std::string> header) : rows_{std::move(header)} {}
    void add(std::vector<std::string> row);  // cells are made printable
    void add_rule() { rows_.push_back({}); }
    std::string str() const;

private:
    std::vector<std::vector<std::string>> rows_;  // the header first; an empty row is a rule
};

// What printf writes, of any length and with a decimal point in every locale.
std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
std::string with_commas(int64_t number);   // "9,228,362"
std::string human_bytes(int64_t bytes);    // "1.5 KiB"
std::string percent(double share);         // "12.34%" of 0.1234
std::string human_time(double seconds);    // "1:02:03", "2:03", "4.5 s"

}  // namespace lathe
