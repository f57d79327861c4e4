#include "lathe/nas/predict/accuracy_table.h"

#include <algorithm>
#include <charconv>

#include "lathe/core/error.h"
#include "lathe/core/files/gzip.h"
#include "lathe/nn/files/json.inc"

namespace lathe::nas {

namespace {

constexpr size_t kMostBytes = size_t{1} << 30;

// Cuts off and returns what stands before the next `end`, or all that is left.
std::string_view next(std::string_view& text, char end) {
    const size_t length = std::min(text.find(end), text.size());
    std::string_view part = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    if (end == '\n' && part.ends_with('\r')) part.remove_suffix(1);
    return part;
}

template <class T>
T number(std::string_view field, const char* column) {
    T value{};
    const auto [stop, error] = std::from_chars(field.data(), field.data() + field.size(), value);
    check(error == std::errc{} && stop == field.data() + field.size(), column, ": expected a number, got '", field,
          "'");
    return value;
}

std::vector<int> digits(std::string_view field, const char* column) {
    std::vector<int> values;
    for (char c : field) {
        check(c >= '0' && c <= '9', column, ": expected digits, got '", field, "'");
        values.push_back(c - '0');
    }
    return values;
}

// "8 3 100"
std::vector<int> numbers(std::string_view field, const char* column) {
    std::vector<int> values;
    while (!field.empty()) values.push_back(number<int>(next(field, ' '), column));
    return values;
}

Measured checked(const Space& space, Arch arch, double percent) {
    space.check(arch);
    check(percent >= 0 && percent <= 100, "expected an accuracy from 0 to 100, got ", percent);
    return {std::move(arch), percent / 100};
}

AccuracyTable from_csv(const Space& space, std::string_view text, const std::string& path) {
    std::vector<std::string> columns{"resolution", "wid", "ks", "e", "d", "acc"};
    if (space.joint()) columns.insert(columns.end(), {"bits", "kept"});
    std::vector<std::string_view> header;
    for (std::string_view line = next(text, '\n'); !line.empty();) header.push_back(next(line, ','));
    check(space.joint() || std::count(header.begin(), header.end(), "bits") == 0, path, ": expected accuracies of ",
          space.name, ", got some of compressed networks: a column 'bits' is of a joint space");
    std::vector<size_t> places;
    for (const std::string& column : columns) {
        places.push_back(static_cast<size_t>(std::find(header.begin(), header.end(), column) - header.begin()));
        check(places.back() < header.size(), path, ": expected a column '", column, "' in the first line");
    }
    AccuracyTable table;
    std::vector<std::string_view> fields;
    for (size_t line_number = 2; !text.empty(); ++line_number) {
        std::string_view line = next(text, '\n');
        if (line.empty()) continue;
        const std::string where = path + ", line " + std::to_string(line_number);
        const PathScope scope(where);
        fields.clear();
        while (!line.empty()) fields.push_back(next(line, ','));
        check(fields.size() >= header.size(), "expected ", header.size(), " fields, got ", fields.size());
        const auto field = [&](size_t i) { return fields[places[i]]; };
        Arch arch{.wid = number<int>(field(1), "wid"),
                  .ks = digits(field(2), "ks"),
                  .e = digits(field(3), "e"),
                  .d = digits(field(4), "d"),
                  .image_size = number<int>(field(0), "resolution")};
        if (space.joint()) arch.bits = numbers(field(6), "bits"), arch.kept = numbers(field(7), "kept");
        table.push_back(checked(space, std::move(arch), number<double>(field(5), "acc")));
    }
    return table;
}

AccuracyTable from_json(const Space& space, std::string_view text, const std::string& path) {
    const nn::json_reader::json pairs = parse_json(std::string(text), path);
    check(pairs.is_array(), path, ": expected a list of pairs [arch, accuracy]");
    AccuracyTable table;
    for (const auto& pair : pairs) {
        const std::string where = path + ", pair " + std::to_string(table.size() + 1);
        const PathScope scope(where);
        check(pair.is_array() && pair.size() == 2, "expected a pair [arch, accuracy]");
        table.push_back(checked(space, space.parse(text_of(pair[0])), nn::json_reader::real(pair[1], "accuracy")));
    }
    return table;
}

}  // namespace

std::string csv_of(const AccuracyTable& table, const std::string& origin) {
    const auto joined = [](const std::vector<int>& values, const char* between) {
        std::string text;
        for (int value : values) text += (text.empty() ? "" : between) + std::to_string(value);
        return text;
    };
    const bool joint = !table.empty() && !table.front().arch.bits.empty();
    TextStream csv;
    csv << "resolution,wid,ks,e,d," << (joint ? "bits,kept," : "") << "acc,origin\n";
    for (const auto& [arch, accuracy] : table) {
        csv << arch.image_size << "," << arch.wid << "," << joined(arch.ks, "") << "," << joined(arch.e, "") << ","
            << joined(arch.d, "") << ",";
        if (joint) csv << joined(arch.bits, " ") << "," << joined(arch.kept, " ") << ",";
        csv << 100 * accuracy << "," << origin << "\n";
    }
    return csv.str();
}

AccuracyTable parse_accuracy_table(const Space& space, std::string_view text, const std::string& name) {
    AccuracyTable table = text.starts_with('[') ? from_json(space, text, name) : from_csv(space, text, name);
    check(!table.empty(), name, ": expected at least one row");
    return table;
}

AccuracyTable read_accuracy_table(const Space& space, const std::string& path) {
    const std::vector<std::byte> bytes = read_unpacked(path, kMostBytes);
    return parse_accuracy_table(space, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

}  // namespace lathe::nas
