#define LATHE_ISA amx_vectors
#define LATHE_VEC_BYTES 64
#include "lathe/core/kernels/dispatch/vec.inc"
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/vnni.inc"
#undef LATHE_ISA
#define LATHE_ISA amx
#include "lathe/core/kernels/integer/amx.inc"
#include "lathe/core/kernels/integer/variants.inc"
