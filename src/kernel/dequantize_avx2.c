/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize_avx2.c: codes to coordinates, AVX2. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

static INLINE void dequantize_16(__m128i integers, const uint8_t *codes, __m256 gain, float *x) {
    const __m128i i8 = _mm_shuffle_epi8(integers, load_16_bytes(codes));
    const __m256i lower = _mm256_cvtepi8_epi32(i8);
    const __m256i upper = _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(i8, i8));
    _mm256_storeu_ps(x, _mm256_mul_ps(gain, _mm256_cvtepi32_ps(lower)));
    _mm256_storeu_ps(x + 8, _mm256_mul_ps(gain, _mm256_cvtepi32_ps(upper)));
}

void quash_dequantize_avx2(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                           float *x) {
    if (n < 16) {
        quash_dequantize_c(integers, codes, n, gain, x);
        return;
    }
    const __m128i table = load_16_bytes(integers);
    const __m256 gains = _mm256_set1_ps(gain);
    for (size_t i = 0; i + 16 < n; i += 16) {
        dequantize_16(table, codes + i, gains, x + i);
    }
    dequantize_16(table, codes + n - 16, gains, x + n - 16); /* may repeat some */
}
