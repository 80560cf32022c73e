/* SPDX-License-Identifier: Apache-2.0 */
/* dequantize_avx512.c: codes to coordinates, AVX-512: the 16 products are the look-up table. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

void quash_dequantize_avx512(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                             float *x) {
    const __m512 levels = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_16_bytes(integers)));
    const __m512 table = _mm512_mul_ps(_mm512_set1_ps(gain), levels);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m512i index = _mm512_cvtepu8_epi32(load_16_bytes(codes + i));
        _mm512_storeu_ps(x + i, _mm512_permutexvar_ps(index, table));
    }
    if (i < n) {
        const __mmask16 rest = (__mmask16)((1u << (n - i)) - 1);
        const __m512i index = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(rest, codes + i));
        _mm512_mask_storeu_ps(x + i, rest, _mm512_permutexvar_ps(index, table));
    }
}
