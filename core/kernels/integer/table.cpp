#include "lathe/core/kernels/integer/table.h"

#include "lathe/core/error.h"

#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace lathe::kernels::integer {

namespace baseline { extern const Table kTable; }
#if defined(__x86_64__)
namespace avx2 { extern const Table kTable; }
namespace avxvnni { extern const Table kTable; }
namespace vnni { extern const Table kTable; }
namespace amx { extern const Table kTable; }
#elif defined(__aarch64__)
namespace dotprod { extern const Table kTable; }
#endif

const Table& table(Isa isa) {
    check(supported(isa), "kernels: this machine cannot run '", name_of(isa), "'");
#if defined(__x86_64__)
    if (isa == Isa::avx2) return avx2::kTable;
    if (isa == Isa::avx_vnni) return avxvnni::kTable;
    if (isa == Isa::avx512) return __builtin_cpu_supports("avx512vnni") ? vnni::kTable : avx2::kTable;
    if (isa == Isa::amx) return amx::kTable;
#elif defined(__aarch64__)
    if (isa == Isa::neon && getauxval(AT_HWCAP) & HWCAP_ASIMDDP) return dotprod::kTable;
#endif
    return baseline::kTable;
}

const Table& table() { return integer::table(active_isa()); }

}  // namespace lathe::kernels::integer
