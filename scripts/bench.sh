#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench.sh: times encoding, decoding and search of this build on one core, with the CPU's name; run
# by `make bench`. Prints JSON lines, one per run. Usage: sh scripts/bench.sh path/to/quash
set -eu
export QUASH_THREADS=1
tool=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
model=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo 2> /dev/null | head -n 1)
printf '{"cpu": "%s"}\n' "${model:-unknown}"
"$tool" version --json
"$tool" bench encode --json
for bits in 1 2 3 4; do
    "$tool" encode data/sift/base.bvecs "$work/base.qrows" --bits $bits --json
    "$tool" decode "$work/base.qrows" "$work/base.npy" --json
done
"$tool" search --base data/sift/base.bvecs --queries data/sift/queries.bvecs --seeds 5 --json
