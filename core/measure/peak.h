#pragma once

namespace lathe {

// What this machine gives at this moment, on all of threads() together: probes to hold measured speeds against. The
// host of a virtual machine takes its share unseen, so run one beside whatever is measured.

// GFLOP/s of fused multiply-adds on registers, of the vector width that the kernels run with. Takes about 25 ms.
double peak_gflops();

// GB/s of memory, read and written together, by adding an array much larger than the caches to another. Takes about 50
// ms.
double peak_bandwidth();

}  // namespace lathe
