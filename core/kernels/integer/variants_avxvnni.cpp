#define LATHE_ISA avxvnni
#define LATHE_AVX_VNNI
#define LATHE_VEC_BYTES 32
#include "lathe/core/kernels/dispatch/vec.inc"
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/sparse_enter.inc"
#include "lathe/core/kernels/integer/avx2.inc"
#include "lathe/core/kernels/integer/variants.inc"
