#define LATHE_ISA vnni
#include "lathe/core/kernels/integer/elementwise.inc"
#include "lathe/core/kernels/integer/vnni.inc"
#include "lathe/core/kernels/integer/variants.inc"
