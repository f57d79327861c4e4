#define LATHE_ISA dotprod
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/sparse_enter.inc"
#include "lathe/core/kernels/integer/dotprod.inc"
#include "lathe/core/kernels/integer/variants.inc"
