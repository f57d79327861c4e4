#pragma once
#include <optional>

#include "lathe/core/kernels/dispatch/activation_table.h"
#include "lathe/core/kernels/dispatch/batch_norm_table.h"
#include "lathe/core/kernels/dispatch/depthwise_table.h"
#include "lathe/core/kernels/dispatch/panel_table.h"
#include "lathe/core/kernels/dispatch/layer_norm_table.h"
#include "lathe/core/kernels/dispatch/pool2d_table.h"
#include "lathe/core/kernels/dispatch/sparse_table.h"
#include "lathe/core/kernels/dispatch/winograd_table.h"

namespace lathe::kernels {

// The instruction sets that kernels are compiled for, slowest first; but for integers those of avx-vnni are avx2's and
// those of amx are avx512's.
enum class Isa { baseline, avx2, avx_vnni, avx512, amx, neon };
constexpr Isa kEveryIsa[] = {Isa::baseline, Isa::avx2, Isa::avx_vnni, Isa::avx512, Isa::amx, Isa::neon};

const char* name_of(Isa isa);
bool supported(Isa isa);  // compiled in, and this CPU and its operating system can run it

// The float32 kernels of one instruction set: a struct of function pointers for each family.
struct Table {
    ActivationTable activation;
    PanelTable panel;
    DepthwiseTable depthwise;
    BatchNormTable batch_norm;
    WinogradTable winograd;
    LayerNormTable layer_norm;
    Pool2dTable pool2d;
    SparseTable sparse;
};

// The table of one instruction set, for tests and benchmarks. Error: not supported here.
const Table& table(Isa isa);

// The set that the environment variable LATHE_CPU names, by name_of. Error: unknown or not supported.
std::optional<Isa> requested_isa();

// What runs, chosen once: the requested set, else the best supported one; a wrong request is said on standard error.
Isa active_isa();
const Table& table();

// Overrides that choice, for tests and benchmarks; not while kernels run. Error: not supported here.
void use_isa(Isa isa);

}  // namespace lathe::kernels
