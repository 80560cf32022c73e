/* SPDX-License-Identifier: Apache-2.0 */
/* query_digits_c.c: a rotated query as small integers, C reference; the instruction set decides the
 * rule only. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernel/digits.h"
#include "kernel/unit.h"

/* Bits of magnitudes compare as integers, so that infinity and NaN are the largest. */
static float largest_magnitude(const float *q, size_t key_dims) {
    uint32_t largest = 0;
    for (size_t i = 0; i < key_dims; i++) {
        const uint32_t magnitude = quash_f32_bits(q[i]) & 0x7FFFFFFFu;
        largest = magnitude > largest ? magnitude : largest;
    }
    return quash_f32_from_bits(largest);
}

/* Largest mean of |q| over a group (a sum could exceed binary32). The 16 lanes of two elements each
 * end in a halving tree of which the last two steps stay apart. */
static float largest_group_mean(const float *q, size_t key_dims) {
    float largest = 0.0f;
    for (size_t u = 0; u < key_dims; u += QUASH_UNIT_ELEMENTS) {
        float lanes[16];
        for (size_t i = 0; i < 16; i++) {
            lanes[i] = fabsf(q[u + i]) * 0.0625f + fabsf(q[u + 16 + i]) * 0.0625f;
        }
        for (size_t half = 8; half >= 4; half /= 2) {
            for (size_t i = 0; i < half; i++) {
                lanes[i] += lanes[i + half];
            }
        }
        largest = fmaxf(largest, fmaxf(lanes[0] + lanes[1], lanes[2] + lanes[3]));
    }
    return largest;
}

static inline int32_t round_to_digit(float x) {
    return (int32_t)(quash_f32_bits(x + QUASH_ROUNDER) - QUASH_ROUNDER_BITS);
}

/* One byte of each number of a unit to its place. */
static void store_bytes(int8_t *digits, size_t u, size_t row,
                        const int8_t bytes[QUASH_UNIT_ELEMENTS]) {
    for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i += 4) {
        memcpy(digits + ((u + i) / 4 * QUASH_DIGIT_ROWS + row) * 4, bytes + i, 4);
    }
}

/* One unit of a row. */
static void store_unit(const struct quash_digit_rule *rule, size_t key_dims, size_t u, size_t row,
                       const int32_t numbers[QUASH_UNIT_ELEMENTS], void *digits) {
    int8_t bytes[QUASH_UNIT_ELEMENTS];
    int16_t words[QUASH_UNIT_ELEMENTS];
    switch (rule->planes) {
    case 0:
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
            words[i] = (int16_t)numbers[i];
        }
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i += 4) {
            memcpy((int16_t *)digits + ((u + i) / 4 * QUASH_DIGIT_ROWS + row) * 4, words + i, 8);
        }
        break;
    case 1:
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
            bytes[i] = (int8_t)numbers[i];
        }
        store_bytes(digits, u, row, bytes);
        break;
    default:
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
            bytes[i] = (int8_t)((numbers[i] + 128) >> 8);
        }
        store_bytes(digits, u, row, bytes);
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
            bytes[i] = (int8_t)(uint8_t)((uint32_t)numbers[i] & 255u);
        }
        store_bytes((int8_t *)digits + key_dims * QUASH_DIGIT_ROWS, u, row, bytes);
        break;
    }
}

float quash_query_digits_c(const struct quash_digit_rule *rule, const float *q, size_t key_dims,
                           size_t row, void *digits, int32_t *bias, int16_t *unit_bias) {
    const float mean = rule->group_top > 0.0f ? largest_group_mean(q, key_dims) : 0.0f;
    const float factor = quash_query_factor(rule, largest_magnitude(q, key_dims), mean);
    int32_t total = 0;
    bias[row] = 0;
    if (!(factor > 0.0f)) {
        return INFINITY;
    }
    for (size_t u = 0; u < key_dims; u += QUASH_UNIT_ELEMENTS) {
        int32_t numbers[QUASH_UNIT_ELEMENTS];
        int32_t sums[4] = { 0, 0, 0, 0 };
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i++) {
            numbers[i] = round_to_digit(q[u + i] * factor);
        }
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i += 4) {
            for (size_t k = 0; k < 4; k++) {
                sums[k] += numbers[i + k];
            }
        }
        store_unit(rule, key_dims, u, row, numbers, digits);
        if (unit_bias != NULL) {
            int16_t *const pair =
                unit_bias + (u / QUASH_UNIT_ELEMENTS * QUASH_DIGIT_ROWS + row) * 2;
            pair[0] = (int16_t)(uint16_t)(uint32_t)(-64 * (sums[0] + sums[1]));
            pair[1] = (int16_t)(uint16_t)(uint32_t)(-64 * (sums[2] + sums[3]));
        }
        total += sums[0] + sums[1] + sums[2] + sums[3];
    }
    bias[row] = -64 * total;
    return 1.0f / factor;
}
