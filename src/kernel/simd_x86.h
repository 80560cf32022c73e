/* SPDX-License-Identifier: Apache-2.0 */
/* simd_x86.h: for the files of AVX2 and of AVX-512: loads and stores of bytes at any address, and
 * what turns a loop over registers into straight code whatever the optimisation level. */
#ifndef QUASH_KERNEL_SIMD_X86_H
#define QUASH_KERNEL_SIMD_X86_H

#include <immintrin.h>

#define INLINE inline __attribute__((always_inline))

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

static INLINE __m128i load_8_bytes(const void *p) {
    return _mm_loadl_epi64(p);
}

static INLINE __m128i load_16_bytes(const void *p) {
    return _mm_loadu_si128(p);
}

static INLINE __m256i load_32_bytes(const void *p) {
    return _mm256_loadu_si256(p);
}

static INLINE void store_16_bytes(void *p, __m128i x) {
    _mm_storeu_si128(p, x);
}

static INLINE void store_32_bytes(void *p, __m256i x) {
    _mm256_storeu_si256(p, x);
}

#endif
