#!/bin/sh
# Trains a small network on the built-in images, measures it and profiles it: what Lathe does on a machine without any
# data.   Usage: tools/demo.sh PATH-OF-LATHE FOLDER [EPOCHS]
set -eu
lathe=$1
out=$2
epochs=${3:-4}
run() {
    printf '\n$ lathe'
    printf ' %s' "$@"
    printf '\n'
    "$lathe" "$@"
}
run train --model resnet8 --data shapes --epochs "$epochs" --batch 64 --lr 0.1 --lr-schedule one-cycle \
    --force --out "$out"
run eval --model "$out/best.safetensors" --data shapes
run profile --model "$out/best.safetensors"
printf '\nThe trained model is %s/best.safetensors; its log is %s/log.csv.\n' "$out" "$out"
