#define LATHE_ISA avx2
#define LATHE_VEC_BYTES 32
#include "lathe/core/kernels/dispatch/vec.inc"
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/sparse_enter.inc"
#include "lathe/core/kernels/integer/avx2.inc"
#include "lathe/core/kernels/integer/variants.inc"
