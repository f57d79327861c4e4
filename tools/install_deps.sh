#!/bin/sh
# Installs the system packages that Lathe is built from when something is missing; says what to install where it cannot.
# Usage: tools/install_deps.sh [C++ compiler]
set -u
cxx=${*:-c++}  # may be several words: "ccache g++"
packages="g++ make pkg-config zlib1g-dev libopenblas-openmp-dev doctest-dev libstb-dev nlohmann-json3-dev libcli11-dev \
librandom123-dev"

all_there() {
    command -v pkg-config >/dev/null || return 1
    openblas=$(pkg-config --libs openblas 2>/dev/null || echo -lopenblas)
    $cxx -std=c++20 -fopenmp $(pkg-config --cflags openblas 2>/dev/null) -x c++ - -o /dev/null $openblas -lz \
        >/dev/null 2>&1 <<'EOF'
#if !__has_include(<CLI/CLI.hpp>) || !__has_include(<Random123/philox.h>) || !__has_include(<doctest/doctest.h>) || \
    !__has_include(<nlohmann/json.hpp>) || !__has_include(<stb/stb_image.h>)
#error missing
#endif
#include <cblas.h>
#include <omp.h>
#include <zlib.h>
extern "C" int openblas_get_parallel(void);
int main() { return zlibVersion() == nullptr || omp_get_max_threads() == 0 || openblas_get_parallel() < 0; }
EOF
}

all_there && exit 0
as_root=
[ "$(id -u)" -eq 0 ] || as_root=sudo
if command -v apt-get >/dev/null && { [ -z "$as_root" ] || command -v sudo >/dev/null; }; then
    echo "installing: $packages"
    # shellcheck disable=SC2086  # a list of words
    $as_root apt-get update -qq &&
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
    all_there && exit 0
fi
cat >&2 <<EOF
Lathe needs a C++20 compiler with OpenMP, OpenBLAS, zlib, and the headers of doctest, stb, nlohmann-json, CLI11 and
Random123.
Debian, Ubuntu:  apt-get install $packages
Fedora:          dnf install gcc-c++ make pkgconf zlib-devel openblas-devel doctest-devel stb-devel json-devel \\
                     cli11-devel Random123-devel
Arch:            pacman -S gcc make pkgconf zlib openblas doctest stb nlohmann-json cli11 random123
EOF
exit 1
