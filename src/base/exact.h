/* SPDX-License-Identifier: Apache-2.0 */
/* exact.h: refuses compiler flags under which the exact zone (doc/architecture.md) would give other
 * bytes. CMake sets the right ones (cmake/exact.cmake); this is for every other way to build. Nothing
 * tells whether contraction is on: -ffp-contract=off must be given. */
#ifndef QUASH_BASE_EXACT_H
#define QUASH_BASE_EXACT_H

#include <float.h>

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) ||     \
    defined(__NO_SIGNED_ZEROS__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
#error "libquash needs exact arithmetic: build it without -ffast-math, -Ofast and their parts"
#endif

#if FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "libquash needs float arithmetic in float: on x86 build with -msse2 -mfpmath=sse"
#endif

#endif
