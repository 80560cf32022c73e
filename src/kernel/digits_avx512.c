/* SPDX-License-Identifier: Apache-2.0 */
/* digits_avx512.c: attention on digits with VNNI and VBMI. Codes become integers by byte look-up,
 * vpdpbusd multiplies and adds four elements of 16 lanes; two units of 16 lanes go together, so that
 * a broadcast digit serves both. Keys are looked up as unsigned (integer + 64, cancelled by the
 * query's bias) times signed digits; values as signed times unsigned digits of weights. In exact
 * mode numbers are 256h + l, one product each.
 *
 * What is fetched ahead is walked strictly in the order of addresses: in the order of use, two units
 * in turn, the whole was half as fast. */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/digits.h"
#include "kernel/unit.h"

#define INLINE static inline __attribute__((always_inline))
#define ROWS QUASH_DIGIT_ROWS

/* The sum exists here: the compiler would move it to where it is used, and keep all codes and digits
 * of a unit until then. */
#define PIN(sum) __asm__ volatile("" : "+v"(sum))

/* ---- Products of two units with the digits of up to 4 rows --------------------------------- */

/* Constants of a call, and what moves; all constants are known when the calls below are inlined. */
struct product {
    int keys;              /* else values */
    int32_t bits;          /* of codes */
    size_t rows;           /* 1, 2 or 4 */
    size_t planes;         /* 1 or 2 */
    size_t register_bytes; /* digits of one row: of a register to the next */
    size_t row_bytes;      /* and of a row to the next */
    size_t plane_bytes;
};

struct sums {
    __m512i a[2][ROWS]; /* [plane][row], of the first unit */
    __m512i b[2][ROWS]; /* of the second */
};

/* Integers by code: the table repeats, so that higher bits of an index do not matter. [1] and [2]
 * take 2-bit codes from bits 2-3 and 4-5. */
struct tables {
    __m512i by_code[3];
};

INLINE __m512i look_up(__m512i table, __m512i codes) {
    return _mm512_permutexvar_epi8(codes, table);
}

INLINE struct tables make_tables(const int8_t *integers, int keys, int32_t bits) {
    struct tables tables;
    uint8_t counting[64];
    for (size_t i = 0; i < 64; i++) {
        counting[i] = (uint8_t)i;
    }
    const __m512i index = _mm512_loadu_si512(counting);
    const __m512i list = _mm512_add_epi8(
        _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)integers)),
        _mm512_set1_epi8(keys ? 64 : 0));
    const __m512i mask = _mm512_set1_epi8((char)((1 << bits) - 1));
    tables.by_code[0] = look_up(list, _mm512_and_si512(index, mask));
    tables.by_code[1] = look_up(list, _mm512_and_si512(_mm512_srli_epi16(index, 2), mask));
    tables.by_code[2] = look_up(list, _mm512_and_si512(_mm512_srli_epi16(index, 4), mask));
    return tables;
}

/* Adds the products of register `reg` of both units. */
INLINE void multiply(struct sums *sums, const struct product *p, const uint8_t *digits, size_t reg,
                     __m512i x, __m512i y) {
#pragma GCC unroll 4
    for (size_t r = 0; r < p->rows; r++) {
#pragma GCC unroll 2
        for (size_t plane = 0; plane < p->planes; plane++) {
            int32_t four;
            memcpy(&four,
                   digits + plane * p->plane_bytes + reg * p->register_bytes + r * p->row_bytes,
                   sizeof four);
            const __m512i digit = _mm512_set1_epi32(four);
            __m512i *const a = &sums->a[plane][r];
            __m512i *const b = &sums->b[plane][r];
            *a = p->keys ? _mm512_dpbusd_epi32(*a, x, digit) : _mm512_dpbusd_epi32(*a, digit, x);
            *b = p->keys ? _mm512_dpbusd_epi32(*b, y, digit) : _mm512_dpbusd_epi32(*b, digit, y);
        }
    }
}

INLINE __m512i row_of(const uint8_t *unit, size_t row) {
    return _mm512_loadu_si512(unit + row * QUASH_UNIT_ROW_BYTES);
}

INLINE void multiply_units_4(struct sums *sums, const struct product *p,
                             const struct tables *tables, const uint8_t *digits, const uint8_t *a,
                             const uint8_t *b) {
    const __m512i table = tables->by_code[0];
#pragma GCC unroll 4
    for (size_t row = 0; row < 4; row++) {
        const __m512i x = row_of(a, row);
        const __m512i y = row_of(b, row);
        multiply(sums, p, digits, 2 * row, look_up(table, x), look_up(table, y));
        multiply(sums, p, digits, 2 * row + 1, look_up(table, _mm512_srli_epi16(x, 4)),
                 look_up(table, _mm512_srli_epi16(y, 4)));
    }
}

/* Bits 3 and 7 of the three rows gather into registers 6 and 7. */
INLINE void multiply_units_3(struct sums *sums, const struct product *p,
                             const struct tables *tables, const uint8_t *digits, const uint8_t *a,
                             const uint8_t *b) {
    const __m512i table = tables->by_code[0];
    const __m512i spare = _mm512_set1_epi8((char)0x88);
    __m512i more_x = _mm512_setzero_si512();
    __m512i more_y = _mm512_setzero_si512();
#pragma GCC unroll 3
    for (size_t i = 0; i < 3; i++) {
        const size_t row = 2 - i;
        const __m512i x = row_of(a, row);
        const __m512i y = row_of(b, row);
        more_x = _mm512_srli_epi16(_mm512_ternarylogic_epi32(more_x, x, spare, 0xF8), 1);
        more_y = _mm512_srli_epi16(_mm512_ternarylogic_epi32(more_y, y, spare, 0xF8), 1);
        multiply(sums, p, digits, 2 * row, look_up(table, x), look_up(table, y));
        multiply(sums, p, digits, 2 * row + 1, look_up(table, _mm512_srli_epi16(x, 4)),
                 look_up(table, _mm512_srli_epi16(y, 4)));
    }
    multiply(sums, p, digits, 6, look_up(table, more_x), look_up(table, more_y));
    multiply(sums, p, digits, 7, look_up(table, _mm512_srli_epi16(more_x, 4)),
             look_up(table, _mm512_srli_epi16(more_y, 4)));
}

INLINE void multiply_units_2(struct sums *sums, const struct product *p,
                             const struct tables *tables, const uint8_t *digits, const uint8_t *a,
                             const uint8_t *b) {
#pragma GCC unroll 2
    for (size_t row = 0; row < 2; row++) {
        const __m512i x = row_of(a, row);
        const __m512i y = row_of(b, row);
#pragma GCC unroll 3
        for (size_t i = 0; i < 3; i++) {
            multiply(sums, p, digits, 4 * row + i, look_up(tables->by_code[i], x),
                     look_up(tables->by_code[i], y));
        }
        multiply(sums, p, digits, 4 * row + 3, look_up(tables->by_code[0], _mm512_srli_epi16(x, 6)),
                 look_up(tables->by_code[0], _mm512_srli_epi16(y, 6)));
    }
}

INLINE void multiply_units(struct sums *sums, const struct product *p, const struct tables *tables,
                           const uint8_t *digits, const uint8_t *a, const uint8_t *b) {
    switch (p->bits) {
    case 2: multiply_units_2(sums, p, tables, digits, a, b); break;
    case 3: multiply_units_3(sums, p, tables, digits, a, b); break;
    default: multiply_units_4(sums, p, tables, digits, a, b); break;
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < p->rows; r++) {
#pragma GCC unroll 2
        for (size_t plane = 0; plane < p->planes; plane++) {
            PIN(sums->a[plane][r]);
            PIN(sums->b[plane][r]);
        }
    }
}

/* Fetches `lines` lines and steps on. */
INLINE const uint8_t *fetch(const uint8_t *ahead, size_t lines) {
#pragma GCC unroll 8
    for (size_t i = 0; i < lines; i++) {
        _mm_prefetch((const char *)ahead + i * 64, _MM_HINT_T1);
    }
    return ahead + lines * 64;
}

/* 256h + l, modulo 2^32. */
INLINE __m512i join(const __m512i (*planes)[ROWS], size_t r, size_t count) {
    return count == 1 ? planes[0][r]
                      : _mm512_add_epi32(_mm512_slli_epi32(planes[0][r], 8), planes[1][r]);
}

/* ---- Scores ------------------------------------------------------------------------------ */

INLINE void scores_of_rows(size_t rows, size_t planes, int32_t bits, const int8_t *integers,
                           const uint8_t *keys, size_t key_dims,
                           const struct quash_query_digits *query, const uint8_t *key_scales,
                           const uint8_t *ahead, float (*scores)[64]) {
    const struct product p = { 1, bits, rows, planes, ROWS * 4, 4, key_dims * ROWS };
    const struct tables tables = make_tables(integers, 1, bits);
    const size_t units = key_dims / QUASH_UNIT_ELEMENTS;
    const size_t unit_bytes = (size_t)bits * QUASH_UNIT_ROW_BYTES;
    for (size_t half = 0; half < 2; half++) {
        struct sums sums;
        const uint8_t *a = keys + 2 * half * units * unit_bytes;
        const uint8_t *b = a + units * unit_bytes;
        const uint8_t *digits = query->digits;
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            const __m512i bias = _mm512_set1_epi32(query->bias[r]);
            sums.a[planes - 1][r] = sums.b[planes - 1][r] = bias;
            if (planes == 2) {
                sums.a[0][r] = sums.b[0][r] = _mm512_setzero_si512();
            }
        }
        for (size_t u = 0; u < units; u++) {
            ahead = fetch(ahead, 2 * (size_t)bits);
            multiply_units(&sums, &p, &tables, digits, a, b);
            a += unit_bytes;
            b += unit_bytes;
            digits += ROWS * QUASH_UNIT_ELEMENTS;
        }
        const __m512 scale_a = _mm512_cvtph_ps(
            _mm256_loadu_si256((const __m256i *)(const void *)(key_scales + 64 * half)));
        const __m512 scale_b = _mm512_cvtph_ps(
            _mm256_loadu_si256((const __m256i *)(const void *)(key_scales + 64 * half + 32)));
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            const __m512 x = _mm512_cvtepi32_ps(join((const __m512i(*)[ROWS])sums.a, r, planes));
            const __m512 y = _mm512_cvtepi32_ps(join((const __m512i(*)[ROWS])sums.b, r, planes));
            _mm512_storeu_ps(scores[r] + 32 * half, _mm512_mul_ps(x, scale_a));
            _mm512_storeu_ps(scores[r] + 32 * half + 16, _mm512_mul_ps(y, scale_b));
        }
    }
}

/* ---- Softmax ----------------------------------------------------------------------------- */

/* Bits of 2^(j/16), less j << 19, which the sum below adds back. */
static const uint32_t roots[16] = { 0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3,
                                    0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
                                    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c,
                                    0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d };

/* 2^x for x up to 126, at least 2^-126: x is a multiple of 1/16 plus a rest of at most 1/32.
 * Relative error below 1.8e-6, exact mode 1.5e-7. */
INLINE __m512 power_of_two_f32x16(__m512 x, int exact) {
    const __m512 rounder = _mm512_set1_ps(786432.0f); /* 1.5 * 2^19: a float there ends at 2^-4 */
    const __m512 n = _mm512_add_ps(x, rounder);
    const __m512 rest = _mm512_sub_ps(x, _mm512_sub_ps(n, rounder));
    const __m512i least = _mm512_set1_epi32(0x49400000 - 16 * 126);
    const __m512i bits = _mm512_max_epi32(_mm512_castps_si512(n), least);
    const __m512i root = _mm512_permutexvar_epi32(bits, _mm512_loadu_si512(roots));
    const __m512 whole = _mm512_castsi512_ps(_mm512_add_epi32(root, _mm512_slli_epi32(bits, 19)));
    __m512 sum = _mm512_set1_ps(0.24022651f);
    if (exact) {
        sum = _mm512_fmadd_ps(_mm512_set1_ps(0.055504109f), rest, sum);
    }
    sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.69314718f));
    return _mm512_fmadd_ps(_mm512_mul_ps(whole, rest), sum, whole);
}

INLINE float first_f32x16(__m512 x) {
    return _mm512_cvtss_f32(x);
}

/* Moves a row to a new reference; rare. */
static __attribute__((noinline)) void raise_reference(struct quash_softmax_row *row,
                                                      float reference, float *out, size_t dims) {
    const float shrink =
        first_f32x16(power_of_two_f32x16(_mm512_set1_ps(row->reference - reference), 1));
    row->reference = reference;
    const __m512 factor = _mm512_set1_ps(shrink);
    _mm512_storeu_ps(row->lanes, _mm512_mul_ps(_mm512_loadu_ps(row->lanes), factor));
    for (size_t i = 0; i < dims; i += 16) {
        const __mmask16 mask = (__mmask16)(dims - i >= 16 ? 0xFFFF : (1u << (dims - i)) - 1);
        const __m512 x = _mm512_maskz_loadu_ps(mask, out + i);
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(x, factor));
    }
}

/* Value scales of a tile, times a factor that makes the largest of them the largest digit. */
struct value_scales {
    __m512 factors[4];
    float digit; /* what a digit 1 stands for at the height of the tile */
};

INLINE struct value_scales load_value_scales(const uint8_t *halves, float top) {
    struct value_scales scales;
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        scales.factors[i] =
            _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(halves + 32 * i)));
    }
    const __m512 pairs = _mm512_max_ps(_mm512_max_ps(scales.factors[0], scales.factors[1]),
                                       _mm512_max_ps(scales.factors[2], scales.factors[3]));
    const __m512 largest =
        _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(pairs, _mm512_set1_ps(1e-30f))));
    const __m512 factor = _mm512_div_ps(_mm512_set1_ps(top), largest);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        scales.factors[i] = _mm512_mul_ps(scales.factors[i], factor);
    }
    scales.digit = first_f32x16(largest) * (1.0f / top);
    return scales;
}

/* Byte `byte` of the 64 dwords of four registers, in order. */
INLINE __m512i gather_bytes(const __m512i *x, int byte) {
    static const uint8_t fours[64] = { 0,  4,  8,   12,  16,  20,  24,  28,  32,  36,  40,
                                       44, 48, 52,  56,  60,  64,  68,  72,  76,  80,  84,
                                       88, 92, 96,  100, 104, 108, 112, 116, 120, 124, 0,
                                       4,  8,  12,  16,  20,  24,  28,  32,  36,  40,  44,
                                       48, 52, 56,  60,  64,  68,  72,  76,  80,  84,  88,
                                       92, 96, 100, 104, 108, 112, 116, 120, 124 };
    const __m512i index = _mm512_add_epi8(_mm512_loadu_si512(fours), _mm512_set1_epi8((char)byte));
    const __m512i low = _mm512_permutex2var_epi8(x[0], index, x[1]);
    const __m512i high = _mm512_permutex2var_epi8(x[2], index, x[3]);
    return _mm512_mask_blend_epi32(0xFF00, low, high);
}

/* floor(w + dither) of numbers below 255 stands in byte 1 of w + dither + 2^15, whose last bit is
 * 2^-8; w rounded to an integer stands in the low bytes of w + 2^23. */
INLINE void store_weights(const __m512 *w, int exact, uint8_t *digits) {
    __m512i bits[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        bits[i] = _mm512_castps_si512(w[i]);
    }
    _mm512_storeu_si512(digits, gather_bytes(bits, 1));
    if (exact) {
        _mm512_storeu_si512(digits + ROWS * 64, gather_bytes(bits, 0));
    }
}

/* Maxima of up to 4 registers; lane i has that of register i % 4 (of 4 or 2, or 1). */
INLINE __m512 maxima(const __m512 *x, size_t rows) {
    if (rows == 1) {
        return _mm512_set1_ps(_mm512_reduce_max_ps(x[0]));
    }
    const __m512 z = x[rows - 2];
    const __m512 w = x[rows - 1];
    const __m512 xy = _mm512_max_ps(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    const __m512 zw = _mm512_max_ps(_mm512_unpacklo_ps(z, w), _mm512_unpackhi_ps(z, w));
    __m512 most = _mm512_max_ps(_mm512_shuffle_ps(xy, zw, 0x44), _mm512_shuffle_ps(xy, zw, 0xEE));
    most = _mm512_max_ps(most, _mm512_shuffle_f32x4(most, most, 0x4E));
    return _mm512_max_ps(most, _mm512_shuffle_f32x4(most, most, 0xB1));
}

/* Lane r of x in all lanes. */
INLINE __m512 lane_of(__m512 x, size_t r) {
    switch (r) {
    case 0: return _mm512_permute_ps(x, 0x00);
    case 1: return _mm512_permute_ps(x, 0x55);
    case 2: return _mm512_permute_ps(x, 0xAA);
    default: return _mm512_permute_ps(x, 0xFF);
    }
}

/* A number of each row: lane i has that of row i % 4, as far as there are rows. */
INLINE __m512 units_of(const struct quash_softmax_row *softmax, size_t rows) {
    return _mm512_broadcast_f32x4(_mm_setr_ps(softmax[0].unit, softmax[rows > 1 ? 1 : 0].unit,
                                              softmax[rows > 2 ? 2 : 0].unit,
                                              softmax[rows > 3 ? 3 : rows - 1].unit));
}

INLINE __m512 references_of(const struct quash_softmax_row *softmax, size_t rows) {
    return _mm512_broadcast_f32x4(_mm_setr_ps(
        softmax[0].reference, softmax[rows > 1 ? 1 : 0].reference,
        softmax[rows > 2 ? 2 : 0].reference, softmax[rows > 3 ? 3 : rows - 1].reference));
}

/* 1, 2 or 4 rows at once: what there is one number of per row takes one register for all. */
INLINE void softmax_rows(size_t rows, int exact, const float (*scores)[64],
                         const struct value_scales *scales, struct quash_softmax_row *softmax,
                         uint8_t *digits, float *weight, float *out, size_t dims,
                         size_t dim_stride) {
    __m512 most[ROWS];
    __m512 offsets[4];
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; i++) {
        offsets[i] =
            exact ? _mm512_set1_ps(8388608.0f)
                  : _mm512_add_ps(_mm512_loadu_ps(quash_dither + 16 * i), _mm512_set1_ps(32768.0f));
    }
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        const float *const x = scores[r];
        most[r] = _mm512_max_ps(_mm512_max_ps(_mm512_loadu_ps(x), _mm512_loadu_ps(x + 16)),
                                _mm512_max_ps(_mm512_loadu_ps(x + 32), _mm512_loadu_ps(x + 48)));
    }
    const __m512 largest = _mm512_mul_ps(maxima(most, rows), units_of(softmax, rows));
    const __m512 limit =
        _mm512_add_ps(references_of(softmax, rows), _mm512_set1_ps(QUASH_SOFTMAX_SLACK));
    const __mmask16 rising = _mm512_cmp_ps_mask(largest, limit, _CMP_NLE_UQ);
    if (__builtin_expect(rising != 0, 0)) {
        float heights[16];
        _mm512_storeu_ps(heights, largest);
        for (size_t r = 0; r < rows; r++) {
            if (rising >> r & 1) {
                raise_reference(&softmax[r], heights[r], out + r * dim_stride, dims);
            }
        }
    }
    const __m512 height =
        power_of_two_f32x16(_mm512_sub_ps(largest, references_of(softmax, rows)), 1);
    const __m128 size =
        _mm512_castps512_ps128(_mm512_mul_ps(height, _mm512_set1_ps(scales->digit)));
    _mm_mask_storeu_ps(weight, (__mmask8)((1u << rows) - 1), size);
#pragma GCC unroll 4
    for (size_t r = 0; r < rows; r++) {
        const __m512 unit = _mm512_set1_ps(softmax[r].unit);
        __m512 sum = _mm512_setzero_ps();
        __m512 x[4];
#pragma GCC unroll 4
        for (size_t i = 0; i < 4; i++) {
            const __m512 p = power_of_two_f32x16(
                _mm512_fmsub_ps(_mm512_loadu_ps(scores[r] + 16 * i), unit, lane_of(largest, r)),
                exact);
            sum = i == 0 ? p : _mm512_add_ps(sum, p);
            x[i] = _mm512_fmadd_ps(p, scales->factors[i], offsets[i]);
        }
        _mm512_storeu_ps(softmax[r].lanes, _mm512_fmadd_ps(sum, lane_of(height, r),
                                                           _mm512_loadu_ps(softmax[r].lanes)));
        store_weights(x, exact, digits + r * 64);
    }
}

INLINE void softmax_avx512(int exact, const float (*scores)[64], const uint8_t *value_scales,
                           size_t first, size_t rows, struct quash_softmax_row *softmax,
                           struct quash_weight_digits *weights, float *out, size_t dims,
                           size_t dim_stride) {
    const struct value_scales scales =
        load_value_scales(value_scales, exact ? QUASH_EXACT_WEIGHT_TOP_U16 : QUASH_FAST_WEIGHT_TOP);
    assert(first + rows <= ROWS);
    if (rows == 4) {
        softmax_rows(4, exact, scores, &scales, softmax, weights->digits, weights->weight, out,
                     dims, dim_stride);
        return;
    }
    for (size_t r = first; r < first + rows;) {
        const size_t count = first + rows - r >= 2 ? 2 : 1;
        if (count == 2) {
            softmax_rows(2, exact, scores + r, &scales, softmax + r, weights->digits + r * 64,
                         weights->weight + r, out + r * dim_stride, dims, dim_stride);
        } else {
            softmax_rows(1, exact, scores + r, &scales, softmax + r, weights->digits + r * 64,
                         weights->weight + r, out + r * dim_stride, dims, dim_stride);
        }
        r += count;
    }
}

/* ---- Values ------------------------------------------------------------------------------ */

INLINE void add_to_out(float *out, __m512i sum, float weight) {
    _mm512_storeu_ps(out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_set1_ps(weight),
                                          _mm512_loadu_ps(out)));
}

INLINE void values_of_rows(size_t rows, size_t planes, int32_t bits, const int8_t *integers,
                           const uint8_t *values, size_t value_dims,
                           const struct quash_weight_digits *weights, const uint8_t *ahead,
                           float *out, size_t dim_stride) {
    const struct product p = { 0, bits, rows, planes, 4, 64, ROWS * 64 };
    const struct tables tables = make_tables(integers, 0, bits);
    const size_t unit_bytes = (size_t)bits * QUASH_UNIT_ROW_BYTES;
    for (size_t dim = 0; dim < value_dims; dim += 2 * QUASH_UNIT_LANES) {
        struct sums sums;
        const uint8_t *digits = weights->digits;
        /* Opaque, or else the compiler broadcasts all digits before the loop, and spills them. */
        __asm__("" : "+r"(digits));
        const int pair = value_dims - dim > QUASH_UNIT_LANES; /* else the second is not used */
        const uint8_t *const a = values + dim / QUASH_UNIT_LANES * 2 * unit_bytes;
        const uint8_t *const b = pair ? a + 2 * unit_bytes : a;
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
#pragma GCC unroll 2
            for (size_t plane = 0; plane < planes; plane++) {
                sums.a[plane][r] = sums.b[plane][r] = _mm512_setzero_si512();
            }
        }
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; half++) {
            ahead = fetch(ahead, 2 * (size_t)bits);
            multiply_units(&sums, &p, &tables, digits + half * QUASH_UNIT_ELEMENTS,
                           a + half * unit_bytes, b + half * unit_bytes);
        }
#pragma GCC unroll 4
        for (size_t r = 0; r < rows; r++) {
            float *const target = out + r * dim_stride + dim;
            add_to_out(target, join((const __m512i(*)[ROWS])sums.a, r, planes), weights->weight[r]);
            if (pair) {
                add_to_out(target + QUASH_UNIT_LANES,
                           join((const __m512i(*)[ROWS])sums.b, r, planes), weights->weight[r]);
            }
        }
    }
    (void)fetch(ahead, 4); /* the scales */
}

/* ---- Entries ----------------------------------------------------------------------------- */

#define DEFINE_PRODUCTS_AVX512(mode, planes, bits)                                                 \
    void quash_##mode##_scores_##bits##_avx512(                                                    \
        const int8_t *integers, const uint8_t *keys, size_t key_dims,                              \
        const struct quash_query_digits *query, size_t rows, const uint8_t *key_scales,            \
        const uint8_t *ahead, float(*scores)[64]) {                                                \
        assert(rows >= 1 && rows <= ROWS && key_dims % QUASH_UNIT_ELEMENTS == 0);                  \
        switch (rows) {                                                                            \
        case 1:                                                                                    \
            scores_of_rows(1, planes, bits, integers, keys, key_dims, query, key_scales, ahead,    \
                           scores);                                                                \
            break;                                                                                 \
        case 2:                                                                                    \
            scores_of_rows(2, planes, bits, integers, keys, key_dims, query, key_scales, ahead,    \
                           scores);                                                                \
            break;                                                                                 \
        default:                                                                                   \
            scores_of_rows(4, planes, bits, integers, keys, key_dims, query, key_scales, ahead,    \
                           scores);                                                                \
            break;                                                                                 \
        }                                                                                          \
    }                                                                                              \
    void quash_##mode##_values_##bits##_avx512(                                                    \
        const int8_t *integers, const uint8_t *values, size_t value_dims,                          \
        const struct quash_weight_digits *weights, size_t rows, const uint8_t *ahead, float *out,  \
        size_t dim_stride) {                                                                       \
        assert(rows >= 1 && rows <= ROWS && value_dims % QUASH_UNIT_LANES == 0);                   \
        switch (rows) {                                                                            \
        case 1:                                                                                    \
            values_of_rows(1, planes, bits, integers, values, value_dims, weights, ahead, out,     \
                           dim_stride);                                                            \
            break;                                                                                 \
        case 2:                                                                                    \
            values_of_rows(2, planes, bits, integers, values, value_dims, weights, ahead, out,     \
                           dim_stride);                                                            \
            break;                                                                                 \
        default:                                                                                   \
            values_of_rows(4, planes, bits, integers, values, value_dims, weights, ahead, out,     \
                           dim_stride);                                                            \
            break;                                                                                 \
        }                                                                                          \
    }
#define DEFINE_MODE_AVX512(mode, planes)                                                           \
    DEFINE_PRODUCTS_AVX512(mode, planes, 2)                                                        \
    DEFINE_PRODUCTS_AVX512(mode, planes, 3)                                                        \
    DEFINE_PRODUCTS_AVX512(mode, planes, 4)                                                        \
    void quash_##mode##_softmax_avx512(                                                            \
        const float(*scores)[64], const uint8_t *value_scales, size_t first, size_t rows,          \
        struct quash_softmax_row *softmax, struct quash_weight_digits *weights, float *out,        \
        size_t dims, size_t dim_stride) {                                                          \
        softmax_avx512((planes) == 2, scores, value_scales, first, rows, softmax, weights, out,    \
                       dims, dim_stride);                                                          \
    }

DEFINE_MODE_AVX512(fast, 1)
DEFINE_MODE_AVX512(exact, 2)
