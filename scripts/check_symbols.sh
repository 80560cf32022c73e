#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check_symbols.sh: the binary interface of the built library is what we say it is.
#
#   sh scripts/check_symbols.sh BUILD    check build folder BUILD, for example build/release
#   sh scripts/check_symbols.sh --list   print the functions that the headers declare; this is how
#                                        tests/abi/symbols.txt is written:
#                                        sh scripts/check_symbols.sh --list > tests/abi/symbols.txt
#
# Checked: headers, tests/abi/symbols.txt and libquash.so name the same functions; the library needs
# libc and libm only, has its SONAME, no search path, no executable stack, no text relocations, and
# is read-only after relocation; an object of one instruction set exports only names that end in it.
set -eu
export LC_ALL=C
cd "$(dirname "$0")/.."

declared() {
    cat include/quash/*.h | tr '\n' ' ' | grep -o 'QUASH_API [^;({]*(' |
        sed -n 's/.*[ *]\(quash_[a-z0-9_]*\)($/\1/p' | sort
}

if [ "${1:-}" = --list ]; then
    declared
    exit 0
fi
if [ $# -ne 1 ] || [ ! -e "$1/libquash.so" ]; then
    echo "usage: sh scripts/check_symbols.sh BUILD   (a folder that holds libquash.so)" >&2
    exit 2
fi
build=$1
status=0
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT

# same NAME FILE: FILE equals the reviewed list.
same() {
    if ! diff -u tests/abi/symbols.txt "$2" > "$temporary/diff"; then
        echo "$1 and tests/abi/symbols.txt (-) differ:"
        sed -n '3,$p' "$temporary/diff"
        status=1
    fi
}

declared > "$temporary/headers"
same "include/quash" "$temporary/headers"
nm -D --defined-only "$build/libquash.so" | awk '{ print $NF }' | sort > "$temporary/library"
same "$build/libquash.so" "$temporary/library"

# The loader belongs to libc; gcc's access to thread-local variables names it. glibc before 2.34 has
# its threads in a library of their own.
for library in $(readelf -d "$build/libquash.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $library in
    libc.so.* | libm.so.* | libpthread.so.* | ld-linux*.so.*) ;;
    *)
        echo "libquash.so needs $library"
        status=1
        ;;
    esac
done

# expect WHAT COUNT PATTERN: readelf prints that many lines with the pattern.
readelf -dlW "$build/libquash.so" > "$temporary/elf"
expect() {
    if [ "$(grep -cE "$3" "$temporary/elf")" != "$2" ]; then
        echo "libquash.so: expected $1"
        status=1
    fi
}
major=$(sed -n 's/^#define QUASH_VERSION_MAJOR //p' include/quash/base.h)
expect "the SONAME libquash.so.$major" 1 "\(SONAME\).*\[libquash\.so\.$major\]\$"
expect "no search path" 0 '\((RPATH|RUNPATH)\)'
expect "no text relocations" 0 'TEXTREL'
expect "a stack that is not executable" 1 '^ *GNU_STACK .* RW +0x'
expect "to be read-only after relocation" 1 '^ *GNU_RELRO '

objects=0
for isa in avx2 avx512 neon dotprod; do
    for object in $(find "$build" -path '*quash_objects.dir*' -name "*_$isa.c.o"); do
        objects=$((objects + 1))
        wrong=$(nm -g --defined-only "$object" | awk '{ print $NF }' | grep -v "_$isa\$" || true)
        if [ -n "$wrong" ]; then
            echo "$object exports names that do not end in _$isa:" $wrong
            status=1
        fi
    done
done

echo "check_symbols: $(wc -l < "$temporary/library") exported, $objects objects of one instruction set"
exit $status
