#define LATHE_ISA vnni
#define LATHE_VEC_BYTES 64
#include "lathe/core/kernels/dispatch/vec.inc"
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/vnni.inc"
#include "lathe/core/kernels/integer/variants.inc"
