/* SPDX-License-Identifier: Apache-2.0 */
/* digits_dotprod.c: attention on digits with SDOT and UDOT, which multiply and add four elements of
 * four lanes; by-element forms take the digits of one row out of a register that holds those of four
 * rows or of 16 elements. The rules are those of AVX-512: scores multiply signed bytes; values,
 * whose digits are unsigned, take integers + 64 and subtract 64 times the sum of the digits. In exact
 * mode numbers are 256h + l, one product each. */
#include <assert.h>

#include "kernel/digits.h"
#include "kernel/neon.h"
#include "kernel/unit.h"

#define INLINE QUASH_FORCE_INLINE
#define ROWS QUASH_DIGIT_ROWS
#define REGISTERS (QUASH_UNIT_ELEMENTS / 4)
#define VECTORS 4 /* of 16 bytes, four lanes, in a register */
#define LANES 4

/* ---- Integers of a unit ------------------------------------------------------------------ */

/* Integers of four lanes, register by register. Codes beyond 15 would be looked up as 0. */
INLINE void unpack(int32_t bits, uint8x16_t table, const uint8_t *unit, size_t vector,
                   uint8x16_t out[REGISTERS]) {
    const uint8x16_t mask = vdupq_n_u8((uint8_t)((1 << bits) - 1));
    const uint8_t *const at = unit + 16 * vector;
    uint8x16_t rows[4];
#pragma GCC unroll 8
    for (int32_t r = 0; r < bits; r++) {
        rows[r] = vld1q_u8(at + r * QUASH_UNIT_ROW_BYTES);
    }
    if (bits == 2) {
#pragma GCC unroll 8
        for (size_t r = 0; r < 2; r++) {
            out[4 * r] = vandq_u8(rows[r], mask);
            out[4 * r + 1] = vandq_u8(vshrq_n_u8(rows[r], 2), mask);
            out[4 * r + 2] = vandq_u8(vshrq_n_u8(rows[r], 4), mask);
            out[4 * r + 3] = vshrq_n_u8(rows[r], 6);
        }
    } else {
#pragma GCC unroll 8
        for (int32_t r = 0; r < bits; r++) {
            out[2 * r] = vandq_u8(rows[r], mask);
            out[2 * r + 1] = vandq_u8(vshrq_n_u8(rows[r], 4), mask);
        }
    }
    if (bits == 3) { /* bits 3 and 7 of the three rows: 2^2, 2^1 and 2^0 of registers 6 and 7 */
        const uint8x16_t spare = vdupq_n_u8(0x88);
        const uint8x16_t high = vshrq_n_u8(vandq_u8(rows[0], spare), 1);
        const uint8x16_t middle = vshrq_n_u8(vandq_u8(rows[1], spare), 2);
        const uint8x16_t low = vshrq_n_u8(vandq_u8(rows[2], spare), 3);
        const uint8x16_t both = vorrq_u8(vorrq_u8(high, middle), low);
        out[6] = vandq_u8(both, mask);
        out[7] = vshrq_n_u8(both, 4);
    }
#pragma GCC unroll 8
    for (size_t reg = 0; reg < REGISTERS; reg++) {
        out[reg] = vqtbl1q_u8(table, out[reg]);
    }
}

/* By-element products, of which the element must be a constant. */
INLINE int32x4_t signed_products(int32x4_t sum, uint8x16_t integers, int8x16_t digits, size_t at) {
    const int8x16_t x = vreinterpretq_s8_u8(integers);
    switch (at) {
    case 0: return vdotq_laneq_s32(sum, x, digits, 0);
    case 1: return vdotq_laneq_s32(sum, x, digits, 1);
    case 2: return vdotq_laneq_s32(sum, x, digits, 2);
    default: return vdotq_laneq_s32(sum, x, digits, 3);
    }
}

INLINE uint32x4_t unsigned_products(uint32x4_t sum, uint8x16_t integers, uint8x16_t digits,
                                    size_t at) {
    switch (at) {
    case 0: return vdotq_laneq_u32(sum, integers, digits, 0);
    case 1: return vdotq_laneq_u32(sum, integers, digits, 1);
    case 2: return vdotq_laneq_u32(sum, integers, digits, 2);
    default: return vdotq_laneq_u32(sum, integers, digits, 3);
    }
}

/* Four binary16 numbers at any address. */
INLINE float32x4_t load_scales(const uint8_t *halves) {
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves)));
}

/* Fetches `lines` lines and steps on. */
INLINE const uint8_t *fetch(const uint8_t *ahead, size_t lines) {
    for (size_t i = 0; i < lines; i++) {
        __builtin_prefetch(ahead + i * 64, 0, 2);
    }
    return ahead + lines * 64;
}

/* ---- Scores ------------------------------------------------------------------------------ */

/* Scores of the tokens of `count` vectors of a block of 16, all sums in registers. */
INLINE void scores_of_vectors(size_t rows, size_t planes, size_t count, int32_t bits,
                              uint8x16_t table, const uint8_t *units, size_t unit_count,
                              size_t vector, const int8_t *digits, const uint8_t *key_scales,
                              size_t token, float (*scores)[64]) {
    int32x4_t sums[2][ROWS][VECTORS];
#pragma GCC unroll 32
    for (size_t i = 0; i < planes * ROWS * VECTORS; i++) {
        sums[i / (ROWS * VECTORS)][i / VECTORS % ROWS][i % VECTORS] = vdupq_n_s32(0);
    }
    for (size_t u = 0; u < unit_count; u++) {
        const int8_t *const at = digits + u * QUASH_UNIT_ELEMENTS * ROWS;
#pragma GCC unroll 8
        for (size_t v = 0; v < count; v++) {
            uint8x16_t integers[REGISTERS];
            unpack(bits, table, units + u * quash_unit_bytes(bits), vector + v, integers);
#pragma GCC unroll 8
            for (size_t reg = 0; reg < REGISTERS; reg++) {
#pragma GCC unroll 8
                for (size_t plane = 0; plane < planes; plane++) {
                    const int8x16_t four =
                        vld1q_s8(at + plane * unit_count * QUASH_UNIT_ELEMENTS * ROWS + 16 * reg);
#pragma GCC unroll 8
                    for (size_t r = 0; r < rows; r++) {
                        sums[plane][r][v] =
                            signed_products(sums[plane][r][v], integers[reg], four, r);
                    }
                }
            }
        }
    }
#pragma GCC unroll 8
    for (size_t v = 0; v < count; v++) {
        const size_t t = token + LANES * (vector + v);
        const float32x4_t scale = load_scales(key_scales + 2 * t);
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            const int32x4_t sum = planes == 1
                                      ? sums[0][r][v]
                                      : vaddq_s32(vshlq_n_s32(sums[0][r][v], 8), sums[1][r][v]);
            vst1q_f32(scores[r] + t, vmulq_f32(vcvtq_f32_s32(sum), scale));
        }
    }
}

INLINE void scores_of_rows(size_t rows, size_t planes, int32_t bits, const int8_t *integers,
                           const uint8_t *keys, size_t key_dims,
                           const struct quash_query_digits *query, const uint8_t *key_scales,
                           const uint8_t *ahead, float (*scores)[64]) {
    const uint8x16_t table = vreinterpretq_u8_s8(vld1q_s8(integers));
    const size_t units = key_dims / QUASH_UNIT_ELEMENTS;
    const size_t count = planes == 1 ? 4 : 2;
    for (size_t block = 0; block < QUASH_TILE_TOKENS / QUASH_UNIT_LANES; block++) {
        ahead = fetch(ahead, units * (size_t)bits);
#pragma GCC unroll 8
        for (size_t vector = 0; vector < VECTORS; vector += count) {
            scores_of_vectors(rows, planes, count, bits, table,
                              keys + block * units * quash_unit_bytes(bits), units, vector,
                              query->digits, key_scales, block * QUASH_UNIT_LANES, scores);
        }
    }
}

/* ---- Softmax ----------------------------------------------------------------------------- */

/* 2^x for x up to 126, at least 2^-126. Relative error below 3e-7. */
INLINE float32x4_t power_of_two_f32x4(float32x4_t x) {
    const float32x4_t rounder = vdupq_n_f32(QUASH_ROUNDER);
    const float32x4_t clamped = vmaxnmq_f32(x, vdupq_n_f32(-126.0f));
    const float32x4_t n = vaddq_f32(clamped, rounder);
    const float32x4_t f = vmulq_n_f32(vsubq_f32(clamped, vsubq_f32(n, rounder)), 0.69314718f);
    float32x4_t p = vdupq_n_f32(1.0f / 720.0f);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 120.0f), p, f);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 24.0f), p, f);
    p = vfmaq_f32(vdupq_n_f32(1.0f / 6.0f), p, f);
    p = vfmaq_f32(vdupq_n_f32(0.5f), p, f);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, f);
    p = vfmaq_f32(vdupq_n_f32(1.0f), p, f);
    return vreinterpretq_f32_u32(
        vaddq_u32(vreinterpretq_u32_f32(p), vshlq_n_u32(vreinterpretq_u32_f32(n), 23)));
}

/* Moves a row to a new reference; rare. */
static __attribute__((noinline)) void raise_reference(struct quash_softmax_row *row,
                                                      float reference, float *out, size_t dims) {
    const float shrink =
        vgetq_lane_f32(power_of_two_f32x4(vdupq_n_f32(row->reference - reference)), 0);
    row->reference = reference;
    for (size_t i = 0; i < 16; i++) {
        row->lanes[i] *= shrink;
    }
    for (size_t i = 0; i < dims; i++) {
        out[i] *= shrink;
    }
}

#define WEIGHTS (QUASH_TILE_TOKENS / LANES) /* vectors */

/* Sixteen numbers below 65,536 as bytes; in exact mode the high bytes go to the first plane. */
INLINE void store_weights(const uint32x4_t *x, int exact, uint8_t *digits) {
    const uint16x8_t a = vcombine_u16(vmovn_u32(x[0]), vmovn_u32(x[1]));
    const uint16x8_t b = vcombine_u16(vmovn_u32(x[2]), vmovn_u32(x[3]));
    const uint8x16_t low = vcombine_u8(vmovn_u16(a), vmovn_u16(b));
    if (exact) {
        vst1q_u8(digits, vcombine_u8(vshrn_n_u16(a, 8), vshrn_n_u16(b, 8)));
        vst1q_u8(digits + ROWS * QUASH_TILE_TOKENS, low);
    } else {
        vst1q_u8(digits, low);
    }
}

/* scales: those of the values, times what makes the largest of them the largest digit. */
INLINE void softmax_row(int exact, const float *scores, const float32x4_t *scales, float digit,
                        struct quash_softmax_row *row, uint8_t *digits, float *weight, float *out,
                        size_t dims) {
    float32x4_t most = vld1q_f32(scores);
#pragma GCC unroll 16
    for (size_t i = 1; i < WEIGHTS; i++) {
        most = vmaxq_f32(most, vld1q_f32(scores + LANES * i));
    }
    const float largest = vmaxvq_f32(most) * row->unit;
    if (!(largest <= row->reference + QUASH_SOFTMAX_SLACK)) {
        raise_reference(row, largest, out, dims);
    }
    const float height =
        vgetq_lane_f32(power_of_two_f32x4(vdupq_n_f32(largest - row->reference)), 0);
    float32x4_t sums[4] = { vdupq_n_f32(0.0f), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f),
                            vdupq_n_f32(0.0f) };
#pragma GCC unroll 16
    for (size_t i = 0; i < WEIGHTS; i += 4) {
        uint32x4_t numbers[4];
#pragma GCC unroll 8
        for (size_t k = 0; k < 4; k++) {
            const size_t t = LANES * (i + k);
            const float32x4_t p = power_of_two_f32x4(
                vfmaq_n_f32(vdupq_n_f32(-largest), vld1q_f32(scores + t), row->unit));
            const float32x4_t offset = exact ? vdupq_n_f32(0.5f) : vld1q_f32(quash_dither + t);
            sums[k] = vaddq_f32(sums[k], p);
            numbers[k] = vcvtq_u32_f32(vfmaq_f32(offset, p, scales[i + k]));
        }
        store_weights(numbers, exact, digits + LANES * i);
    }
#pragma GCC unroll 8
    for (size_t k = 0; k < 4; k++) {
        vst1q_f32(row->lanes + 4 * k, vfmaq_n_f32(vld1q_f32(row->lanes + 4 * k), sums[k], height));
    }
    *weight = height * digit;
}

INLINE void softmax_dotprod(int exact, const float (*scores)[64], const uint8_t *value_scales,
                            size_t first, size_t rows, struct quash_softmax_row *softmax,
                            struct quash_weight_digits *weights, float *out, size_t dims,
                            size_t dim_stride) {
    const float top = exact ? QUASH_EXACT_WEIGHT_TOP_U16 : QUASH_FAST_WEIGHT_TOP;
    float32x4_t scales[WEIGHTS];
    float32x4_t most = vdupq_n_f32(1e-30f);
#pragma GCC unroll 16
    for (size_t i = 0; i < WEIGHTS; i++) {
        scales[i] = load_scales(value_scales + 2 * LANES * i);
        most = vmaxq_f32(most, scales[i]);
    }
    const float largest = vmaxvq_f32(most);
#pragma GCC unroll 16
    for (size_t i = 0; i < WEIGHTS; i++) {
        scales[i] = vmulq_n_f32(scales[i], top / largest);
    }
    for (size_t r = first; r < first + rows; r++) {
        softmax_row(exact, scores[r], scales, largest / top, &softmax[r],
                    weights->digits + r * QUASH_TILE_TOKENS, &weights->weight[r],
                    out + r * dim_stride, dims);
    }
}

/* ---- Values ------------------------------------------------------------------------------ */

/* 64 times the sum of a row's 64 digits, in all lanes. */
INLINE uint32x4_t weight_bias(const uint8_t *digits) {
    uint32_t sum = 0;
#pragma GCC unroll 8
    for (size_t i = 0; i < QUASH_TILE_TOKENS; i += 16) {
        sum += vaddlvq_u8(vld1q_u8(digits + i));
    }
    return vdupq_n_u32(64 * sum);
}

/* Adds the products of `count` vectors of a block of 16 dims. */
INLINE void values_of_vectors(size_t rows, size_t planes, size_t count, int32_t bits,
                              uint8x16_t table, const uint8_t *units, size_t vector,
                              const struct quash_weight_digits *weights, uint32x4_t (*bias)[ROWS],
                              float *out, size_t dim_stride) {
    uint32x4_t sums[2][ROWS][VECTORS];
#pragma GCC unroll 32
    for (size_t i = 0; i < planes * ROWS * VECTORS; i++) {
        sums[i / (ROWS * VECTORS)][i / VECTORS % ROWS][i % VECTORS] = vdupq_n_u32(0);
    }
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *const at = weights->digits + half * QUASH_UNIT_ELEMENTS;
#pragma GCC unroll 8
        for (size_t v = 0; v < count; v++) {
            uint8x16_t integers[REGISTERS];
            unpack(bits, table, units + half * quash_unit_bytes(bits), vector + v, integers);
#pragma GCC unroll 8
            for (size_t i = 0; i < planes * rows; i++) {
                const size_t plane = i / rows;
                const size_t r = i % rows;
                const uint8_t *const row = at + (plane * ROWS + r) * QUASH_TILE_TOKENS;
                const uint8x16_t digits[2] = { vld1q_u8(row), vld1q_u8(row + 16) };
#pragma GCC unroll 8
                for (size_t reg = 0; reg < REGISTERS; reg++) {
                    sums[plane][r][v] = unsigned_products(sums[plane][r][v], integers[reg],
                                                          digits[reg / 4], reg % 4);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (size_t v = 0; v < count; v++) {
#pragma GCC unroll 8
        for (size_t r = 0; r < rows; r++) {
            float *const target = out + r * dim_stride + LANES * (vector + v);
            uint32x4_t sum = vsubq_u32(sums[0][r][v], bias[0][r]);
            if (planes == 2) {
                sum = vaddq_u32(vshlq_n_u32(sum, 8), vsubq_u32(sums[1][r][v], bias[1][r]));
            }
            vst1q_f32(target,
                      vfmaq_n_f32(vld1q_f32(target), vcvtq_f32_s32(vreinterpretq_s32_u32(sum)),
                                  weights->weight[r]));
        }
    }
}

INLINE void values_of_rows(size_t rows, size_t planes, int32_t bits, const int8_t *integers,
                           const uint8_t *values, size_t value_dims,
                           const struct quash_weight_digits *weights, const uint8_t *ahead,
                           float *out, size_t dim_stride) {
    const uint8x16_t table = vaddq_u8(vreinterpretq_u8_s8(vld1q_s8(integers)), vdupq_n_u8(64));
    const size_t count = planes == 1 ? 4 : 2;
    uint32x4_t bias[2][ROWS];
#pragma GCC unroll 8
    for (size_t i = 0; i < planes * rows; i++) {
        bias[i / rows][i % rows] =
            weight_bias(weights->digits + (i / rows * ROWS + i % rows) * QUASH_TILE_TOKENS);
    }
    for (size_t block = 0; block < value_dims / QUASH_UNIT_LANES; block++) {
        ahead = fetch(ahead, 2 * (size_t)bits);
#pragma GCC unroll 8
        for (size_t vector = 0; vector < VECTORS; vector += count) {
            values_of_vectors(rows, planes, count, bits, table,
                              values + block * 2 * quash_unit_bytes(bits), vector, weights, bias,
                              out + block * QUASH_UNIT_LANES, dim_stride);
        }
    }
    (void)fetch(ahead, 4); /* the scales */
}

/* ---- Entries ----------------------------------------------------------------------------- */

#define SCORES_CASE(rows, planes, bits)                                                            \
    scores_of_rows(rows, planes, bits, integers, keys, key_dims, query, key_scales, ahead, scores)
#define VALUES_CASE(rows, planes, bits)                                                            \
    values_of_rows(rows, planes, bits, integers, values, value_dims, weights, ahead, out,          \
                   dim_stride)
#define DEFINE_PRODUCTS_DOTPROD(mode, planes, bits)                                                \
    void quash_##mode##_scores_##bits##_dotprod(                                                   \
        const int8_t *integers, const uint8_t *keys, size_t key_dims,                              \
        const struct quash_query_digits *query, size_t rows, const uint8_t *key_scales,            \
        const uint8_t *ahead, float(*scores)[64]) {                                                \
        assert(rows >= 1 && rows <= ROWS && key_dims % QUASH_UNIT_ELEMENTS == 0);                  \
        switch (rows) {                                                                            \
        case 1: SCORES_CASE(1, planes, bits); break;                                               \
        case 2: SCORES_CASE(2, planes, bits); break;                                               \
        default: SCORES_CASE(4, planes, bits); break;                                              \
        }                                                                                          \
    }                                                                                              \
    void quash_##mode##_values_##bits##_dotprod(                                                   \
        const int8_t *integers, const uint8_t *values, size_t value_dims,                          \
        const struct quash_weight_digits *weights, size_t rows, const uint8_t *ahead, float *out,  \
        size_t dim_stride) {                                                                       \
        assert(rows >= 1 && rows <= ROWS && value_dims % QUASH_UNIT_LANES == 0);                   \
        switch (rows) {                                                                            \
        case 1: VALUES_CASE(1, planes, bits); break;                                               \
        case 2: VALUES_CASE(2, planes, bits); break;                                               \
        default: VALUES_CASE(4, planes, bits); break;                                              \
        }                                                                                          \
    }
#define DEFINE_MODE_DOTPROD(mode, planes)                                                          \
    DEFINE_PRODUCTS_DOTPROD(mode, planes, 2)                                                       \
    DEFINE_PRODUCTS_DOTPROD(mode, planes, 3)                                                       \
    DEFINE_PRODUCTS_DOTPROD(mode, planes, 4)                                                       \
    void quash_##mode##_softmax_dotprod(                                                           \
        const float(*scores)[64], const uint8_t *value_scales, size_t first, size_t rows,          \
        struct quash_softmax_row *softmax, struct quash_weight_digits *weights, float *out,        \
        size_t dims, size_t dim_stride) {                                                          \
        softmax_dotprod((planes) == 2, scores, value_scales, first, rows, softmax, weights, out,   \
                        dims, dim_stride);                                                         \
    }

DEFINE_MODE_DOTPROD(fast, 1)
DEFINE_MODE_DOTPROD(exact, 2)
