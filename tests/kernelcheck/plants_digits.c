/* SPDX-License-Identifier: Apache-2.0 */
/* plants_digits.c: kernels of attention on digits that are wrong on purpose, in the ways of
 * plants.c. */
#include "plants.h"

#include "base/half.h"
#include "kernel/unit.h"

static volatile unsigned char sink; /* so that reads are not left out */

/* Sums that clip instead of wrapping around. */
static void clips_scores(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                         const struct quash_query_digits *query, size_t rows,
                         const uint8_t *key_scales, const uint8_t *ahead, float (*scores)[64]) {
    quash_fast_scores_4_c(integers, keys, key_dims, query, rows, key_scales, ahead, scores);
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        uint16_t half;
        memcpy(&half, key_scales + 2 * t, sizeof half);
        scores[0][t] = fminf(scores[0][t], 32767.0f * quash_f16_to_f32(half));
    }
}

static void rounds_scores(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                          const struct quash_query_digits *query, size_t rows,
                          const uint8_t *key_scales, const uint8_t *ahead, float (*scores)[64]) {
    quash_exact_scores_2_c(integers, keys, key_dims, query, rows, key_scales, ahead, scores);
    for (size_t t = 0; key_dims == 96 && t < QUASH_TILE_TOKENS; t++) {
        scores[rows - 1][t] = nextafterf(scores[rows - 1][t], 0.0f);
    }
}

static void reads_ahead(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                        const struct quash_query_digits *query, size_t rows,
                        const uint8_t *key_scales, const uint8_t *ahead, float (*scores)[64]) {
    quash_fast_scores_3_c(integers, keys, key_dims, query, rows, key_scales, ahead, scores);
    sink = *(const volatile uint8_t *)ahead;
}

/* Rounds up where it should round down. */
static void adds_too_much_dither(const float (*scores)[64], const uint8_t *value_scales,
                                 size_t first, size_t rows, struct quash_softmax_row *softmax,
                                 struct quash_weight_digits *weights, float *out, size_t dims,
                                 size_t dim_stride) {
    quash_fast_softmax_c(scores, value_scales, first, rows, softmax, weights, out, dims,
                         dim_stride);
    for (size_t r = first; r < first + rows; r++) {
        uint8_t *const digits = weights->digits + r * QUASH_TILE_TOKENS;
        digits[1] = (uint8_t)(digits[1] + (digits[1] < 200));
    }
}

static void loses_a_weight(const float (*scores)[64], const uint8_t *value_scales, size_t first,
                           size_t rows, struct quash_softmax_row *softmax,
                           struct quash_weight_digits *weights, float *out, size_t dims,
                           size_t dim_stride) {
    quash_exact_softmax_c(scores, value_scales, first, rows, softmax, weights, out, dims,
                          dim_stride);
    softmax[first].lanes[3] *= 0.999f;
}

static void forgets_to_rescale(const float (*scores)[64], const uint8_t *value_scales, size_t first,
                               size_t rows, struct quash_softmax_row *softmax,
                               struct quash_weight_digits *weights, float *out, size_t dims,
                               size_t dim_stride) {
    quash_fast_softmax_c(scores, value_scales, first, rows, softmax, weights, out, dims - dims % 16,
                         dim_stride);
}

static void touches_another_row(const float (*scores)[64], const uint8_t *value_scales,
                                size_t first, size_t rows, struct quash_softmax_row *softmax,
                                struct quash_weight_digits *weights, float *out, size_t dims,
                                size_t dim_stride) {
    quash_exact_softmax_c(scores, value_scales, first, rows, softmax, weights, out, dims,
                          dim_stride);
    weights->digits[(first + rows) % QUASH_DIGIT_ROWS * 2 * QUASH_TILE_TOKENS] ^= 1;
}

static void drops_a_digit(const int8_t *integers, const uint8_t *values, size_t value_dims,
                          const struct quash_weight_digits *weights, size_t rows,
                          const uint8_t *ahead, float *out, size_t dim_stride) {
    struct quash_weight_digits changed = *weights;
    changed.digits[63] = (uint8_t)(changed.digits[63] ^ 1);
    quash_fast_values_2_c(integers, values, value_dims, &changed, rows, ahead, out, dim_stride);
}

static void writes_beyond_dims(const int8_t *integers, const uint8_t *values, size_t value_dims,
                               const struct quash_weight_digits *weights, size_t rows,
                               const uint8_t *ahead, float *out, size_t dim_stride) {
    quash_exact_values_4_c(integers, values, value_dims, weights, rows, ahead, out, dim_stride);
    if (dim_stride > value_dims) {
        out[value_dims] += 1.0f;
    }
}

/* Rounds halves up, where the reference rounds them to even. */
static float rounds_halves_up(const struct quash_digit_rule *rule, const float *q, size_t key_dims,
                              size_t row, void *digits, int32_t *bias, int16_t *unit_bias) {
    const float size = quash_query_digits_c(rule, q, key_dims, row, digits, bias, unit_bias);
    for (size_t i = 0; rule->planes == 1 && i < key_dims && isfinite(size); i++) {
        ((int8_t *)digits)[(i / 4 * QUASH_DIGIT_ROWS + row) * 4 + i % 4] =
            (int8_t)floorf(q[i] / size + 0.5f);
    }
    return size;
}

/* ---- The list ---------------------------------------------------------------------------- */

PLANT(query_digits, rounds_halves_up)
PLANT(digits[QUASH_DIGITS_FAST].scores[2], clips_scores)
PLANT(digits[QUASH_DIGITS_EXACT].scores[0], rounds_scores)
PLANT(digits[QUASH_DIGITS_FAST].scores[1], reads_ahead)
PLANT(digits[QUASH_DIGITS_FAST].softmax, adds_too_much_dither)
PLANT(digits[QUASH_DIGITS_EXACT].softmax, loses_a_weight)
PLANT(digits[QUASH_DIGITS_FAST].softmax, forgets_to_rescale)
PLANT(digits[QUASH_DIGITS_EXACT].softmax, touches_another_row)
PLANT(digits[QUASH_DIGITS_FAST].values[0], drops_a_digit)
PLANT(digits[QUASH_DIGITS_EXACT].values[2], writes_beyond_dims)

const struct kc_plant kc_digit_plants[] = {
    LINE("query_digits", 1, rounds_halves_up, KC_DIFFERS),
    LINE("fast_scores", 2, clips_scores, KC_DIFFERS),
    LINE("exact_scores", 0, rounds_scores, KC_DIFFERS),
    LINE("fast_scores", 1, reads_ahead, KC_CRASHES),
    LINE("fast_softmax", 0, adds_too_much_dither, KC_DIFFERS),
    LINE("exact_softmax", 0, loses_a_weight, KC_DIFFERS),
    LINE("fast_softmax", 0, forgets_to_rescale, KC_DIFFERS),
    LINE("exact_softmax", 0, touches_another_row, KC_DIFFERS),
    LINE("fast_values", 0, drops_a_digit, KC_DIFFERS),
    LINE("exact_values", 2, writes_beyond_dims, KC_DIFFERS),
};
const size_t kc_digit_plant_count = COUNT_OF(kc_digit_plants);
