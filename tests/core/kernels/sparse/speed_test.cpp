#include <doctest/doctest.h>

#include <cstdlib>

#include "lathe/core/error.h"
#include "lathe/core/files/file.h"
#include "lathe/core/kernels/conv2d/algorithms.h"
#include "lathe/core/kernels/conv2d/conv2d.h"
#include "lathe/core/kernels/sparse/conv2d.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/parallel.h"
#include "lathe/tests/temporary_folder.h"

using namespace lathe;
using namespace lathe::kernels;

namespace {

sparse::Speed all(double sparsity) {
    sparse::Speed table = sparse::shipped_speed();
    for (sparse::BreakEven& row : table.break_even) row.sparsity.fill(sparsity);
    return table;
}

// The shipped table is in use again at the end of the scope.
struct Shipped {
    ~Shipped() { sparse::use_speed(sparse::shipped_speed()); }
};

std::vector<float> half_zero(const Conv2dShape& g) {
    std::vector<float> weight(static_cast<size_t>(g.out_c * g.kernel_h * g.kernel_w * g.in_c));
    for (size_t i = 0; i < weight.size(); ++i) weight[i] = i % 8 < 5 ? 0 : static_cast<float>(i % 7 + 1);
    return weight;
}

constexpr Conv2dShape kShapes[] = {{32, 8, 8, 64, 8, 8, 64, 3, 3, 1, 1, 1, 1},
                                   {32, 8, 8, 64, 4, 4, 64, 3, 3, 2, 2, 1, 1},
                                   {1, 4, 4, 64, 4, 4, 64, 3, 3, 1, 1, 1, 1},
                                   {32, 8, 8, 64, 8, 8, 64, 1, 1},
                                   {32, 8, 8, 16, 8, 8, 64, 1, 1}};

}  // namespace

TEST_CASE("a table of speeds survives its file") {
    const TemporaryFolder folder;
    const std::string path = folder / "deep/er/table.txt";
    sparse::Speed table = sparse::shipped_speed();
    table.break_even[2].sparsity = {0.25, 1, 0, 0.01, 0.99};
    table.dense[1].rate = 12.25;
    table.sparse.operation = 0.375;
    table.integer = {.dense = 1.25, .matrix = 0.5, .finish = 9, .quad = 0.75, .moving = 3};
    sparse::write_speed(path, Isa::avx2, table);
    const sparse::Speed read = sparse::read_speed(path, Isa::avx2);
    CHECK(read.source == path);
    REQUIRE(read.dense.size() == table.dense.size());
    for (size_t i = 0; i < read.dense.size(); ++i) {
        CHECK(read.dense[i].algorithm == table.dense[i].algorithm);
        CHECK(read.dense[i].rate == table.dense[i].rate);
    }
    CHECK(read.sparse.operation == 0.375);
    CHECK(read.sparse.near_bytes == table.sparse.near_bytes);
    CHECK(read.sparse.region == table.sparse.region);
    CHECK(read.integer.dense == 1.25);
    CHECK(read.integer.finish == 9);
    CHECK(read.integer.quad == 0.75);
    CHECK(read.integer.moving == 3);
    REQUIRE(read.break_even.size() == table.break_even.size());
    for (size_t i = 0; i < read.break_even.size(); ++i) {
        CHECK(read.break_even[i].dense == table.break_even[i].dense);
        CHECK(read.break_even[i].channels == table.break_even[i].channels);
        CHECK(read.break_even[i].sparsity == table.break_even[i].sparsity);
    }
    CHECK_THROWS_WITH_AS(sparse::read_speed(path, Isa::neon),
                         (path +
                          ": expected 'lathe speed 3 neon', got 'lathe speed 3 avx2' (`lathe tune` writes it anew)")
                             .c_str(),
                         Error);
}

TEST_CASE("damaged tables of speeds are errors that name the file") {
    const TemporaryFolder folder;
    const std::string path = folder / "table.txt";
    sparse::write_speed(path, Isa::avx2, sparse::shipped_speed());
    const std::string whole = read_text_file(path);
    const auto error = [&](const std::string& text) -> std::string {
        write_file_atomically(path, text);
        try {
            sparse::read_speed(path, Isa::avx2);
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
    CHECK(error(whole + "break-even gemm1x1 8 1 1 1 1 1\n") ==
          path + ": expected 27 rows, got more (`lathe tune` writes it anew)");
    CHECK(
        replaced("0.75\n", "1.75\n").find("5 sparsities in [0, 1], got 'break-even winograd4 16 0.82 1 1 0.82 1.75'") !=
        std::string::npos);
    CHECK(replaced("0.75\n", "nan\n").find("5 sparsities in [0, 1]") != std::string::npos);
    CHECK(replaced("0.75\n", "-0.1\n").find("5 sparsities in [0, 1]") != std::string::npos);
    CHECK(replaced("0.75\n", "0.75 1\n").find("got more in 'break-even winograd4") != std::string::npos);
    CHECK(replaced("even winograd4", "even winograd2")
              .find("expected 'break-even winograd4 16 …', got 'break-even winograd2 16") != std::string::npos);
    CHECK(replaced("direct 16", "direct 8").find("expected 'break-even direct 16 …', got 'break-even direct 8") !=
          std::string::npos);
    CHECK(replaced("winograd4 6.5", "winograd4 0").find("expected 1 number above 0, got 'dense winograd4 0'") !=
          std::string::npos);
    CHECK(replaced("operation 0.5", "operation inf").find("expected 1 number above 0, got 'sparse operation inf'") !=
          std::string::npos);
}

TEST_CASE("the table alone chooses between sparse and dense") {
    const Shipped shipped;
    for (const Conv2dShape& g : kShapes) {
        CAPTURE(std::string(conv2d_algorithm(g, Conv2dPass::forward).name));
        const std::vector<float> weight = half_zero(g);
        const int64_t dense = conv2d_prepare(g, weight.data())->bytes(),
                      sparse = sparse::prepare(g, weight.data())->bytes();
        REQUIRE(dense != sparse);
        for (int count : {1, 2}) {
            set_threads(count);
            sparse::use_speed(all(1));
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == dense);
            sparse::use_speed(all(0));
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == sparse);
            sparse::use_speed(all(0.625));  // as many as are zero
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == sparse);
            sparse::use_speed(all(0.626));
            CHECK(sparse::prepare_fastest(g, weight.data())->bytes() == dense);
        }
    }
}

TEST_CASE("every algorithm has a rate, by which dense layers are estimated") {
    REQUIRE(sparse::shipped_speed().dense.size() == conv2d_algorithms().size());
    for (size_t i = 0; i < conv2d_algorithms().size(); ++i)
        CHECK(sparse::shipped_speed().dense[i].algorithm == conv2d_algorithms()[i].name);
    const Shipped shipped;
    for (const Conv2dShape& g : kShapes) {
        sparse::Speed table = sparse::shipped_speed();
        const double before = table.dense_cycles(g);
        CHECK(before > 0);
        for (sparse::DenseRate& row : table.dense)
            if (row.algorithm == std::string(conv2d_algorithm(g, Conv2dPass::forward).name)) row.rate *= 2;
        CHECK(table.dense_cycles(g) == before / 2);
    }
}

TEST_CASE("dense rates and sparse costs move the estimates that layouts are chosen by") {
    const Shipped shipped;
    const Conv2dShape g = kShapes[1];
    const std::vector<float> weight = half_zero(g);
    sparse::use_speed(all(0));
    const double sparse = sparse::fastest_cycles(g, weight.data(), SparsePattern::unstructured);
    sparse::Speed slower = all(0);
    slower.sparse.operation *= 2, slower.sparse.weight *= 2, slower.sparse.sum *= 2, slower.sparse.row *= 2,
        slower.sparse.transpose *= 2;
    sparse::use_speed(slower);
    CHECK(sparse::fastest_cycles(g, weight.data(), SparsePattern::unstructured) == doctest::Approx(2 * sparse));
    sparse::use_speed(all(1));  // never sparse
    CHECK(sparse::fastest_cycles(g, weight.data(), SparsePattern::unstructured) ==
          sparse::shipped_speed().dense_cycles(g));
}

TEST_CASE("the environment says where the table is kept") {
    const auto with = [](const char* name, const std::string& value) { setenv(name, value.c_str(), 1); };
    const char* home = std::getenv("HOME");
    const std::string old = home ? home : "", file = std::string("/lathe/speed-") + name_of(active_isa()) + ".txt";
    with("HOME", "/home/someone");
    unsetenv("XDG_CACHE_HOME");
    CHECK(sparse::speed_file() == "/home/someone/.cache" + file);
    with("XDG_CACHE_HOME", "/cache");
    CHECK(sparse::speed_file() == "/cache" + file);
    with("LATHE_TUNE", "/a/table");
    CHECK(sparse::speed_file() == "/a/table");
    with("LATHE_TUNE", "none");
    unsetenv("XDG_CACHE_HOME"), unsetenv("HOME");
    CHECK(sparse::speed_file() == "");
    if (home) with("HOME", old);
}
