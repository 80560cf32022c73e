/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_avx2.c: coordinates to codes, AVX2. Levels are symmetric, so that a magnitude alone
 * finds the integer: u * integer is |u| * (positive integer), to the bit. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

#define LANES 8
#define INLINE static inline __attribute__((always_inline))

/* Constants of one call. */
struct tables {
    __m256 sign_bit;
    __m256 gain;
    __m256 thresholds[7]; /* each in all lanes */
    __m256 integers;      /* positive ones, lane m */
    __m256i squares;      /* of the integers */
    __m256i half;
};

/* Running sums of one half of the 16 lanes. */
struct sums {
    __m256 dot;
    __m256i squares;
};

INLINE struct tables load_tables(const struct quash_levels *levels, int32_t half, float gain) {
    struct tables t;
    t.sign_bit = _mm256_set1_ps(-0.0f);
    t.gain = _mm256_set1_ps(gain);
    for (int32_t i = 0; i < half - 1; i++) {
        t.thresholds[i] = _mm256_set1_ps(levels->thresholds[i]);
    }
    const __m128i bytes = _mm_loadl_epi64((const void *)(levels->integers + half));
    const __m256i integers = _mm256_cvtepi8_epi32(bytes);
    t.integers = _mm256_cvtepi32_ps(integers);
    t.squares = _mm256_mullo_epi32(integers, integers);
    t.half = _mm256_set1_epi32(half);
    return t;
}

/* Codes of 8 elements, one per 32 bits. */
INLINE __m256i quantize_f32x8(const float *x, const struct tables *t, int32_t half,
                              struct sums *sums) {
    const __m256 u = _mm256_mul_ps(_mm256_loadu_ps(x), t->gain);
    const __m256 magnitude = _mm256_andnot_ps(t->sign_bit, u);
    __m256i above = _mm256_setzero_si256();
    for (int32_t i = 0; i < half - 1; i++) {
        const __m256 reached = _mm256_cmp_ps(t->thresholds[i], magnitude, _CMP_LE_OQ);
        above = _mm256_sub_epi32(above, _mm256_castps_si256(reached));
    }
    const __m256 integers = _mm256_permutevar8x32_ps(t->integers, above);
    sums->dot = _mm256_add_ps(sums->dot, _mm256_mul_ps(magnitude, integers));
    sums->squares = _mm256_add_epi32(sums->squares, _mm256_permutevar8x32_epi32(t->squares, above));
    /* half + above, or half - 1 - above = half + ~above */
    const __m256i negative = _mm256_castps_si256(_mm256_cmp_ps(u, _mm256_setzero_ps(), _CMP_LT_OQ));
    return _mm256_add_epi32(t->half, _mm256_xor_si256(above, negative));
}

INLINE void store_codes(__m256i low, __m256i high, uint8_t *codes) {
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xD8);
    const __m128i bytes =
        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128((void *)codes, bytes);
}

INLINE struct quash_fit quantize(const struct quash_levels *levels, int32_t half, const float *x,
                                 size_t n, float gain, uint8_t *codes) {
    const struct tables t = load_tables(levels, half, gain);
    struct sums low = { _mm256_setzero_ps(), _mm256_setzero_si256() };
    struct sums high = low;
    size_t i = 0;
    for (; i + QUASH_LANES <= n; i += QUASH_LANES) {
        const __m256i a = quantize_f32x8(x + i, &t, half, &low);
        const __m256i b = quantize_f32x8(x + i + LANES, &t, half, &high);
        store_codes(a, b, codes + i);
    }
    if (i < n) { /* the rest, filled up with zeros that count for nothing */
        float rest[QUASH_LANES] = { 0.0f };
        uint8_t rest_codes[QUASH_LANES];
        for (size_t j = 0; j < n - i; j++) {
            rest[j] = x[i + j];
        }
        const __m256i a = quantize_f32x8(rest, &t, half, &low);
        const __m256i b = quantize_f32x8(rest + LANES, &t, half, &high);
        store_codes(a, b, rest_codes);
        for (size_t j = 0; j < n - i; j++) {
            codes[i + j] = rest_codes[j];
        }
    }
    float lanes[QUASH_LANES];
    _mm256_storeu_ps(lanes, low.dot);
    _mm256_storeu_ps(lanes + LANES, high.dot);
    int32_t squares[LANES];
    _mm256_storeu_si256((void *)squares, _mm256_add_epi32(low.squares, high.squares));
    int32_t total = 0;
    for (size_t j = 0; j < LANES; j++) {
        total += squares[j];
    }
    const int32_t smallest = levels->integers[half];
    const int32_t filled = (int32_t)((QUASH_LANES - n % QUASH_LANES) % QUASH_LANES);
    return (struct quash_fit){ quash_sum_lanes(lanes), total - filled * smallest * smallest };
}

struct quash_fit quash_quantize_avx2(const struct quash_levels *levels, const float *x, size_t n,
                                     float gain, uint8_t *codes) {
    switch (levels->half) {
    case 1: return quantize(levels, 1, x, n, gain, codes);
    case 2: return quantize(levels, 2, x, n, gain, codes);
    case 4: return quantize(levels, 4, x, n, gain, codes);
    default: return quantize(levels, 8, x, n, gain, codes);
    }
}
