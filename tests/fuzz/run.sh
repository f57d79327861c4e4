#!/bin/sh
# tests/fuzz/run.sh SECONDS FUZZER...   runs each for that long, one after the other; stops at the first finding.
# Each grows its corpus in FUZZER.corpus; an input that is a finding stays in FUZZER.finding-*, what was said in
# FUZZER.log.
seconds=$1
shift
for fuzzer in "$@"; do
    mkdir -p "$fuzzer.corpus"
    if "$fuzzer" -max_total_time="$seconds" -timeout=30 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="$fuzzer.finding-" "$fuzzer.corpus" > "$fuzzer.log" 2>&1
    then
        inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$fuzzer.log")
        echo "$fuzzer: no finding in $seconds s, $inputs inputs"
    else
        grep -v '^#' "$fuzzer.log"
        echo "$fuzzer: a finding, see $(ls "$fuzzer".finding-*)"
        exit 1
    fi
done
