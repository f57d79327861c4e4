#include "lathe/core/kernels/sparse/break_even.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"

namespace lathe::kernels::sparse {
namespace {

std::string header(Isa isa) { return std::string("lathe break-even 1 ") + name_of(isa); }

std::string wanted() {
    const char* file = std::getenv("LATHE_TUNE");
    return file ? file : "";
}

BreakEven parse_row(const std::string& line, const BreakEven& expected, const std::string& where) {
    std::istringstream in(line);
    in.imbue(std::locale::classic());
    BreakEven row;
    in >> row.dense >> row.channels;
    check(in && row.dense == expected.dense && row.channels == expected.channels, where, ": expected '", expected.dense, " ",
          expected.channels, " …', got '", line, "'");
    for (double& sparsity : row.sparsity) {
        in >> sparsity;
        check(in && sparsity >= 0 && sparsity <= 1, where, ": expected ", row.sparsity.size(), " sparsities in [0, 1], got '", line, "'");
    }
    check((in >> std::ws).eof(), where, ": expected ", row.sparsity.size(), " sparsities, got more in '", line, "'");
    return row;
}

BreakEvenTable choose() {
    if (wanted() == "none") return shipped_break_even();
    const std::string path = break_even_file();
    if (path.empty() || (wanted().empty() && !std::filesystem::exists(path))) return shipped_break_even();
    return read_break_even(path, active_isa());
}

BreakEvenTable& active() {
    static BreakEvenTable chosen = choose();
    return chosen;
}

}  // namespace

// Of a Zen 5 with AVX-512, at batches of 1 and 32 the later one.
const BreakEvenTable& shipped_break_even() {
    static const BreakEvenTable table{{{"winograd4", 16, {0.82, 1, 1, 0.82, 0.75}},
                                       {"direct", 16, {0.45, 0.7, 0.45, 0.45, 0.4}},
                                       {"im2col", 64, {0.75, 1, 1, 0.7, 0.6}},
                                       {"gemm1x1", 64, {0.7, 0.7, 1, 0.7, 0.6}},
                                       {"gemm1x1", 32, {0.85, 1, 1, 0.85, 0.8}},
                                       {"gemm1x1", 16, {0.95, 1, 1, 0.95, 0.95}}},
                                      "shipped"};
    return table;
}

const BreakEvenTable& break_even() { return active(); }
void use_break_even(BreakEvenTable table) { active() = std::move(table); }

std::string break_even_file() {
    if (!wanted().empty() && wanted() != "none") return wanted();
    const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
    std::string folder = cache && *cache ? cache : "";
    if (folder.empty() && home && *home) folder = std::string(home) + "/.cache";
    return folder.empty() ? "" : folder + "/lathe/break-even-" + name_of(active_isa()) + ".txt";
}

BreakEvenTable read_break_even(const std::string& path, Isa isa) {
    const std::string text = read_text_file(path), remedy = " (`lathe tune` writes it anew)";
    check(text.ends_with('\n'), path, ": expected whole lines, got a file cut short", remedy);
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    std::string line;
    std::getline(in, line);
    check(line == header(isa), path, ": expected '", header(isa), "', got '", line, "'", remedy);
    BreakEvenTable table{{}, path};
    for (const BreakEven& expected : shipped_break_even().rows) {
        check(static_cast<bool>(std::getline(in, line)), path, ": expected ", shipped_break_even().rows.size(), " rows, got ",
              table.rows.size(), remedy);
        table.rows.push_back(parse_row(line, expected, path));
    }
    check(!std::getline(in, line), path, ": expected ", table.rows.size(), " rows, got more", remedy);
    return table;
}

void write_break_even(const std::string& path, Isa isa, const BreakEvenTable& table) {
    TextStream out;
    out << header(isa) << '\n';
    for (const BreakEven& row : table.rows) {
        out << row.dense << ' ' << row.channels;
        for (double sparsity : row.sparsity) out << ' ' << sparsity;
        out << '\n';
    }
    const std::filesystem::path folder = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (!folder.empty()) std::filesystem::create_directories(folder, error);
    check(!error, folder.string(), ": cannot make the folder: ", error.message());
    write_file_atomically(path, out.str());
}

}  // namespace lathe::kernels::sparse
