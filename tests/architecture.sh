#!/bin/sh
# tests/architecture.sh OBJECTS   checks what the compiler does not: which folder includes which, where outside
# libraries are named, that lines end at column 120, that code for a newer instruction set stays in its own object, and
# that sums stay in registers there.
# Prints each breach; exit 1 if any.
cd "$(dirname "$0")/.." || exit 1
library=$(for folder in core nn data optim compress nas; do [ -d $folder ] && echo $folder; done)
breaches=$(
    # FOLDER: the folders it may include.
    while IFS=: read -r folder allowed; do
        grep -rnE '#include "' "$folder" 2>/dev/null | grep -vE "\"lathe/($allowed)/" |
            sed 's/$/  (not an allowed direction)/'
    done <<'EOF'
core:core
nn:core|nn
data:core|data
optim:core|nn|data|optim
compress:core|nn|data|optim|compress
nas:core|nn|data|optim|compress|nas
EOF
    # The families of kernels among themselves; variants.inc alone gathers all of them.
    while IFS=: read -r family allowed; do
        grep -rnE '#include "lathe/core/kernels/' --exclude=variants.inc "core/kernels/$family" |
            grep -vE "\"lathe/core/kernels/($allowed)/" | sed 's/$/  (not an allowed direction)/'
    done <<'EOF'
dispatch:dispatch
gemm:dispatch|gemm
rows:dispatch|rows
norm:dispatch|rows|norm
pool:dispatch|pool
conv2d:dispatch|gemm|conv2d
sparse:dispatch|conv2d|sparse
integer:dispatch|conv2d|sparse|integer
EOF
    # Public headers cost their users no foreign header; threads and BLAS are the business of a few files.
    foreign='cblas|omp|immintrin|arm_neon|zlib|nlohmann|stb|CLI|Random123'
    grep -rnE "#include <($foreign)" --include=*.h $library | sed 's/$/  (foreign header in a public one)/'
    grep -rnE '#include <(cblas|omp)|#pragma omp|_mm(256|512)?_' $library |
        grep -vE '^core/(kernels/|parallel\.cpp)' | sed 's/$/  (outside core\/kernels and core\/parallel.cpp)/'
    # Who includes lathe.h has all there is but the kernels.
    find $library -name '*.h' | grep -vE '^core/kernels/|/detail/' | while read -r header; do
        grep -q "\"lathe/$header\"" tools/lathe.h || echo "$header  (missing in tools/lathe.h)"
    done
    # The library works in a program's static initialisers, which may run before its own.
    made_before_main='^(static |inline )?const std::(string|vector|map|set)\b[^(]*[={]'
    grep -rnE "$made_before_main" --include=*.cpp --include=*.h $library |
        sed 's/$/  (made before main: constexpr, or static in a function)/'
    # All text but pictures, recorded data, and the rows of tables, which cannot break.
    LC_ALL=C.UTF-8 grep -rnIsE '^.{121,}' --exclude=*.svg --exclude=*.safetensors \
        $library tools tests .ci Makefile README.md |
        grep -vE '\.md:[0-9]+:\|' | sed 's/$/  (longer than 120 columns)/'
    # A function that such an object shares with others could be linked in its newer form and run on an older CPU.
    for object in "$1"/core/kernels/*/variants_*.o; do
        [ -e "$object" ] || echo "$object: no such object"
        nm -C --defined-only --extern-only "$object" | grep -v '::kTable$' |
            sed "s|^|$object: |; s/$/  (symbol other than kTable)/"
        # Sums belong in registers, but a compiler that runs out of them behind a loop of products may keep them in
        # memory inside it, too.
        objdump -d --no-show-raw-insn "$object" | awk -v object="$object" '
            /^[0-9a-f]+ </ { split("", at); n = 0; name = $2 }
            /^ +[0-9a-f]+:/ {
                at[substr($1, 1, length($1) - 1)] = ++n
                jumps[n] = $2 ~ /^(j|call)/
                products[n] = $2 ~ /^v(pdpbusd|pmaddwd|fmadd)/
                stores[n] = /vmov[a-z0-9]+ +%[xyz]mm[0-9]+,[^%]*\(%r[sb]p\)/
                if ($2 !~ /^j/ || !($3 in at)) next
                for (i = n - 1; i >= at[$3] && !jumps[i]; --i) { p += products[i]; q += stores[i] }
                if (i < at[$3] && q > p / 4 && p > (n - i) / 8)
                    printf "%s: %s%d products, %d sums stored  (sums in memory)\n", object, name, p, q
                p = q = 0
            }'
    done
)
[ -z "$breaches" ] && exit 0
echo "$breaches"
exit 1
