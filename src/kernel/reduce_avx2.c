/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_avx2.c: largest magnitude and multiplication by a number, AVX2. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

/* Magnitudes compare as their bits do; an integer maximum is faster than a float one and treats
 * every denormal as what it is. */
static inline __m256i max_magnitude_i32x8(__m256i largest, const float *x) {
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    return _mm256_max_epi32(largest, _mm256_and_si256(load_32_bytes(x), magnitude));
}

float quash_max_abs_avx2(const float *x, size_t n) {
    if (n < 8) {
        return quash_max_abs_c(x, n);
    }
    __m256i a = _mm256_setzero_si256();
    __m256i b = a;
    __m256i c = a;
    __m256i d = a;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        a = max_magnitude_i32x8(a, x + i);
        b = max_magnitude_i32x8(b, x + i + 8);
        c = max_magnitude_i32x8(c, x + i + 16);
        d = max_magnitude_i32x8(d, x + i + 24);
    }
    for (; i + 8 <= n; i += 8) {
        a = max_magnitude_i32x8(a, x + i);
    }
    a = max_magnitude_i32x8(a, x + n - 8); /* some of them twice, which changes nothing */
    a = _mm256_max_epi32(_mm256_max_epi32(a, b), _mm256_max_epi32(c, d));
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(1, 0, 3, 2)));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, _MM_SHUFFLE(2, 3, 0, 1)));
    return _mm_cvtss_f32(_mm_castsi128_ps(m));
}

void quash_multiply_avx2(float *x, size_t n, float factor) {
    const __m256 by = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), by));
        _mm256_storeu_ps(x + i + 8, _mm256_mul_ps(_mm256_loadu_ps(x + i + 8), by));
    }
    if (i + 8 <= n) {
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), by));
        i += 8;
    }
    for (; i < n; i++) {
        x[i] *= factor;
    }
}
