#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# demo.sh: what the library does, on the real samples of data/; run by `make demo`.
# Usage: sh scripts/demo.sh path/to/quash
set -eu
tool=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints the command as a user would type it, then its result.
show() {
    printf '\n$ quash'
    for argument in "$@"; do
        case $argument in
        "$work"/*) printf ' /tmp/%s' "${argument#"$work"/}" ;;
        *) printf ' %s' "$argument" ;;
        esac
    done
    printf '\n'
    "$tool" "$@"
}

say() {
    printf '\n# %s\n' "$1"
}

say "The library and this machine."
show version

say "A key/value cache at 2, 3 and 4 bits: keys, values and queries of three layers of a small"
printf '# language model over 1,024 tokens. 16-bit floats take 256 bytes a token and head.\n'
show kv data/kv-smollm2 --bits 2,3,4

say "Vector search: 4,500 SIFT descriptors, 500 queries, no training. 32-bit floats take 512 bytes."
show search --base data/sift/base.bvecs --queries data/sift/queries.bvecs --bits 2,3,4 --seeds 5

say "Vectors to a file of codes, checked, and back."
show encode data/sift/base.bvecs "$work/base.qrows" --bits 4
show inspect "$work/base.qrows"
show decode "$work/base.qrows" "$work/base.npy" --dtype f16
