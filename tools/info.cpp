#include <cstdio>

#include "lathe/core/graph/op_table.h"
#include "lathe/core/kernels/dispatch/dispatch.h"
#include "lathe/core/kernels/gemm/blas.h"
#include "lathe/core/kernels/sparse/speed.h"
#include "lathe/core/parallel.h"
#include "lathe/nn/models/registry.h"
#include "lathe/tools/commands.h"

namespace lathe::tools {

namespace {

void info() {
    using kernels::Isa;
    const std::string& source = kernels::sparse::speed().source;
    std::printf("kernels   %s (LATHE_CPU chooses;", name_of(kernels::active_isa()));
    for (Isa isa : kernels::kEveryIsa)
        if (kernels::supported(isa)) std::printf(" %s", name_of(isa));
    std::printf(
        " run here)\nthreads   %d (OpenMP)\nproducts  %s\nspeed     sparse or dense by %s (LATHE_TUNE names another, "
        "`lathe tune` makes "
        "one)\nmodels   ",
        threads(), kernels::blas::description().c_str(), source == "shipped" ? "the shipped table" : source.c_str());
    for (const std::string& name : nn::model_names()) std::printf(" %s", name.c_str());
    std::printf("\nops      ");
    for (const std::string& name : op_names()) std::printf(" %s", name.c_str());
    std::printf("\n");
}

}  // namespace

void add_info(CLI::App& app) {
    app.add_subcommand("info", "Show what this machine runs: kernels, threads, models")->callback(info);
}

}  // namespace lathe::tools
