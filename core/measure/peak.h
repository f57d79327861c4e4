#pragma once

namespace lathe {

// What this machine gives at this moment, on all of threads() together: probes to hold measured speeds against. The
// host of a virtual machine takes its share unseen, so run one beside whatever is measured.

// GFLOP/s of fused multiply-adds on registers, of the vector width that the kernels run with. Takes about 25 ms.
double peak_gflops();

// Billions of operations a second, two for each 8-bit multiply-accumulate, on registers, of the instructions that the
// integer kernels run with: dot products of VNNI, else products of 16 bits (AVX2), else of 32 bits.
double peak_integer_gops();

// GB/s of memory, read and written together, by adding an array much larger than the caches to another. Takes about 50
// ms.
double peak_bandwidth();

}  // namespace lathe
