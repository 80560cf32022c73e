/* SPDX-License-Identifier: Apache-2.0 */
/* digits_c.c: attention on digits, C reference. Fast mode has int8 digits of queries and uint8 ones
 * of weights, exact mode int16 ones; a unit is unpacked once for all rows of a block. */
#include <assert.h>
#include <string.h>

#include "base/half.h"
#include "kernel/digits.h"
#include "kernel/unit.h"

/* So that bits and mode are constants in every loop. */
#define INLINE static inline __attribute__((always_inline))
#define LN2 0.69314718f

#define REGISTERS (QUASH_UNIT_ELEMENTS / 4)

/* Integers of a unit, register by register as unit.h has them: element 4*reg + k of lane l at
 * [reg][4*l + k]. Loops over the 64 of a register are plain, so that the compiler vectorises. */
typedef int8_t unit_integers[REGISTERS][QUASH_UNIT_ROW_BYTES];

INLINE void unpack_register(const uint8_t *unit, int32_t bits, size_t reg,
                            uint8_t codes[QUASH_UNIT_ROW_BYTES]) {
    if (bits == 3 && reg >= 6) {
        const int spare = reg == 6 ? 3 : 7;
        for (size_t i = 0; i < QUASH_UNIT_ROW_BYTES; i++) {
            codes[i] = (uint8_t)((unit[i] >> spare & 1) << 2 | (unit[64 + i] >> spare & 1) << 1 |
                                 (unit[128 + i] >> spare & 1));
        }
        return;
    }
    const size_t registers = bits == 2 ? 4 : 2; /* of a row */
    const int shift = (int)(reg % registers) * (bits == 2 ? 2 : 4);
    const uint8_t *const row = unit + reg / registers * QUASH_UNIT_ROW_BYTES;
    for (size_t i = 0; i < QUASH_UNIT_ROW_BYTES; i++) {
        codes[i] = (uint8_t)(row[i] >> shift & ((1 << bits) - 1));
    }
}

INLINE void unpack_unit(const uint8_t *unit, int32_t bits, const int8_t *integers,
                        unit_integers out) {
    for (size_t reg = 0; reg < REGISTERS; reg++) {
        uint8_t codes[QUASH_UNIT_ROW_BYTES];
        unpack_register(unit, bits, reg, codes);
        for (size_t i = 0; i < QUASH_UNIT_ROW_BYTES; i++) {
            out[reg][i] = integers[codes[i]];
        }
    }
}

/* Sums of one row of queries: four per lane, to be added. */
typedef int32_t unit_sums[QUASH_UNIT_ROW_BYTES];

/* Adds digit times integer, for the 32 digits of a unit. */
INLINE void add_products(unit_integers integers, const int16_t *digits, unit_sums sums) {
    for (size_t reg = 0; reg < REGISTERS; reg++) {
        int16_t repeated[QUASH_UNIT_ROW_BYTES];
        for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
            memcpy(repeated + 4 * lane, digits + 4 * reg, 4 * sizeof *digits);
        }
        for (size_t i = 0; i < QUASH_UNIT_ROW_BYTES; i++) {
            sums[i] += (int32_t)integers[reg][i] * repeated[i];
        }
    }
}

static inline int32_t lane_sum(const unit_sums sums, size_t lane) {
    return sums[4 * lane] + sums[4 * lane + 1] + sums[4 * lane + 2] + sums[4 * lane + 3];
}

/* ---- Scores ------------------------------------------------------------------------------ */

/* The digits of a unit's 32 elements of row r. */
INLINE void load_query(const void *digits, int exact, size_t unit, size_t r, int16_t *out) {
    for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
        const size_t at = ((unit * QUASH_UNIT_ELEMENTS + i) / 4 * QUASH_DIGIT_ROWS + r) * 4 + i % 4;
        out[i] = exact ? ((const int16_t *)digits)[at] : (int16_t)((const int8_t *)digits)[at];
    }
}

INLINE void scores_c(int32_t bits, int exact, const int8_t *integers, const uint8_t *keys,
                     size_t key_dims, const struct quash_query_digits *query, size_t rows,
                     const uint8_t *key_scales, float (*scores)[64]) {
    assert(rows >= 1 && rows <= QUASH_DIGIT_ROWS && key_dims % QUASH_UNIT_ELEMENTS == 0);
    const size_t units = key_dims / QUASH_UNIT_ELEMENTS;
    for (size_t block = 0; block < QUASH_TILE_TOKENS / QUASH_UNIT_LANES; block++) {
        unit_sums sums[QUASH_DIGIT_ROWS] = { { 0 } };
        for (size_t u = 0; u < units; u++) {
            unit_integers unpacked;
            unpack_unit(keys + (block * units + u) * quash_unit_bytes(bits), bits, integers,
                        unpacked);
            for (size_t r = 0; r < rows; r++) {
                int16_t digits[QUASH_UNIT_ELEMENTS];
                load_query(query->digits, exact, u, r, digits);
                add_products(unpacked, digits, sums[r]);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
                const size_t t = block * QUASH_UNIT_LANES + lane;
                scores[r][t] = (float)lane_sum(sums[r], lane) * quash_f16_at(key_scales, t);
            }
        }
    }
}

/* ---- Softmax ----------------------------------------------------------------------------- */

/* 2^x for x <= 0 (or a little more), relative error below 3e-7; at least 2^-126. */
static inline float power_of_two(float x) {
    const float clamped = x > -126.0f ? x : -126.0f;
    const float rounder = 12582912.0f;
    const float n = clamped + rounder;
    const float f = (clamped - (n - rounder)) * LN2;
    float p = 1.0f / 720.0f;
    p = p * f + 1.0f / 120.0f;
    p = p * f + 1.0f / 24.0f;
    p = p * f + 1.0f / 6.0f;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    return quash_f32_from_bits(quash_f32_bits(p) + (quash_f32_bits(n) << 23));
}

/* What a row's digits are scaled by: the largest, and in fast mode the largest group, just fit. */
static inline float weight_factor(const float *weights, int exact) {
    float largest = 1e-30f;
    float groups[2][2] = { { 0.0f, 0.0f }, { 0.0f, 0.0f } };
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        largest = weights[t] > largest ? weights[t] : largest;
        groups[t / 32][t % 4 / 2] += weights[t];
    }
    if (exact) {
        return QUASH_EXACT_WEIGHT_TOP_I16 / largest;
    }
    const float most[2] = { groups[0][0] > groups[0][1] ? groups[0][0] : groups[0][1],
                            groups[1][0] > groups[1][1] ? groups[1][0] : groups[1][1] };
    const float group = most[0] > most[1] ? most[0] : most[1];
    const float alone = QUASH_FAST_WEIGHT_TOP / largest;
    const float together = QUASH_FAST_WEIGHT_GROUP_TOP / (group > 1e-30f ? group : 1e-30f);
    return alone < together ? alone : together;
}

/* Moves a row to a new reference. */
static void raise_reference(struct quash_softmax_row *row, float reference, float *out,
                            size_t dims) {
    const float shrink = power_of_two(row->reference - reference);
    row->reference = reference;
    for (size_t i = 0; i < 16; i++) {
        row->lanes[i] *= shrink;
    }
    for (size_t i = 0; i < dims; i++) {
        out[i] *= shrink;
    }
}

static inline void softmax_row(int exact, const float *scores, const float *value_scales,
                               struct quash_softmax_row *row, uint8_t *digits, float *weight,
                               float *out, size_t dims) {
    float x[QUASH_TILE_TOKENS];
    float lanes[16] = { 0.0f };
    float largest = scores[0] * row->unit;
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        x[t] = scores[t] * row->unit;
        largest = x[t] > largest ? x[t] : largest;
    }
    if (!(largest <= row->reference + QUASH_SOFTMAX_SLACK)) {
        raise_reference(row, largest, out, dims);
    }
    const float height = power_of_two(largest - row->reference);
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        const float p = power_of_two(x[t] - largest);
        lanes[t % 16] += p;
        x[t] = p * value_scales[t];
    }
    for (size_t i = 0; i < 16; i++) {
        row->lanes[i] += lanes[i] * height;
    }
    const float factor = weight_factor(x, exact);
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        if (exact) {
            const int16_t digit = (int16_t)(x[t] * factor + 0.5f);
            memcpy(digits + 2 * t, &digit, sizeof digit);
        } else {
            digits[t] = (uint8_t)(x[t] * factor + quash_dither[t]);
        }
    }
    *weight = height / factor;
}

static inline void softmax_c(int exact, const float (*scores)[64], const uint8_t *value_scales,
                             size_t first, size_t rows, struct quash_softmax_row *softmax,
                             struct quash_weight_digits *weights, float *out, size_t dims,
                             size_t dim_stride) {
    float scales[QUASH_TILE_TOKENS];
    const size_t row_bytes = QUASH_TILE_TOKENS * (exact ? 2 : 1);
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        scales[t] = quash_f16_at(value_scales, t);
    }
    for (size_t r = first; r < first + rows; r++) {
        softmax_row(exact, scores[r], scales, &softmax[r], weights->digits + r * row_bytes,
                    &weights->weight[r], out + r * dim_stride, dims);
    }
}

/* ---- Values ------------------------------------------------------------------------------ */

INLINE void load_weights(const uint8_t *digits, int exact, size_t half, size_t r, int16_t *out) {
    const size_t first = r * QUASH_TILE_TOKENS + half * QUASH_UNIT_ELEMENTS;
    for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
        out[i] = digits[first + i];
        if (exact) {
            memcpy(&out[i], digits + 2 * (first + i), sizeof out[i]);
        }
    }
}

INLINE void values_c(int32_t bits, int exact, const int8_t *integers, const uint8_t *values,
                     size_t value_dims, const struct quash_weight_digits *weights, size_t rows,
                     float *out, size_t dim_stride) {
    assert(rows >= 1 && rows <= QUASH_DIGIT_ROWS && value_dims % QUASH_UNIT_LANES == 0);
    const size_t halves = QUASH_TILE_TOKENS / QUASH_UNIT_ELEMENTS;
    for (size_t block = 0; block < value_dims / QUASH_UNIT_LANES; block++) {
        unit_sums sums[QUASH_DIGIT_ROWS] = { { 0 } };
        for (size_t half = 0; half < halves; half++) {
            unit_integers unpacked;
            unpack_unit(values + (block * halves + half) * quash_unit_bytes(bits), bits, integers,
                        unpacked);
            for (size_t r = 0; r < rows; r++) {
                int16_t digits[QUASH_UNIT_ELEMENTS];
                load_weights(weights->digits, exact, half, r, digits);
                add_products(unpacked, digits, sums[r]);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            float *const target = out + r * dim_stride + block * QUASH_UNIT_LANES;
            for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
                target[lane] += (float)lane_sum(sums[r], lane) * weights->weight[r];
            }
        }
    }
}

/* ---- Entries ----------------------------------------------------------------------------- */

#define DEFINE_PRODUCTS_C(mode, exact, bits)                                                       \
    void quash_##mode##_scores_##bits##_c(const int8_t *integers, const uint8_t *keys,             \
                                          size_t key_dims, const struct quash_query_digits *query, \
                                          size_t rows, const uint8_t *key_scales,                  \
                                          const uint8_t *ahead, float(*scores)[64]) {              \
        (void)ahead;                                                                               \
        scores_c(bits, exact, integers, keys, key_dims, query, rows, key_scales, scores);          \
    }                                                                                              \
    void quash_##mode##_values_##bits##_c(const int8_t *integers, const uint8_t *values,           \
                                          size_t value_dims,                                       \
                                          const struct quash_weight_digits *weights, size_t rows,  \
                                          const uint8_t *ahead, float *out, size_t dim_stride) {   \
        (void)ahead;                                                                               \
        values_c(bits, exact, integers, values, value_dims, weights, rows, out, dim_stride);       \
    }
#define DEFINE_MODE_C(mode, exact)                                                                 \
    DEFINE_PRODUCTS_C(mode, exact, 2)                                                              \
    DEFINE_PRODUCTS_C(mode, exact, 3)                                                              \
    DEFINE_PRODUCTS_C(mode, exact, 4)                                                              \
    void quash_##mode##_softmax_c(const float(*scores)[64], const uint8_t *value_scales,           \
                                  size_t first, size_t rows, struct quash_softmax_row *softmax,    \
                                  struct quash_weight_digits *weights, float *out, size_t dims,    \
                                  size_t dim_stride) {                                             \
        softmax_c(exact, scores, value_scales, first, rows, softmax, weights, out, dims,           \
                  dim_stride);                                                                     \
    }

DEFINE_MODE_C(fast, 0)
DEFINE_MODE_C(exact, 1)
