#define LATHE_ISA avx2
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/sparse_enter.inc"
#include "lathe/core/kernels/integer/avx2.inc"
#include "lathe/core/kernels/integer/variants.inc"
