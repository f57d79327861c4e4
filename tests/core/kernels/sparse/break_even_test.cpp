#include <doctest/doctest.h>

#include <cstdlib>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/break_even.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/german_locale.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

sparse::BreakEvenTable all(double sparsity) {
    sparse::BreakEvenTable table = sparse::shipped_break_even();
    for (sparse::BreakEven& row : table.rows) row.sparsity.fill(sparsity);
    return table;
}

// The shipped table is in use again at the end of the scope.
struct Shipped {
    ~Shipped() { sparse::use_break_even(sparse::shipped_break_even()); }
};

std::vector<float> half_zero(const Conv2dShape& g) {
    std::vector<float> weight(static_cast<size_t>(g.out_c * g.kernel_h * g.kernel_w * g.in_c));
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = i % 8 < 5 ? 0 : static_cast<float>(i % 7 + 1);
    return weight;
}

constexpr Conv2dShape kShapes[] = {{32, 8, 8, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1}, {32, 8, 8, 64, 4, 4, 64, 3, 3, 2, 2, 1, 1},
                                   {1, 4, 4, 64, 4, 4, 64, 3, 3, 1, 1, 1, 1},  {32, 8, 8, 64, 8, 8, 64, 1, 1},
                                   {32, 8, 8, 16, 8, 8, 64, 1, 1}};

}  // namespace

TEST_CASE("a table of break-even sparsities survives its file") {
    const TemporaryFolder folder;
    const std::string path = folder / "deep/er/table.txt";
    sparse::BreakEvenTable table = sparse::shipped_break_even();
    table.rows[2].sparsity = {0.25, 1, 0, 0.01, 0.99};
    sparse::write_break_even(path, Isa::avx2, table);
    const sparse::BreakEvenTable read = sparse::read_break_even(path, Isa::avx2);
    CHECK(read.source == path);
    REQUIRE(read.rows.size() == table.rows.size());
    for (size_t i = 0; i < read.rows.size(); ++i) {
        CHECK(read.rows[i].dense == table.rows[i].dense);
        CHECK(read.rows[i].channels == table.rows[i].channels);
        CHECK(read.rows[i].sparsity == table.rows[i].sparsity);
    }
    CHECK_THROWS_WITH_AS(sparse::read_break_even(path, Isa::neon),
                         (path + ": expected 'lathe break-even 1 neon', got 'lathe break-even 1 avx2' (`lathe tune` writes it anew)").c_str(), Error);
}

TEST_CASE("a table of break-even sparsities is the same in every locale") {
    const TemporaryFolder folder;
    sparse::write_break_even(folder / "here", Isa::baseline, sparse::shipped_break_even());
    const GermanLocale german;
    sparse::write_break_even(folder / "there", Isa::baseline, sparse::shipped_break_even());
    CHECK(read_text_file(folder / "there") == read_text_file(folder / "here"));
    CHECK(sparse::read_break_even(folder / "there", Isa::baseline).rows[0].sparsity == sparse::shipped_break_even().rows[0].sparsity);
}

TEST_CASE("damaged tables of break-even sparsities are errors that name the file") {
    const TemporaryFolder folder;
    const std::string path = folder / "table.txt";
    sparse::write_break_even(path, Isa::avx2, sparse::shipped_break_even());
    const std::string whole = read_text_file(path);
    const auto error = [&](const std::string& text) -> std::string {
        write_file_atomically(path, text);
        try {
            sparse::read_break_even(path, Isa::avx2);
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    };
    for (size_t length = 0; length < whole.size(); ++length) {
        CAPTURE(length);
        CHECK(error(whole.substr(0, length)).starts_with(path + ": expected "));
    }
    const auto replaced = [&](const std::string& from, const std::string& to) {
        std::string text = whole;
        return error(text.replace(text.find(from), from.size(), to));
    };
    CHECK(error(whole) == "");
    CHECK(error(whole + "gemm1x1 8 1 1 1 1 1\n") == path + ": expected 6 rows, got more (`lathe tune` writes it anew)");
    CHECK(replaced("0.75\n", "1.75\n").find("5 sparsities in [0, 1], got 'winograd4 16 0.82 1 1 0.82 1.75'") != std::string::npos);
    CHECK(replaced("0.75\n", "nan\n").find("5 sparsities in [0, 1]") != std::string::npos);
    CHECK(replaced("0.75\n", "-0.1\n").find("5 sparsities in [0, 1]") != std::string::npos);
    CHECK(replaced("0.75\n", "0.75 1\n").find("got more in 'winograd4") != std::string::npos);
    CHECK(replaced("winograd4", "winograd2").find("expected 'winograd4 16 …', got 'winograd2 16") != std::string::npos);
    CHECK(replaced("direct 16", "direct 8").find("expected 'direct 16 …', got 'direct 8") != std::string::npos);
}

TEST_CASE("the table alone chooses between sparse and dense") {
    const Shipped shipped;
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(std::string(conv2d_algorithm(g)));
        const std::vector<float> weight = half_zero(g);
        const int64_t dense = conv2d_prepare(g, weight.data())->bytes(), sparse = sparse::prepare(g, weight.data(), sparse::pattern_of(g, weight.data()))->bytes();
        REQUIRE(dense != sparse);
        for (int count : {1, 2}) {
            set_threads(count);
            sparse::use_break_even(all(1));
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == dense);
            sparse::use_break_even(all(0));
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == sparse);
            sparse::use_break_even(all(0.625));  // as many as are zero
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == sparse);
            sparse::use_break_even(all(0.626));
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == dense);
        }
    }
}

TEST_CASE("the environment says where the table is kept") {
    const auto with = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
    const char* home = std::getenv("HOME");
    const std::string old = home ? home : "", file = std::string("/lathe/break-even-") + name_of(active_isa()) + ".txt";
    with("HOME", "/home/someone");
    unsetenv("XDG_CACHE_HOME");
    CHECK(sparse::break_even_file() == "/home/someone/.cache" + file);
    with("XDG_CACHE_HOME", "/cache");
    CHECK(sparse::break_even_file() == "/cache" + file);
    with("LATHE_TUNE", "/a/table");
    CHECK(sparse::break_even_file() == "/a/table");
    with("LATHE_TUNE", "none");
    unsetenv("XDG_CACHE_HOME"), unsetenv("HOME");
    CHECK(sparse::break_even_file() == "");
    if (home) with("HOME", old);
}
