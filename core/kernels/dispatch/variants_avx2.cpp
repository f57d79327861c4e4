#define LATHE_ISA avx2
#define LATHE_VEC_BYTES 32
#include "lathe/core/kernels/dispatch/variants.inc"
