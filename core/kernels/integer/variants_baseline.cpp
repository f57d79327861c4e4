#define LATHE_ISA baseline
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/sparse_enter.inc"
#include "lathe/core/kernels/integer/portable.inc"
#include "lathe/core/kernels/integer/variants.inc"
