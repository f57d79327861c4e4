#define LATHE_ISA baseline
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/portable.inc"

namespace lathe::kernels::integer::baseline {
extern const Table kTable;
constexpr Table kTable = {.name = "portable",
                          .rows = {4, 4, 4, 4},
                          .multiply8 = multiply<weight8>,
                          .multiply4 = multiply<weight4>,
                          .depthwise = depthwise,
                          .elementwise = elementwise,
                          .burn = burn,
                          .burnt = 2ll * 1 * kBurnChains * kBurnRounds};
}  // namespace lathe::kernels::integer::baseline
