/* SPDX-License-Identifier: Apache-2.0 */
/* query_digits_avx2.c: a rotated query as small integers, four registers (a unit of 32 elements) at a
 * time. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernel/digits.h"
#include "kernel/simd_x86.h"
#include "kernel/unit.h"

static INLINE __m256 magnitude_f32x8(const float *q) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), _mm256_loadu_ps(q));
}

static INLINE __m128i fold_i32x8(__m256i x) {
    return _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}

/* Bits of magnitudes compare as integers, so that infinity and NaN are the largest. */
static INLINE float largest_magnitude(const float *q, size_t key_dims) {
    __m256i largest = _mm256_setzero_si256();
    for (size_t i = 0; i < key_dims; i += 8) {
        largest = _mm256_max_epi32(largest, _mm256_castps_si256(magnitude_f32x8(q + i)));
    }
    __m128i x =
        _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    x = _mm_max_epi32(x, _mm_unpackhi_epi64(x, x));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x55));
    return _mm_cvtss_f32(_mm_castsi128_ps(x));
}

/* As the reference adds: lanes i and i + 16, then 8 + 8 and 4 + 4 of the 16 lanes. */
static INLINE float largest_group_mean(const float *q, size_t key_dims) {
    const __m256 share = _mm256_set1_ps(0.0625f);
    __m128 largest = _mm_setzero_ps();
    for (size_t u = 0; u < key_dims; u += QUASH_UNIT_ELEMENTS) {
        const __m256 low = _mm256_add_ps(_mm256_mul_ps(magnitude_f32x8(q + u), share),
                                         _mm256_mul_ps(magnitude_f32x8(q + u + 16), share));
        const __m256 high = _mm256_add_ps(_mm256_mul_ps(magnitude_f32x8(q + u + 8), share),
                                          _mm256_mul_ps(magnitude_f32x8(q + u + 24), share));
        const __m256 sum = _mm256_add_ps(low, high);
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
        largest = _mm_max_ps(largest, _mm_hadd_ps(four, four));
    }
    return _mm_cvtss_f32(_mm_max_ss(largest, _mm_movehdup_ps(largest)));
}

/* Element 4g + k of a unit is in register g / 2, half g % 2. Packing keeps halves apart, so that
 * dword g / 2 of half g % 2 has the four bytes of a group. */
static INLINE void store_bytes(uint8_t *unit, __m256i bytes) {
    int32_t groups[8];
    _mm256_storeu_si256((__m256i *)(void *)groups, bytes);
    UNROLL
    for (size_t g = 0; g < 8; g++) {
        memcpy(unit + g * QUASH_DIGIT_ROWS * 4, &groups[g % 2 * 4 + g / 2], 4);
    }
}

static INLINE __m256i pack_bytes(const __m256i n[4]) {
    return _mm256_packs_epi16(_mm256_packs_epi32(n[0], n[1]), _mm256_packs_epi32(n[2], n[3]));
}

/* Numbers of a unit of a row in the layout of the rule; `unit` is its first byte. */
static INLINE void store_unit(int32_t planes, const __m256i n[4], uint8_t *unit,
                              size_t plane_bytes) {
    if (planes == 1) {
        store_bytes(unit, pack_bytes(n));
        return;
    }
    if (planes == 2) {
        __m256i high[4];
        __m256i low[4];
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            high[i] = _mm256_srai_epi32(_mm256_add_epi32(n[i], _mm256_set1_epi32(128)), 8);
            low[i] = _mm256_sub_epi32(n[i], _mm256_slli_epi32(high[i], 8));
        }
        store_bytes(unit, pack_bytes(high));
        store_bytes(unit + plane_bytes, pack_bytes(low));
        return;
    }
    UNROLL
    for (size_t i = 0; i < 2; i++) {
        int64_t groups[4];
        _mm256_storeu_si256((__m256i *)(void *)groups, _mm256_packs_epi32(n[2 * i], n[2 * i + 1]));
        UNROLL
        for (size_t g = 0; g < 4; g++) {
            memcpy(unit + (4 * i + g) * QUASH_DIGIT_ROWS * 8, &groups[g % 2 * 2 + g / 2], 8);
        }
    }
}

static INLINE void query_digits(int32_t planes, const float *q, size_t key_dims, float factor,
                                size_t row, uint8_t *digits, int32_t *bias, int16_t *unit_bias) {
    const size_t group_bytes = planes == 0 ? 8 : 4;
    const size_t row_unit_bytes = QUASH_UNIT_ELEMENTS / 4 * QUASH_DIGIT_ROWS * group_bytes;
    const __m256 rounder = _mm256_set1_ps(QUASH_ROUNDER);
    __m128i total = _mm_setzero_si128(); /* lanes 0 and 2, 1 and 3: the two groups */
    uint8_t *unit = digits + row * group_bytes;
    for (size_t u = 0; u < key_dims; u += QUASH_UNIT_ELEMENTS) {
        __m256i n[4];
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            const __m256 x = _mm256_mul_ps(_mm256_loadu_ps(q + u + 8 * i), _mm256_set1_ps(factor));
            n[i] = _mm256_sub_epi32(_mm256_castps_si256(_mm256_add_ps(x, rounder)),
                                    _mm256_castps_si256(rounder));
        }
        store_unit(planes, n, unit, key_dims * QUASH_DIGIT_ROWS);
        unit += row_unit_bytes;
        const __m128i four = fold_i32x8(
            _mm256_add_epi32(_mm256_add_epi32(n[0], n[1]), _mm256_add_epi32(n[2], n[3])));
        const __m128i groups = _mm_slli_epi32(_mm_hadd_epi32(four, four), 6);
        total = _mm_sub_epi32(total, groups);
        if (unit_bias != NULL) {
            int16_t *const pair =
                unit_bias + (u / QUASH_UNIT_ELEMENTS * QUASH_DIGIT_ROWS + row) * 2;
            pair[0] = (int16_t)-_mm_extract_epi16(groups, 0);
            pair[1] = (int16_t)-_mm_extract_epi16(groups, 2);
        }
    }
    bias[row] = _mm_cvtsi128_si32(total) + _mm_extract_epi32(total, 1);
}

float quash_query_digits_avx2(const struct quash_digit_rule *rule, const float *q, size_t key_dims,
                              size_t row, void *digits, int32_t *bias, int16_t *unit_bias) {
    const float mean = rule->group_top > 0.0f ? largest_group_mean(q, key_dims) : 0.0f;
    const float factor = quash_query_factor(rule, largest_magnitude(q, key_dims), mean);
    assert(key_dims % QUASH_UNIT_ELEMENTS == 0);
    if (!(factor > 0.0f)) {
        bias[row] = 0;
        return INFINITY;
    }
    switch (rule->planes) {
    case 0: query_digits(0, q, key_dims, factor, row, digits, bias, unit_bias); break;
    case 1: query_digits(1, q, key_dims, factor, row, digits, bias, unit_bias); break;
    default: query_digits(2, q, key_dims, factor, row, digits, bias, unit_bias); break;
    }
    return 1.0f / factor;
}
