#define LATHE_ISA vnni
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/vnni.inc"

namespace lathe::kernels::integer::vnni {
extern const Table kTable;
constexpr Table kTable = {.name = "vnni",
                          .rows = {8, 8, 8, 6},
                          .multiply8 = multiply<false>,
                          .multiply4 = multiply<true>,
                          .depthwise = depthwise,
                          .elementwise = elementwise,
                          .burn = burn,
                          .burnt = 2ll * 64 * kBurnChains * kBurnRounds};
}  // namespace lathe::kernels::integer::vnni
