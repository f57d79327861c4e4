#!/bin/sh
# tools/download_data.sh DIR [cifar10|mnist|fashion-mnist]...   downloads the datasets (all three when none is named)
# into DIR, laid out as `--data-root DIR` expects. Every file is checked by its MD5; what is there and right is kept, an
# interrupted download goes on where it stopped.
set -eu

usage() {
    echo "usage: tools/download_data.sh DIR [cifar10|mnist|fashion-mnist]..." >&2
    exit 2
}

md5_of() {
    if command -v md5sum > /dev/null; then md5sum "$1" | cut -d ' ' -f 1; else md5 -q "$1"; fi
}

has_md5() { [ -f "$1" ] && [ "$(md5_of "$1")" = "$2" ]; }

download() {  # URL FILE
    if command -v curl > /dev/null; then
        curl --fail --location --retry 3 --continue-at - --output "$2" "$1"
    elif command -v wget > /dev/null; then
        wget --tries=3 --continue --output-document="$2" "$1"
    else
        echo "download_data.sh: needs curl or wget" >&2
        exit 1
    fi
}

fetch() {  # FILE MD5 URL...   the first URL that gives the right file
    file=$1 md5=$2
    shift 2
    has_md5 "$file" "$md5" && return
    mkdir -p "$(dirname "$file")"
    for url; do
        echo "$url"
        if has_md5 "$file.part" "$md5" || download "$url" "$file.part"; then
            if has_md5 "$file.part" "$md5"; then
                mv "$file.part" "$file"
                return
            fi
            echo "download_data.sh: $url: expected MD5 $md5, got $(md5_of "$file.part")" >&2
            rm "$file.part"
        fi
    done
    echo "download_data.sh: $file could not be downloaded; run again to go on" >&2
    exit 1
}

cifar10() {
    folder=$dir/cifar-10-batches-bin archive=$dir/cifar-10-binary.tar.gz
    for name in data_batch_1 data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
        [ -f "$folder/$name.bin" ] && continue
        fetch "$archive" c32a1d4ab5d03f1284b67883e8d87530 https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz
        mkdir -p "$folder" "$dir/unpacked"
        tar -xzf "$archive" -C "$dir/unpacked"  # moved when complete, so that no half file is ever in place
        mv "$dir"/unpacked/cifar-10-batches-bin/* "$folder"
        rm -r "$dir/unpacked" "$archive"
        return
    done
}

idx() {  # FOLDER, the MD5s of the four files, URL PREFIX...
    folder=$1 md5s="$2 $3 $4 $5"
    shift 5
    for name in train-images-idx3-ubyte train-labels-idx1-ubyte t10k-images-idx3-ubyte t10k-labels-idx1-ubyte; do
        urls=
        for prefix; do urls="$urls $prefix/$name.gz"; done
        # shellcheck disable=SC2086  # several URLs, none with spaces
        fetch "$dir/$folder/$name.gz" "${md5s%% *}" $urls
        md5s=${md5s#* }
    done
}

mnist() {
    idx mnist f68b3c2dcbeaaa9fbdd348bbdeb94873 d53e105ee54ea40749a09fcbcd1e9432 \
        9fb629c4189551a2d022fa330f9573f3 ec29112dd5afa0611ce80d1b7f02629c \
        https://ossci-datasets.s3.amazonaws.com/mnist https://storage.googleapis.com/cvdf-datasets/mnist
}

fashion_mnist() {
    idx fashion-mnist 8d4fb7e6c68d591d4c3dfef9ec88bf0d 25c81989df183df01b3e8a0aad5dffbe \
        bef4ecab320f06d8554ea6380940ec79 bb300cfdad3c16e7a12a480ee83cd310 \
        http://fashion-mnist.s3-website.eu-central-1.amazonaws.com
}

case ${1:--} in -*) usage ;; esac
dir=$1
shift
[ $# -gt 0 ] || set -- cifar10 mnist fashion-mnist
for name; do
    case $name in cifar10 | mnist | fashion-mnist) ;; *) usage ;; esac
done
mkdir -p "$dir"
for dataset; do
    case $dataset in
        cifar10) cifar10 ;;
        mnist) mnist ;;
        fashion-mnist) fashion_mnist ;;
    esac
done
echo "ready: export LATHE_DATA=$dir"
