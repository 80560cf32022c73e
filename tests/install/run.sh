#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: installs build folder $1 into a temporary prefix and uses what lies there: the tool, a
# program built with find_package, and one built with pkg-config (skipped where it is missing).
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")"
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
prefix=$temporary/prefix

cmake --install "$build" --prefix "$prefix" > "$temporary/log"
"$prefix/bin/quash" --version

cmake -S . -B "$temporary/build" -DCMAKE_PREFIX_PATH="$prefix" >> "$temporary/log"
cmake --build "$temporary/build" >> "$temporary/log"
echo "find_package: $("$temporary/build/consumer")"

if command -v pkg-config > /dev/null; then
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name quash.pc)")
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046
    ${CC:-cc} consumer.c $(pkg-config --cflags --libs quash) -o "$temporary/consumer"
    echo "pkg-config: $(LD_LIBRARY_PATH=$(pkg-config --variable=libdir quash) "$temporary/consumer")"
else
    echo "pkg-config: SKIPPED, not installed"
fi
