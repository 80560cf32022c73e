/* SPDX-License-Identifier: Apache-2.0 */
/* digits_avx2.c: attention on digits with AVX2. A unit of 16 lanes is two halves of 8; codes become
 * integers by pshufb.
 *
 * Fast mode: vpmaddubsw multiplies unsigned by signed bytes and adds pairs; sums stay in 16 bits for
 * one unit, 16 products per lane, which the digit rules keep within range. Keys are looked up as
 * integer + 64 (unsigned), and sums start at the bias of the query that cancels the 64, modulo 2^16;
 * weights are unsigned, so values need no bias. Exact mode: codes are widened to 16 bits and
 * vpmaddwd multiplies and adds pairs in 32 bits; keys and values carry the 64, cancelled in 32 bits.
 *
 * What is fetched ahead is walked strictly in the order of addresses. */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/digits.h"
#include "kernel/unit.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS QUASH_DIGIT_ROWS
#define HALF 8 /* lanes */

/* The sum exists here: the compiler would regroup additions and keep many products alive. */
#define PIN(sum) __asm__ volatile("" : "+x"(sum))

/* Constants of a call, known when the calls below are inlined. */
struct product {
    int keys; /* else values */
    int exact;
    int32_t bits;          /* of codes */
    size_t rows;           /* 1, 2 or 4 */
    size_t register_bytes; /* digits of one row: of a register to the next */
    size_t row_bytes;      /* and of a row to the next */
};

/* Fast: first[r] are 16-bit sums. Exact: 32-bit sums, first of lanes 0, 1, 4, 5 (two halves of each
 * lane side by side), second of lanes 2, 3, 6, 7. */
struct sums {
    __m256i first[ROWS];
    __m256i second[ROWS];
};

/* Integers by code; [1] takes 2-bit codes from bits 2-3. */
struct tables {
    __m256i by_code[2];
};

INLINE __m256i look_up(__m256i table, __m256i codes) {
    return _mm256_shuffle_epi8(table, codes);
}

INLINE struct tables make_tables(const int8_t *integers, int bias, int32_t bits) {
    struct tables tables;
    const __m256i index = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    const __m256i list = _mm256_add_epi8(
        _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)integers)),
        _mm256_set1_epi8((char)bias));
    const __m256i mask = _mm256_set1_epi8((char)((1 << bits) - 1));
    tables.by_code[0] = look_up(list, _mm256_and_si256(index, mask));
    tables.by_code[1] = look_up(list, _mm256_and_si256(_mm256_srli_epi16(index, 2), mask));
    return tables;
}

/* Adds the products of register `reg`. */
INLINE void multiply(struct sums *sums, const struct product *p, const uint8_t *digits, size_t reg,
                     __m256i x) {
    const __m256i low = _mm256_unpacklo_epi8(x, _mm256_setzero_si256());
    const __m256i high = _mm256_unpackhi_epi8(x, _mm256_setzero_si256());
#pragma GCC unroll 4
    for (size_t r = 0; r < p->rows; r++) {
        const uint8_t *const at = digits + reg * p->register_bytes + r * p->row_bytes;
        if (p->exact) {
            int64_t four;
            memcpy(&four, at, sizeof four);
            const __m256i digit = _mm256_set1_epi64x(four);
            sums->first[r] = _mm256_add_epi32(sums->first[r], _mm256_madd_epi16(low, digit));
            PIN(sums->first[r]);
            sums->second[r] = _mm256_add_epi32(sums->second[r], _mm256_madd_epi16(high, digit));
            PIN(sums->second[r]);
        } else {
            int32_t four;
            memcpy(&four, at, sizeof four);
            const __m256i digit = _mm256_set1_epi32(four);
            sums->first[r] =
                _mm256_add_epi16(sums->first[r], p->keys ? _mm256_maddubs_epi16(x, digit)
                                                         : _mm256_maddubs_epi16(digit, x));
            PIN(sums->first[r]);
        }
    }
}

/* Half of a row of a unit. */
INLINE __m256i row_of(const uint8_t *half, size_t row) {
    return _mm256_loadu_si256((const __m256i *)(const void *)(half + row * QUASH_UNIT_ROW_BYTES));
}

INLINE void multiply_half_4(struct sums *sums, const struct product *p, const struct tables *tables,
                            const uint8_t *digits, const uint8_t *half) {
    const __m256i mask = _mm256_set1_epi8(0x0F);
#pragma GCC unroll 4
    for (size_t row = 0; row < 4; row++) {
        const __m256i x = row_of(half, row);
        multiply(sums, p, digits, 2 * row, look_up(tables->by_code[0], _mm256_and_si256(x, mask)));
        multiply(sums, p, digits, 2 * row + 1,
                 look_up(tables->by_code[0], _mm256_and_si256(_mm256_srli_epi16(x, 4), mask)));
    }
}

/* Bits 3 and 7 of the three rows gather into registers 6 and 7. pshufb ignores bits 4-6. */
INLINE void multiply_half_3(struct sums *sums, const struct product *p, const struct tables *tables,
                            const uint8_t *digits, const uint8_t *half) {
    const __m256i mask = _mm256_set1_epi8(0x77);
    __m256i more = _mm256_setzero_si256();
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++) {
        const size_t row = 2 - i;
        const __m256i x = row_of(half, row);
        const __m256i codes = _mm256_and_si256(x, mask);
        more = _mm256_srli_epi16(_mm256_or_si256(more, _mm256_xor_si256(x, codes)), 1);
        multiply(sums, p, digits, 2 * row, look_up(tables->by_code[0], codes));
        multiply(sums, p, digits, 2 * row + 1,
                 look_up(tables->by_code[0], _mm256_srli_epi16(codes, 4)));
    }
    multiply(sums, p, digits, 6, look_up(tables->by_code[0], more));
    multiply(sums, p, digits, 7, look_up(tables->by_code[0], _mm256_srli_epi16(more, 4)));
}

INLINE void multiply_half_2(struct sums *sums, const struct product *p, const struct tables *tables,
                            const uint8_t *digits, const uint8_t *half) {
    const __m256i mask = _mm256_set1_epi8(0x7F);
#pragma GCC unroll 2
    for (size_t row = 0; row < 2; row++) {
        const __m256i x = row_of(half, row);
        const __m256i low = _mm256_and_si256(x, mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), mask);
        multiply(sums, p, digits, 4 * row, look_up(tables->by_code[0], low));
        multiply(sums, p, digits, 4 * row + 1, look_up(tables->by_code[1], low));
        multiply(sums, p, digits, 4 * row + 2, look_up(tables->by_code[0], high));
        multiply(sums, p, digits, 4 * row + 3, look_up(tables->by_code[1], high));
    }
}

INLINE void multiply_half(struct sums *sums, const struct product *p, const struct tables *tables,
                          const uint8_t *digits, const uint8_t *half) {
    switch (p->bits) {
    case 2: multiply_half_2(sums, p, tables, digits, half); break;
    case 3: multiply_half_3(sums, p, tables, digits, half); break;
    default: multiply_half_4(sums, p, tables, digits, half); break;
    }
}

/* Fetches `lines` lines and steps on. */
INLINE const uint8_t *fetch(const uint8_t *ahead, size_t lines) {
#pragma GCC unroll 4
    for (size_t i = 0; i < lines; i++) {
        _mm_prefetch((const char *)ahead + i * 64, _MM_HINT_T1);
    }
    return ahead + lines * 64;
}

/* 16-bit sums to 32 bits, pairs added. */
INLINE __m256i widen(__m256i sums) {
    return _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
}

/* Sums of the 8 lanes in order, from the exact products. */
INLINE __m256i join(const struct sums *sums, size_t r) {
    return _mm256_hadd_epi32(sums->first[r], sums->second[r]);
}

/* ---- Scores ------------------------------------------------------------------------------ */

/* Scores of 8 tokens. */
INLINE void scores_of_half(const struct product *p, const struct tables *tables,
                           const uint8_t *half, size_t units,
                           const struct quash_query_digits *query, const uint8_t **ahead,
                           __m256i total[ROWS]) {
    const size_t unit_bytes = (size_t)p->bits * QUASH_UNIT_ROW_BYTES;
    const uint8_t *digits = query->digits;
    const int16_t *unit_bias = query->unit_bias;
    struct sums sums;
#pragma GCC unroll 4
    for (size_t r = 0; r < p->rows; r++) {
        sums.first[r] = sums.second[r] = _mm256_setzero_si256();
        total[r] = p->exact ? _mm256_set1_epi32(query->bias[r]) : _mm256_setzero_si256();
    }
    for (size_t u = 0; u < units; u++) {
        *ahead = fetch(*ahead, (size_t)p->bits / 2 + (p->bits == 3 ? u % 2 : 0));
        if (!p->exact) {
#pragma GCC unroll 4
            for (size_t r = 0; r < p->rows; r++) {
                int32_t pair;
                memcpy(&pair, unit_bias + 2 * r, sizeof pair);
                sums.first[r] = _mm256_set1_epi32(pair);
            }
        }
        multiply_half(&sums, p, tables, digits, half + u * unit_bytes);
        if (!p->exact) {
#pragma GCC unroll 4
            for (size_t r = 0; r < p->rows; r++) {
                total[r] = _mm256_add_epi32(total[r], widen(sums.first[r]));
                PIN(total[r]);
            }
        }
        digits += p->register_bytes * (QUASH_UNIT_ELEMENTS / 4);
        unit_bias += p->exact ? 0 : 2 * ROWS;
    }
    if (p->exact) {
#pragma GCC unroll 4
        for (size_t r = 0; r < p->rows; r++) {
            total[r] = _mm256_add_epi32(total[r], join(&sums, r));
        }
    }
}

INLINE void scores_of_rows(int exact, size_t rows, int32_t bits, const int8_t *integers,
                           const uint8_t *keys, size_t key_dims,
                           const struct quash_query_digits *query, const uint8_t *key_scales,
                           const uint8_t *ahead, float (*scores)[64]) {
    const size_t digit_bytes = exact ? 2 : 1;
    const struct product p = { 1, exact, bits, rows, ROWS * 4 * digit_bytes, 4 * digit_bytes };
    const struct tables tables = make_tables(integers, 64, bits);
    const size_t units = key_dims / QUASH_UNIT_ELEMENTS;
    const size_t block_bytes = units * (size_t)bits * QUASH_UNIT_ROW_BYTES;
    for (size_t half = 0; half < QUASH_TILE_TOKENS / HALF; half++) {
        __m256i total[ROWS];
        scores_of_half(&p, &tables, keys + half / 2 * block_bytes + half % 2 * 32, units, query,
                       &ahead, total);
        const __m256 scale = _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)(key_scales + 16 * half)));
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            _mm256_storeu_ps(scores[r] + HALF * half,
                             _mm256_mul_ps(_mm256_cvtepi32_ps(total[r]), scale));
        }
    }
}

/* ---- Softmax ----------------------------------------------------------------------------- */

/* Bits of 2^(j/8), less j << 20, which the sum below adds back. */
static const uint32_t roots[8] = { 0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7,
                                   0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7 };

/* 2^x for x up to 126, at least 2^-126: x is a multiple of 1/8 plus a rest of at most 1/16. Relative
 * error below 3e-7. */
INLINE __m256 power_of_two_f32x8(__m256 x) {
    const __m256 rounder = _mm256_set1_ps(1572864.0f); /* 1.5 * 2^20: a float there ends at 2^-3 */
    const __m256 n = _mm256_add_ps(x, rounder);
    const __m256 rest = _mm256_sub_ps(x, _mm256_sub_ps(n, rounder));
    const __m256i least = _mm256_set1_epi32(0x49C00000 - 8 * 126);
    const __m256i bits = _mm256_max_epi32(_mm256_castps_si256(n), least);
    const __m256i root =
        _mm256_permutevar8x32_epi32(_mm256_loadu_si256((const __m256i *)(const void *)roots), bits);
    const __m256 whole = _mm256_castsi256_ps(_mm256_add_epi32(root, _mm256_slli_epi32(bits, 20)));
    __m256 sum = _mm256_set1_ps(0.055504109f);
    sum = _mm256_fmadd_ps(sum, rest, _mm256_set1_ps(0.24022651f));
    sum = _mm256_fmadd_ps(sum, rest, _mm256_set1_ps(0.69314718f));
    return _mm256_fmadd_ps(_mm256_mul_ps(whole, rest), sum, whole);
}

INLINE float first_f32x8(__m256 x) {
    return _mm256_cvtss_f32(x);
}

INLINE float largest_f32x4(__m128 x) {
    const __m128 y = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(y, _mm_movehdup_ps(y)));
}

INLINE float largest_f32x8(__m256 x) {
    return largest_f32x4(_mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1)));
}

/* Moves a row to a new reference; rare. */
static __attribute__((noinline)) void raise_reference(struct quash_softmax_row *row,
                                                      float reference, float *out, size_t dims) {
    const float shrink =
        first_f32x8(power_of_two_f32x8(_mm256_set1_ps(row->reference - reference)));
    row->reference = reference;
    for (size_t i = 0; i < 16; i++) {
        row->lanes[i] *= shrink;
    }
    for (size_t i = 0; i < dims; i++) {
        out[i] *= shrink;
    }
}

/* What a row's digits are scaled by, from its weights and, in fast mode, the sums over groups: lanes
 * 0, 1, 4, 5 of a register are tokens of the one group, the others of the other. */
INLINE float weight_factor(const __m256 *w, int exact) {
    __m256 largest = _mm256_set1_ps(1e-30f);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        largest = _mm256_max_ps(largest, w[i]);
    }
    if (exact) {
        return QUASH_EXACT_WEIGHT_TOP_I16 / largest_f32x8(largest);
    }
    const __m256 a = _mm256_add_ps(_mm256_add_ps(w[0], w[1]), _mm256_add_ps(w[2], w[3]));
    const __m256 b = _mm256_add_ps(_mm256_add_ps(w[4], w[5]), _mm256_add_ps(w[6], w[7]));
    const __m256 pairs = _mm256_hadd_ps(a, b);
    const __m128 groups =
        _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
    const __m128 alone =
        _mm_max_ps(_mm256_castps256_ps128(largest), _mm256_extractf128_ps(largest, 1));
    const __m128 need =
        _mm_max_ps(_mm_mul_ps(alone, _mm_set1_ps(1.0f / QUASH_FAST_WEIGHT_TOP)),
                   _mm_mul_ps(groups, _mm_set1_ps(1.0f / QUASH_FAST_WEIGHT_GROUP_TOP)));
    return 1.0f / largest_f32x4(need);
}

/* Eight registers of dwords to bytes or 16-bit words, in order. */
INLINE void store_digits(const __m256i *x, int exact, uint8_t *digits) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 8; i += 2) {
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(x[i], x[i + 1]), 0xD8);
        if (exact) {
            _mm256_storeu_si256((__m256i *)(void *)(digits + 16 * i), words);
        } else {
            _mm_storeu_si128((__m128i *)(void *)(digits + 8 * i),
                             _mm_packus_epi16(_mm256_castsi256_si128(words),
                                              _mm256_extracti128_si256(words, 1)));
        }
    }
}

INLINE void softmax_row(int exact, const float *scores, const __m256 *value_scales,
                        struct quash_softmax_row *row, uint8_t *digits, float *weight, float *out,
                        size_t dims) {
    __m256 x[8];
    __m256 most = _mm256_loadu_ps(scores);
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        x[i] = _mm256_loadu_ps(scores + 8 * i);
        most = _mm256_max_ps(most, x[i]);
    }
    const float largest = largest_f32x8(most) * row->unit;
    if (__builtin_expect(!(largest <= row->reference + QUASH_SOFTMAX_SLACK), 0)) {
        raise_reference(row, largest, out, dims);
    }
    const __m256 height = power_of_two_f32x8(_mm256_set1_ps(largest - row->reference));
    const __m256 unit = _mm256_set1_ps(row->unit);
    __m256 sum = _mm256_setzero_ps();
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        const __m256 p = power_of_two_f32x8(_mm256_fmsub_ps(x[i], unit, _mm256_set1_ps(largest)));
        sum = _mm256_add_ps(sum, p);
        PIN(sum);
        x[i] = _mm256_mul_ps(p, value_scales[i]);
    }
    _mm256_storeu_ps(row->lanes, _mm256_fmadd_ps(sum, height, _mm256_loadu_ps(row->lanes)));
    const float factor = weight_factor(x, exact);
    __m256i numbers[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        const __m256 offset = exact ? _mm256_set1_ps(0.5f) : _mm256_loadu_ps(quash_dither + 8 * i);
        numbers[i] = _mm256_cvttps_epi32(_mm256_fmadd_ps(x[i], _mm256_set1_ps(factor), offset));
    }
    store_digits(numbers, exact, digits);
    *weight = first_f32x8(height) / factor;
}

INLINE void softmax_avx2(int exact, const float (*scores)[64], const uint8_t *value_scales,
                         size_t first, size_t rows, struct quash_softmax_row *softmax,
                         struct quash_weight_digits *weights, float *out, size_t dims,
                         size_t dim_stride) {
    const size_t row_bytes = QUASH_TILE_TOKENS * (exact ? 2 : 1);
    __m256 scales[8];
#pragma GCC unroll 8
    for (size_t i = 0; i < 8; i++) {
        scales[i] = _mm256_cvtph_ps(
            _mm_loadu_si128((const __m128i *)(const void *)(value_scales + 16 * i)));
    }
    for (size_t r = first; r < first + rows; r++) {
        softmax_row(exact, scores[r], scales, &softmax[r], weights->digits + r * row_bytes,
                    &weights->weight[r], out + r * dim_stride, dims);
    }
}

/* ---- Values ------------------------------------------------------------------------------ */

/* -64 * the sum of a row's 64 digits of 16 bits, in all lanes. */
INLINE __m256i weight_bias(const uint8_t *digits) {
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        sum = _mm256_add_epi32(
            sum, widen(_mm256_loadu_si256((const __m256i *)(const void *)(digits + 32 * i))));
    }
    sum = _mm256_hadd_epi32(sum, sum);
    sum = _mm256_hadd_epi32(sum, sum);
    sum = _mm256_add_epi32(sum, _mm256_permute2x128_si256(sum, sum, 1));
    return _mm256_sub_epi32(_mm256_setzero_si256(), _mm256_slli_epi32(sum, 6));
}

/* Sums of 8 dims. */
INLINE void values_of_half(const struct product *p, const struct tables *tables,
                           const uint8_t *half, const uint8_t *digits, const __m256i *bias,
                           const uint8_t **ahead, __m256i total[ROWS]) {
    const size_t unit_bytes = (size_t)p->bits * QUASH_UNIT_ROW_BYTES;
    struct sums sums;
#pragma GCC unroll 4
    for (size_t r = 0; r < p->rows; r++) {
        sums.first[r] = sums.second[r] = _mm256_setzero_si256();
        total[r] = p->exact ? bias[r] : _mm256_setzero_si256();
    }
#pragma GCC unroll 2
    for (size_t u = 0; u < 2; u++) {
        *ahead = fetch(*ahead, (size_t)p->bits / 2 + (p->bits == 3 ? u : 0));
        multiply_half(&sums, p, tables, digits + u * p->register_bytes * 8, half + u * unit_bytes);
        if (!p->exact) {
#pragma GCC unroll 4
            for (size_t r = 0; r < p->rows; r++) {
                total[r] = _mm256_add_epi32(total[r], widen(sums.first[r]));
                PIN(total[r]);
                sums.first[r] = _mm256_setzero_si256();
            }
        }
    }
    if (p->exact) {
#pragma GCC unroll 4
        for (size_t r = 0; r < p->rows; r++) {
            total[r] = _mm256_add_epi32(total[r], join(&sums, r));
        }
    }
}

INLINE void values_of_rows(int exact, size_t rows, int32_t bits, const int8_t *integers,
                           const uint8_t *values, size_t value_dims,
                           const struct quash_weight_digits *weights, const uint8_t *ahead,
                           float *out, size_t dim_stride) {
    const size_t digit_bytes = exact ? 2 : 1;
    const struct product p = { 0, exact, bits, rows, 4 * digit_bytes, 64 * digit_bytes };
    const struct tables tables = make_tables(integers, exact ? 64 : 0, bits);
    const size_t block_bytes = 2 * (size_t)bits * QUASH_UNIT_ROW_BYTES;
    __m256i bias[ROWS];
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        bias[r] = exact ? weight_bias(weights->digits + r * p.row_bytes) : _mm256_setzero_si256();
    }
    for (size_t half = 0; half < value_dims / HALF; half++) {
        const uint8_t *digits = weights->digits;
        /* Opaque, or else the compiler broadcasts all digits before the loop, and spills them. */
        __asm__("" : "+r"(digits));
        __m256i total[ROWS];
        values_of_half(&p, &tables, values + half / 2 * block_bytes + half % 2 * 32, digits, bias,
                       &ahead, total);
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            float *const target = out + r * dim_stride + HALF * half;
            _mm256_storeu_ps(target, _mm256_fmadd_ps(_mm256_cvtepi32_ps(total[r]),
                                                     _mm256_set1_ps(weights->weight[r]),
                                                     _mm256_loadu_ps(target)));
        }
    }
    (void)fetch(ahead, 4); /* the scales */
}

/* ---- Entries ----------------------------------------------------------------------------- */

#define SCORES_CASE(rows, exact, bits)                                                             \
    scores_of_rows(exact, rows, bits, integers, keys, key_dims, query, key_scales, ahead, scores)
#define VALUES_CASE(rows, exact, bits)                                                             \
    values_of_rows(exact, rows, bits, integers, values, value_dims, weights, ahead, out, dim_stride)
#define DEFINE_PRODUCTS_AVX2(mode, exact, bits)                                                    \
    void quash_##mode##_scores_##bits##_avx2(                                                      \
        const int8_t *integers, const uint8_t *keys, size_t key_dims,                              \
        const struct quash_query_digits *query, size_t rows, const uint8_t *key_scales,            \
        const uint8_t *ahead, float(*scores)[64]) {                                                \
        assert(rows >= 1 && rows <= ROWS && key_dims % QUASH_UNIT_ELEMENTS == 0);                  \
        switch (rows) {                                                                            \
        case 1: SCORES_CASE(1, exact, bits); break;                                                \
        case 2: SCORES_CASE(2, exact, bits); break;                                                \
        default: SCORES_CASE(4, exact, bits); break;                                               \
        }                                                                                          \
    }                                                                                              \
    void quash_##mode##_values_##bits##_avx2(                                                      \
        const int8_t *integers, const uint8_t *values, size_t value_dims,                          \
        const struct quash_weight_digits *weights, size_t rows, const uint8_t *ahead, float *out,  \
        size_t dim_stride) {                                                                       \
        assert(rows >= 1 && rows <= ROWS && value_dims % QUASH_UNIT_LANES == 0);                   \
        switch (rows) {                                                                            \
        case 1: VALUES_CASE(1, exact, bits); break;                                                \
        case 2: VALUES_CASE(2, exact, bits); break;                                                \
        default: VALUES_CASE(4, exact, bits); break;                                               \
        }                                                                                          \
    }
#define DEFINE_MODE_AVX2(mode, exact)                                                              \
    DEFINE_PRODUCTS_AVX2(mode, exact, 2)                                                           \
    DEFINE_PRODUCTS_AVX2(mode, exact, 3)                                                           \
    DEFINE_PRODUCTS_AVX2(mode, exact, 4)                                                           \
    void quash_##mode##_softmax_avx2(const float(*scores)[64], const uint8_t *value_scales,        \
                                     size_t first, size_t rows, struct quash_softmax_row *softmax, \
                                     struct quash_weight_digits *weights, float *out, size_t dims, \
                                     size_t dim_stride) {                                          \
        softmax_avx2(exact, scores, value_scales, first, rows, softmax, weights, out, dims,        \
                     dim_stride);                                                                  \
    }

DEFINE_MODE_AVX2(fast, 0)
DEFINE_MODE_AVX2(exact, 1)
