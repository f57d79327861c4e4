#define LATHE_ISA avx2
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/avx2.inc"

namespace lathe::kernels::integer::avx2 {
extern const Table kTable;
constexpr Table kTable = {.name = "avx2",
                          .rows = {4, 4, 4, 4},
                          .multiply8 = multiply<false>,
                          .multiply4 = multiply<true>,
                          .depthwise = depthwise,
                          .elementwise = elementwise,
                          .burn = burn,
                          .burnt = 2ll * 16 * kBurnChains * kBurnRounds};
}  // namespace lathe::kernels::integer::avx2
