#include "lathe/core/kernels/sparse/speed.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <sstream>
#include <utility>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/kernels/conv2d/algorithms.h"

namespace lathe::kernels::sparse {
namespace {

constexpr double kAny = std::numeric_limits<double>::max();

// One line of a file: what it is called, and the numbers behind that.
struct Row {
    std::string name;
    std::vector<double*> values;
    double least, most;
};

std::vector<Row> rows_of(Speed& table) {
    std::vector<Row> rows;
    for (DenseRate& dense : table.dense) rows.push_back({"dense " + dense.algorithm, {&dense.rate}, 1e-9, kAny});
    SparseCosts& s = table.sparse;
    const std::pair<const char*, double*> costs[] = {
        {"operation", &s.operation}, {"weight", &s.weight}, {"sum", &s.sum},         {"row", &s.row},
        {"near_bytes", &s.near_bytes}, {"beyond", &s.beyond}, {"transpose", &s.transpose}, {"copy", &s.copy},
        {"convert", &s.convert},     {"region", &s.region}};
    for (const auto& [name, value] : costs) rows.push_back({std::string("sparse ") + name, {value}, 1e-9, kAny});
    IntegerCosts& i = table.integer;
    const std::pair<const char*, double*> integer[] = {
        {"dense", &i.dense}, {"matrix", &i.matrix}, {"finish", &i.finish}, {"quad", &i.quad}, {"moving", &i.moving}};
    for (const auto& [name, value] : integer) rows.push_back({std::string("integer ") + name, {value}, 1e-9, kAny});
    for (BreakEven& row : table.break_even) {
        Row& to = rows.emplace_back(Row{"break-even " + row.dense + " " + std::to_string(row.channels), {}, 0, 1});
        for (double& sparsity : row.sparsity) to.values.push_back(&sparsity);
    }
    return rows;
}

std::string header(Isa isa) { return std::string("lathe speed 3 ") + name_of(isa); }

std::string wanted() {
    const char* file = std::getenv("LATHE_TUNE");
    return file ? file : "";
}

// Puts the numbers of a line into their row.
void parse_row(const std::string& line, const Row& row, const std::string& where) {
    check(line.starts_with(row.name + " "), where, ": expected '", row.name, " …', got '", line, "'");
    std::istringstream in(line.substr(row.name.size()));
    in.imbue(std::locale::classic());
    for (double* value : row.values) {
        in >> *value;
        check(in && *value >= row.least && *value <= row.most, where, ": expected ", row.values.size(),
              row.most == 1 ? " sparsities in [0, 1]" : " number above 0", ", got '", line, "'");
    }
    check((in >> std::ws).eof(), where, ": expected ", row.values.size(), " numbers, got more in '", line, "'");
}

Speed choose() {
    if (wanted() == "none") return shipped_speed();
    const std::string path = speed_file();
    if (path.empty() || (wanted().empty() && !std::filesystem::exists(path))) return shipped_speed();
    return read_speed(path, active_isa());
}

std::optional<Speed>& overriding() {
    static std::optional<Speed> table;
    return table;
}

}  // namespace

// Of a Zen 5 with AVX-512: break-evens at batches of 1 and 32, the later one; rates at batches of 32. Rates are those
// of a lane, and stand for the other instruction sets until `lathe tune` has measured theirs; so do the costs of
// integers, which AVX2 has five times as great and AVX-VNNI twice, dense and sparse. Matrices are an Intel core's with
// AMX.
const Speed& shipped_speed() {
    static const Speed table{
        .break_even = {{"winograd4", 16, {0.82, 1, 1, 0.82, 0.75}},
                       {"direct", 16, {0.45, 0.7, 0.45, 0.45, 0.4}},
                       {"im2col", 64, {0.75, 1, 1, 0.7, 0.6}},
                       {"gemm1x1", 64, {0.7, 0.7, 1, 0.7, 0.6}},
                       {"gemm1x1", 32, {0.85, 1, 1, 0.85, 0.8}},
                       {"gemm1x1", 16, {0.95, 1, 1, 0.95, 0.95}}},
        .dense = {{"depthwise", 0.65},
                  {"gemm1x1", 1.7},
                  {"im2col", 1.7},
                  {"winograd4", 6.5},
                  {"images", 1.7},
                  {"direct", 1.7}},
        .sparse = {.operation = 0.5, .weight = 1, .sum = 1.7, .row = 4, .near_bytes = 40 << 10, .beyond = 0.3,
                   .transpose = 4, .copy = 1.5, .convert = 8, .region = 40000},
        .integer = {.dense = 0.45, .matrix = 0.12, .finish = 7, .quad = 0.5, .moving = 4.2},
        .source = "shipped"};
    return table;
}

const BreakEven* Speed::break_even_of(const Conv2dShape& g) const {
    const std::string algorithm = conv2d_algorithm(g, Conv2dPass::forward).name;
    const int64_t channels = std::min(g.in_c / g.groups, g.out_c / g.groups);
    for (const BreakEven& row : break_even)
        if (row.dense == algorithm && channels >= row.channels) return &row;
    return nullptr;
}

double Speed::dense_cycles(const Conv2dShape& g) const {
    const std::string algorithm = conv2d_algorithm(g, Conv2dPass::forward).name;
    for (const DenseRate& row : dense)
        if (row.algorithm == algorithm) return static_cast<double>(g.macs()) / (row.rate * table().sparse.lanes);
    fail("speed: expected a rate of the algorithm '", algorithm, "', got none in ", source);
}

const Speed& speed() {
    if (overriding()) return *overriding();
    static const Speed chosen = choose();
    return chosen;
}
void use_speed(Speed table) { overriding() = std::move(table); }

std::string speed_file() {
    if (!wanted().empty() && wanted() != "none") return wanted();
    const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
    std::string folder = cache && *cache ? cache : "";
    if (folder.empty() && home && *home) folder = std::string(home) + "/.cache";
    return folder.empty() ? "" : folder + "/lathe/speed-" + name_of(active_isa()) + ".txt";
}

Speed read_speed(const std::string& path, Isa isa) {
    const std::string text = read_text_file(path), remedy = " (`lathe tune` writes it anew)";
    check(text.ends_with('\n'), path, ": expected whole lines, got a file cut short", remedy);
    std::istringstream in(text);
    std::string line;
    std::getline(in, line);
    check(line == header(isa), path, ": expected '", header(isa), "', got '", line, "'", remedy);
    Speed table = shipped_speed();
    table.source = path;
    const std::vector<Row> rows = rows_of(table);
    for (size_t i = 0; i < rows.size(); ++i) {
        check(static_cast<bool>(std::getline(in, line)), path, ": expected ", rows.size(), " rows, got ", i, remedy);
        parse_row(line, rows[i], path);
    }
    check(!std::getline(in, line), path, ": expected ", rows.size(), " rows, got more", remedy);
    return table;
}

void write_speed(const std::string& path, Isa isa, const Speed& table) {
    Speed copy = table;
    TextStream out;
    out << header(isa) << '\n';
    for (const Row& row : rows_of(copy)) {
        out << row.name;
        for (const double* value : row.values) out << ' ' << *value;
        out << '\n';
    }
    const std::string folder = std::filesystem::path(path).parent_path().string();
    if (!folder.empty()) make_folder(folder);
    write_file_atomically(path, out.str());
}

}  // namespace lathe::kernels::sparse
