/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_avx512.c: coordinates to codes, AVX-512; the plan of quantize_avx2.c. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

#define INLINE static inline __attribute__((always_inline))

/* Constants of one call. */
struct tables {
    __m512 gain;
    __m512 thresholds[7]; /* each in all lanes */
    __m512 integers;      /* positive ones, lane m */
    __m512i squares;      /* of the integers */
    __m512i half;
};

struct sums {
    __m512 dot;
    __m512i squares;
};

INLINE struct tables load_tables(const struct quash_levels *levels, int32_t half, float gain) {
    struct tables t;
    t.gain = _mm512_set1_ps(gain);
    for (int32_t i = 0; i < half - 1; i++) {
        t.thresholds[i] = _mm512_set1_ps(levels->thresholds[i]);
    }
    const __m128i bytes = _mm_loadl_epi64((const void *)(levels->integers + half));
    const __m512i integers = _mm512_cvtepi8_epi32(bytes);
    t.integers = _mm512_cvtepi32_ps(integers);
    t.squares = _mm512_mullo_epi32(integers, integers);
    t.half = _mm512_set1_epi32(half);
    return t;
}

/* Codes of the 16 elements of x whose bits are set in `valid`. */
INLINE __m128i quantize_f32x16(__m512 x, __mmask16 valid, const struct tables *t, int32_t half,
                               struct sums *sums) {
    const __m512 u = _mm512_mul_ps(x, t->gain);
    const __m512 magnitude = _mm512_abs_ps(u);
    __m512i above = _mm512_setzero_si512();
    for (int32_t i = 0; i < half - 1; i++) {
        const __mmask16 reached = _mm512_cmp_ps_mask(t->thresholds[i], magnitude, _CMP_LE_OQ);
        above = _mm512_mask_add_epi32(above, reached, above, _mm512_set1_epi32(1));
    }
    const __m512 integers = _mm512_permutexvar_ps(above, t->integers);
    sums->dot = _mm512_add_ps(sums->dot, _mm512_mul_ps(magnitude, integers));
    sums->squares = _mm512_mask_add_epi32(sums->squares, valid, sums->squares,
                                          _mm512_permutexvar_epi32(above, t->squares));
    /* half + above, or half - 1 - above = half + ~above */
    const __mmask16 negative = _mm512_cmp_ps_mask(u, _mm512_setzero_ps(), _CMP_LT_OQ);
    const __m512i all = _mm512_set1_epi32(-1);
    const __m512i offset = _mm512_mask_xor_epi32(above, negative, above, all);
    return _mm512_cvtepi32_epi8(_mm512_add_epi32(t->half, offset));
}

INLINE struct quash_fit quantize(const struct quash_levels *levels, int32_t half, const float *x,
                                 size_t n, float gain, uint8_t *codes) {
    const struct tables t = load_tables(levels, half, gain);
    struct sums sums = { _mm512_setzero_ps(), _mm512_setzero_si512() };
    size_t i = 0;
    for (; i + QUASH_LANES <= n; i += QUASH_LANES) {
        const __m512 elements = _mm512_loadu_ps(x + i);
        const __m128i found = quantize_f32x16(elements, 0xFFFF, &t, half, &sums);
        _mm_storeu_si128((void *)(codes + i), found);
    }
    if (i < n) {
        const __mmask16 valid = (__mmask16)((1u << (n - i)) - 1u);
        const __m512 elements = _mm512_maskz_loadu_ps(valid, x + i);
        const __m128i found = quantize_f32x16(elements, valid, &t, half, &sums);
        _mm_mask_storeu_epi8(codes + i, valid, found);
    }
    float lanes[QUASH_LANES];
    _mm512_storeu_ps(lanes, sums.dot);
    return (struct quash_fit){ quash_sum_lanes(lanes), _mm512_reduce_add_epi32(sums.squares) };
}

struct quash_fit quash_quantize_avx512(const struct quash_levels *levels, const float *x, size_t n,
                                       float gain, uint8_t *codes) {
    switch (levels->half) {
    case 1: return quantize(levels, 1, x, n, gain, codes);
    case 2: return quantize(levels, 2, x, n, gain, codes);
    case 4: return quantize(levels, 4, x, n, gain, codes);
    default: return quantize(levels, 8, x, n, gain, codes);
    }
}
