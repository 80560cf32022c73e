/* SPDX-License-Identifier: Apache-2.0 */
/* query_digits.c: a rotated query as small integers, once per query and range of tokens; the same
 * for every instruction set but for the rule. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernel/digits.h"
#include "kernel/unit.h"

#define ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */
#define ROUNDER_BITS 0x4B400000u
#define FACTOR_MAX 1e36f /* keeps 1/q finite; scores of such small queries vanish */

/* fminf and fmaxf are calls, which cost more than all the rest here. */
static inline float least_of(float a, float b) {
    return a < b ? a : b;
}

static inline float most_of(float a, float b) {
    return a > b ? a : b;
}

/* Largest |q|, and largest mean of |q| over a group (a sum could exceed binary32). */
static void measure(const float *q, size_t key_dims, float *largest, float *largest_mean) {
    *largest = 0.0f;
    *largest_mean = 0.0f;
    for (size_t u = 0; u < key_dims; u += QUASH_UNIT_ELEMENTS) {
        float sums[4] = { 0.0f, 0.0f, 0.0f, 0.0f };
        float tops[4] = { 0.0f, 0.0f, 0.0f, 0.0f };
        for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i += 4) {
            for (size_t k = 0; k < 4; k++) {
                const float magnitude = fabsf(q[u + i + k]);
                sums[k] += magnitude * 0.0625f;
                tops[k] = most_of(tops[k], magnitude);
            }
        }
        *largest_mean = most_of(*largest_mean, most_of(sums[0] + sums[1], sums[2] + sums[3]));
        *largest = most_of(*largest, most_of(most_of(tops[0], tops[1]), most_of(tops[2], tops[3])));
    }
}

static float factor_of(const struct quash_digit_rule *rule, const float *q, size_t key_dims) {
    float largest;
    float largest_mean;
    measure(q, key_dims, &largest, &largest_mean);
    float factor = rule->top / largest; /* infinite for a zero query */
    if (rule->group_top > 0.0f) {
        factor = least_of(factor, rule->group_top * 0.0625f / largest_mean);
    }
    return least_of(factor, FACTOR_MAX);
}

static inline int32_t round_to_digit(float x) {
    return (int32_t)(quash_f32_bits(x + ROUNDER) - ROUNDER_BITS);
}

/* One byte of each number of a unit to its place. */
static void store_bytes(int8_t *digits, size_t u, size_t row,
                        const int8_t bytes[QUASH_UNIT_ELEMENTS]) {
    for (size_t i = 0; i < QUASH_UNIT_ELEMENTS; i += 4) {
        memcpy(digits + ((u + i) / 4 * QUASH_DIGIT_ROWS + row) * 4, bytes + i, 4);
    }
}

/* One unit of a row; plain loops, which the compiler vectorises. */
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

float quash_query_digits(const struct quash_digit_rule *rule, const float *q, size_t key_dims,
                         size_t row, void *digits, int32_t *bias, int16_t *unit_bias) {
    const float factor = factor_of(rule, q, key_dims);
    int32_t total = 0;
    bias[row] = 0;
    if (!(factor > 0.0f)) { /* rotated beyond binary32: digits stay 0, scores become NaN */
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
