#!/bin/sh
# tests/run.sh FOLDER   runs FOLDER/lathe-tests in two halves at once, for much of it waits for one thread or process.
bin=$1
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
half='*tools/command_test*,*tools/run_folder_test*'
LATHE_BIN=$bin/lathe "$bin/lathe-tests" -sf="$half" >"$log" 2>&1 &
LATHE_BIN=$bin/lathe "$bin/lathe-tests" -sfe="$half"
first=$?
wait $!
second=$?
cat "$log"
[ $first -eq 0 ] && [ $second -eq 0 ]
