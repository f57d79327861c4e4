#define LATHE_ISA baseline
#define LATHE_VEC_BYTES 16
#include "lathe/core/kernels/dispatch/variants.inc"
