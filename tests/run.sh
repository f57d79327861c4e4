#!/bin/sh
# tests/run.sh FOLDER [OPTION]...   runs FOLDER/lathe-tests, with these options, in parts, up to four at once, for much
# of it waits for one thread or process. A part is a folder of the library, or a file of tests/tools. Prints each as it
# ends, then the sum and the end of what failed: a sanitizer may have an error of its own after the last test.
bin=$1
shift
logs=$(mktemp -d) || exit 1
trap 'rm -rf "$logs"' EXIT
cores=$(nproc)
{
    for folder in core nn data optim compress nas; do echo "tests/$folder/*"; done
    ls -S tests/tools/*_test.cpp  # a long one at the end would be waited for
} | xargs -P $((cores < 4 ? cores : 4)) -I PART sh -c '
    bin=$0 logs=$1 part=$2
    shift 2
    log=$(mktemp "$logs/part-XXXXXX")
    LATHE_BIN=$bin/lathe "$bin/lathe-tests" -sf="$part" "$@" > "$log" 2>&1 ||
        { echo "failed: $part, exit code $?, with these last lines:"; tail -n 30 "$log"; } >> "$logs/failed"
    grep -q "test cases: *0 " "$log" && exit
    echo "$part"
    grep -vE "^(=+|\[doctest\] (doctest version|run with|Status: SUCCESS).*)$" "$log"' "$bin" "$logs" PART "$@"
awk '/^\[doctest\] test cases:/ { gsub(/[^0-9|]/, " "); split($0, part, "|"); passed += part[2]; failed += part[3] }
     END { printf "tests: %d passed, %d failed\n", passed, failed }' "$logs"/part-*
! cat "$logs/failed" 2> /dev/null
