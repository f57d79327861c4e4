#include "lathe/core/kernels/dispatch/dispatch.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdio>
#include <cstdlib>
#include <string>

#include "lathe/core/error.h"

namespace lathe::kernels {

namespace baseline { extern const Table kTable; }
#if defined(__x86_64__)
namespace avx2 { extern const Table kTable; }
namespace avx512 { extern const Table kTable; }
#elif defined(__aarch64__)
namespace neon { extern const Table kTable; }
#endif

namespace {

#if defined(__x86_64__)
// Clang 14's builtin does not know the word.
bool has_avx_vnni() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1) != 0;
}

// Tiles of bytes. The operating system gives their registers to a process that asks for them (Linux from 5.16 on).
bool has_amx() {
    constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kTile) && (d & kInt8) &&
           syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

Isa choose() {
    try {
        if (const auto requested = requested_isa()) return *requested;
    } catch (const Error& wrong) {  // no reason to end somebody's program in its first kernel
        std::fprintf(stderr, "lathe: %s; taking the best that this machine runs\n", wrong.what());
    }
    Isa best = Isa::baseline;
    for (Isa isa : kEveryIsa)
        if (supported(isa)) best = isa;
    return best;
}

struct Active {
    Isa isa;
    const Table* table;
};

Active& active() {
    static Active chosen = [] {
        const Isa isa = choose();
        return Active{isa, &table(isa)};
    }();
    return chosen;
}

}  // namespace

const char* name_of(Isa isa) {
    switch (isa) {
        case Isa::baseline: return "baseline";
        case Isa::avx2: return "avx2";
        case Isa::avx_vnni: return "avx-vnni";
        case Isa::avx512: return "avx512";
        case Isa::amx: return "amx";
        case Isa::neon: return "neon";
    }
    return "?";
}

std::optional<Isa> requested_isa() {
    const char* wanted = std::getenv("LATHE_CPU");
    if (!wanted || !*wanted) return {};
    for (Isa isa : kEveryIsa)
        if (wanted == std::string(name_of(isa))) {
            check(supported(isa), "LATHE_CPU: this machine cannot run '", wanted, "'");
            return isa;
        }
    fail("LATHE_CPU: expected baseline, avx2, avx-vnni, avx512, amx or neon, got '", wanted, "'");
}

bool supported(Isa isa) {
    switch (isa) {
        case Isa::baseline: return true;
#if defined(__x86_64__)  // the compiler's builtins ask the operating system (xgetbv), too
        case Isa::avx2:
            return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
        case Isa::avx_vnni: return supported(Isa::avx2) && has_avx_vnni();
        case Isa::avx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
        case Isa::amx: {
            static const bool has = supported(Isa::avx512) && __builtin_cpu_supports("avx512vnni") && has_amx();
            return has;
        }
#elif defined(__aarch64__)
        case Isa::neon: return true;
#endif
        default: return false;
    }
}

const Table& table(Isa isa) {
    check(supported(isa), "kernels: this machine cannot run '", name_of(isa), "'");
    switch (isa) {
#if defined(__x86_64__)
        case Isa::avx2:
        case Isa::avx_vnni: return avx2::kTable;
        case Isa::avx512:
        case Isa::amx: return avx512::kTable;
#elif defined(__aarch64__)
        case Isa::neon: return neon::kTable;
#endif
        default: return baseline::kTable;
    }
}

Isa active_isa() { return active().isa; }
const Table& table() { return *active().table; }
void use_isa(Isa isa) { active() = {isa, &table(isa)}; }

}  // namespace lathe::kernels
