#define LATHE_ISA avx512
#define LATHE_VEC_BYTES 64
#include "lathe/core/kernels/dispatch/variants.inc"
