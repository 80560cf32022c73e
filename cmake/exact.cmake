# SPDX-License-Identifier: Apache-2.0
# exact.cmake: the flags that keep the exact zone (doc/architecture.md) exact. They follow
# CMAKE_C_FLAGS and what a parent project adds, and so undo -ffast-math and -Ofast there. A build
# without them is refused by src/base/exact.h as far as a compiler tells.

# Contraction off: results must not depend on whether the compiler finds a multiplication to fuse
# with an addition; first, since clang warns of a contraction that -fno-fast-math takes back.
# -fno-math-errno changes no result.
add_compile_options(-ffp-contract=off -fno-fast-math -fno-unsafe-math-optimizations
    -fno-associative-math -fno-reciprocal-math -fno-finite-math-only -fsigned-zeros -fno-math-errno)

# With -ffast-math on its command line the linker is given code that switches the whole process to
# flush-to-zero when the library is loaded.
add_link_options(-fno-fast-math -fno-unsafe-math-optimizations)
