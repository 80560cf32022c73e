#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: uses libquash in every way that README.md and doc/install.md name, with the lines they
# name: installed below a prefix that then moves, as a shared and as a static library, by pkg-config
# and by find_package; and built within another project. All programs must print the same.
#
#   sh tests/install/run.sh [TARBALL]    sources made by `make dist`; without: those of this folder
#
# `make install` uses build/release. Needs python3 and pkg-config; CC and CXX are honoured.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
tarball=${1:-}
[ -z "$tarball" ] || tarball=$(cd "$(dirname "$tarball")" && pwd)/$(basename "$tarball")
CC=${CC:-cc} CXX=${CXX:-c++}
export CC CXX
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
project=$temporary/project

fail() {
    echo "$*" >&2
    exit 1
}

# quietly COMMAND...: prints the output only of a command that fails.
quietly() {
    "$@" > "$temporary/log" 2>&1 || { cat "$temporary/log"; fail "failed: $*"; }
}

# lines FILE WORD: the block of cmake in FILE that contains WORD.
lines() {
    awk -v word="$2" '/^```cmake$/ { inside = 1; text = ""; next }
        /^```$/ { if (inside && index(text, word)) { printf "%s", text; found = 1 } inside = 0 }
        inside { text = text $0 "\n" }
        END { exit !found }' "$root/$1" || fail "$1: no block of cmake with $2"
}

# same NAME COMMAND...: the program must print what the first one did.
same() {
    name=$1
    shift
    printed=$("$@")
    echo "$name: $printed"
    expected=${expected:-$printed}
    [ "$printed" = "$expected" ] || fail "$name: expected $expected"
}

# use NAME LANGUAGE LINES [cmake arguments]: builds the consumer's project with these lines.
use() {
    folder=$temporary/$1
    language=$2
    printf '%s\n' "$3" > "$folder.cmake"
    shift 3
    quietly cmake -S "$project" -B "$folder" -DUSE="$folder.cmake" -DLANGUAGE="$language" "$@"
    quietly cmake --build "$folder" -j 2
}

# ---- Sources and consumer ---------------------------------------------------------------------

cp -r "$root/tests/install" "$project"
version=$(sed -n 's/^.define QUASH_VERSION_[MP][A-Z]* \([0-9]*\)$/\1/p' \
    "$root/include/quash/base.h" | paste -sd .)
if [ -z "$tarball" ]; then
    tarball=$temporary/quash.tar.gz
    tar -C "$root" --exclude-vcs --exclude='./build*' --exclude=__pycache__ \
        --transform "s,^\.,quash-$version," -czf "$tarball" .
fi
cp "$tarball" "$project/quash-$version.tar.gz"
tar -C "$project" -xzf "$tarball"
mv "$project/quash-$version" "$project/quash"
find_package=$(lines README.md find_package)
add_subdirectory=$(lines README.md add_subdirectory)
fetch_content=$(lines doc/install.md FetchContent_Declare)

options=$(sed -n 's/^ *[a-z]*(\(QUASH_[A-Z]*\|BUILD_SHARED_LIBS\) .*/\1/p' "$root/CMakeLists.txt")
for option in $options; do
    grep -q "^| \`$option\` |" "$root/doc/install.md" || fail "doc/install.md: no option $option"
done

# ---- Shared library: make install, uninstalled, staged, moved -----------------------------------

quietly make -C "$root" install PREFIX="$temporary/first" DESTDIR=
# The line in doc/install.md.
(cd "$root" && xargs rm < build/release/install_manifest.txt)
[ -z "$(find "$temporary/first" -type f -o -type l)" ] || fail "files remain after uninstalling"

quietly make -C "$root" install PREFIX=/opt/quash DESTDIR="$temporary/stage"
prefix=$temporary/moved
mv "$temporary/stage/opt/quash" "$prefix"
[ -z "$(find "$temporary/stage" -type f)" ] || fail "files outside the prefix"
[ "$(find "$prefix/lib" -name 'libquash*' | sort | xargs -n 1 basename | xargs)" = \
    "libquash.so libquash.so.${version%%.*} libquash.so.$version" ] || fail "names of the library"
# The root is where the binaries were built.
! grep -rF -e "$root" -e /opt/quash "$prefix" || fail "an installed file names another folder"
readelf -d "$prefix/bin/quash" | grep -qE '\(RUNPATH\) .*\[.ORIGIN/\.\./lib\]$' ||
    fail "bin/quash does not find the library from its own place"
[ "$("$prefix/bin/quash" --version)" = "quash $version" ] || fail "bin/quash"
grep -qF "quash $version" "$prefix/share/man/man1/quash.1" || fail "no version in the manual page"

use shared_c C "$find_package" -DCMAKE_PREFIX_PATH="$prefix"
same "find_package, shared, C" "$temporary/shared_c/app"
use shared_cpp CXX "$find_package" -DCMAKE_PREFIX_PATH="$prefix"
same "find_package, shared, C++" "$temporary/shared_cpp/app"
use refused C "find_package(quash ${version%%.*}.99 QUIET)
if(quash_FOUND OR NOT quash_CONSIDERED_VERSIONS STREQUAL \"$version\")
    message(FATAL_ERROR \"a version that is not compatible: \${quash_CONSIDERED_VERSIONS}\")
endif()
$find_package" -DCMAKE_PREFIX_PATH="$prefix"

# with_pkg_config KIND [--static]: programs in C and C++, and the examples by the lines in them.
with_pkg_config() {
    kind=$1 static=${2:-}
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name quash.pc)")
    LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
    for compile in "$CC consumer.c" "$CXX -std=c++17 consumer.cpp"; do
        # shellcheck disable=SC2046,SC2086
        (cd "$project" && quietly $compile $(pkg-config $static --cflags --libs quash) -o app)
        same "pkg-config, $kind, ${compile##*.}" "$project/app"
    done
    for example in "$root"/examples/*.c; do
        line=$(sed -n 's,.*Build: cc \(.*\) \*/$,\1,p' "$example")
        [ -n "$line" ] || fail "$example: no line to build it"
        (cd "$root/examples" && quietly sh -c "$CC $line -o $project/example")
        quietly "$project/example"
        echo "pkg-config, $kind: ${example##*/}"
    done
    unset LD_LIBRARY_PATH PKG_CONFIG_PATH
}
with_pkg_config shared

# ---- Static library, from the tarball, where a distribution would put it -----------------------

quietly cmake -S "$project/quash" -B "$temporary/static_build" -DBUILD_SHARED_LIBS=OFF \
    -DQUASH_TESTS=OFF -DCMAKE_INSTALL_PREFIX=/usr
quietly cmake --build "$temporary/static_build" -j 2
quietly env DESTDIR="$temporary/stage" cmake --install "$temporary/static_build"
prefix=$temporary/moved_static
mv "$temporary/stage/usr" "$prefix"
archive=$(find "$prefix" -name 'libquash*')
case $archive in
"$prefix"/lib*/libquash.a) ;;
*) fail "names of the static library: $archive" ;;
esac
! nm -g --defined-only "$archive" 2> /dev/null |
    awk 'NF == 3 { print $3 }' | grep -v '^quash_' || fail "libquash.a defines foreign names"
[ "$("$prefix/bin/quash" --version)" = "quash $version" ] || fail "bin/quash, static"

use static_c C "$find_package" -DCMAKE_PREFIX_PATH="$prefix"
same "find_package, static, C" "$temporary/static_c/app"
use static_cpp CXX "$find_package" -DCMAKE_PREFIX_PATH="$prefix"
same "find_package, static, C++" "$temporary/static_cpp/app"
with_pkg_config static
with_pkg_config "static, --static" --static

# ---- Within another project ---------------------------------------------------------------------

use fetched CXX "$fetch_content" -DBUILD_SHARED_LIBS=ON -DCMAKE_BUILD_TYPE=Release
same "FetchContent, shared, C++" "$temporary/fetched/app"
quietly cmake --install "$temporary/fetched" --prefix "$temporary/nothing"
[ ! -e "$temporary/nothing" ] || fail "the included project installs files of its own accord"
built=$temporary/fetched/_deps/quash-build
if [ ! -e "$built/libquash.so" ] || [ -e "$built/quash" ] || [ -e "$built/tests" ]; then
    fail "the included project does not build the library alone"
fi

# Flags under which this arithmetic would not be exact, and a program that flushes to zero.
fast='-O3 -march=native -ffast-math'
use fast C "$add_subdirectory" -DCMAKE_C_FLAGS="$fast" -DQUASH_TOOL=ON
same "add_subdirectory, static, C, $fast" sh -c "'$temporary/fast/app' > '$temporary/printed' &&
    sed 's/ flush-to-zero\$//' '$temporary/printed'"
grep -q ' flush-to-zero$' "$temporary/printed" || fail "-ffast-math did not set flush-to-zero"
quietly python3 "$root/tests/golden/check_golden.py" --cli "$temporary/fast/quash/quash"
echo "golden files, $fast: $(tail -n 1 "$temporary/log")"
