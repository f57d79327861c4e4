#define LATHE_ISA avxvnni
#define LATHE_AVX_VNNI
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/sparse_enter.inc"
#include "lathe/core/kernels/integer/avx2.inc"
#include "lathe/core/kernels/integer/variants.inc"
