/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the kernels of attention on digits, at every CPU level that this machine has: scores have
 * the bits of the C reference for any digits that the level's rule allows, whatever the codes, dims
 * and rows; digits of queries keep to that rule; digits of weights stand for the softmax; values
 * are integer products. */
#include "levels.h"
#include "support.h"

#include "base/half.h"
#include "codec/codebook.h"
#include "codec/tile.h"
#include "kernel/digits.h"

#include <float.h>

#define TOKENS QUASH_TILE_TOKENS
#define ROWS QUASH_DIGIT_ROWS
#define DIMS_MAX 576

/* The table under test, set by main, and the reference. */
static struct quash_kernels table;
static struct quash_kernels reference;

static const size_t dims_list[] = { 32, 64, 96, 128, 192, 256, 576 };
static const size_t value_dims_list[] = { 16, 48, 64, 80, 112, 128, 576 };

static _Alignas(64) uint8_t tile[TOKENS * DIMS_MAX / 2];
static _Alignas(64) uint8_t scales[TOKENS * 2];

/* The digits of a block of rows, as the C reference and as the level under test have them. */
static int32_t numbers[ROWS][DIMS_MAX];
static _Alignas(64) int16_t digits_c[DIMS_MAX * ROWS];
static _Alignas(64) int16_t digits_level[DIMS_MAX * ROWS];
static int32_t bias[ROWS];
static int16_t unit_bias[DIMS_MAX / 32][ROWS][2];

static void fill_bytes(struct test_rng *rng, uint8_t *bytes, size_t n, size_t round) {
    for (size_t i = 0; i < n; i++) {
        bytes[i] = round == 0 ? 0x00 : round == 1 ? 0xFF : (uint8_t)test_word(rng);
    }
}

static void fill_scales(struct test_rng *rng) {
    for (size_t t = 0; t < TOKENS; t++) {
        const uint16_t half = quash_f32_to_f16((float)exp(4.0 * test_normal(rng)));
        memcpy(scales + 2 * t, &half, sizeof half);
    }
}

/* ---- Scores ------------------------------------------------------------------------------ */

/* Stores numbers in the layout of a rule. */
static void store_numbers(const struct quash_digit_rule *rule, size_t dims, void *digits) {
    int8_t *const bytes = digits;
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < dims; i++) {
            const size_t at = (i / 4 * ROWS + r) * 4 + i % 4;
            const int32_t x = numbers[r][i];
            const int32_t high = (x + 128) >> 8;
            switch (rule->planes) {
            case 0: ((int16_t *)digits)[at] = (int16_t)x; break;
            case 1: bytes[at] = (int8_t)x; break;
            default:
                bytes[at] = (int8_t)high;
                bytes[dims * ROWS + at] = (int8_t)(x - 256 * high);
                break;
            }
        }
    }
}

/* Random numbers within a rule; round 2 has the largest there can be, of one sign or alternating,
 * in every group that the rule allows. */
static void fill_numbers(struct test_rng *rng, const struct quash_digit_rule *rule, size_t dims,
                         size_t round) {
    const int32_t top = (int32_t)rule->top;
    memset(numbers, 0, sizeof numbers);
    memset(unit_bias, 0, sizeof unit_bias);
    for (size_t r = 0; r < ROWS; r++) {
        int32_t total = 0;
        for (size_t u = 0; u < dims / 32; u++) {
            for (size_t group = 0; group < 2; group++) {
                int32_t left = rule->group_top > 0.0f ? (int32_t)rule->group_top + 8 : INT32_MAX;
                int32_t sum = 0;
                for (size_t k = 0; k < 16; k++) {
                    const size_t i = u * 32 + k / 2 * 4 + group * 2 + k % 2;
                    const int32_t limit = left < top ? left : top;
                    int32_t x = round == 2 ? limit : (int32_t)test_below(rng, (size_t)limit + 1);
                    left -= x;
                    x = (round == 2 ? r % 2 == 0 : test_below(rng, 2) == 0) ? x : -x;
                    numbers[r][i] = x;
                    sum += x;
                }
                unit_bias[u][r][group] = (int16_t)(uint16_t)(uint32_t)(-64 * sum);
                total += sum;
            }
        }
        bias[r] = -64 * total;
    }
}

static void check_scores(enum quash_digit_mode mode, int32_t bits, size_t dims, size_t rows) {
    const int8_t *const integers = quash_codebook_for(bits)->values;
    float expected[ROWS + 1][TOKENS];
    float found[ROWS + 1][TOKENS];
    const struct quash_query_digits plain = { digits_c, bias, unit_bias[0][0] };
    const struct quash_query_digits laid_out = { digits_level, bias, unit_bias[0][0] };
    struct quash_digit_rule in_order = reference.digits[mode].rule;
    store_numbers(&in_order, dims, digits_c);
    store_numbers(&table.digits[mode].rule, dims, digits_level);
    found[ROWS][0] = 77.0f;
    reference.digits[mode].scores[bits - 2](integers, tile, dims, &plain, rows, scales, tile,
                                            expected);
    table.digits[mode].scores[bits - 2](integers, tile, dims, &laid_out, rows, scales, tile, found);
    CHECK(memcmp(expected, found, rows * sizeof expected[0]) == 0);
    CHECK(found[ROWS][0] == 77.0f);
}

static void check_mode_scores(enum quash_digit_mode mode) {
    struct test_rng rng = test_rng_start(1);
    for (size_t d = 0; d < COUNT_OF(dims_list); d++) {
        for (int32_t bits = 2; bits <= 4; bits++) {
            for (size_t round = 0; round < 12; round++) {
                fill_bytes(&rng, tile, TOKENS * dims_list[d] * (size_t)bits / 8, round / 3);
                fill_scales(&rng);
                fill_numbers(&rng, &table.digits[mode].rule, dims_list[d], round % 3);
                check_scores(mode, bits, dims_list[d], 1 + round % ROWS);
            }
        }
    }
}

TEST(scores_have_the_bits_of_the_reference) {
    check_mode_scores(QUASH_DIGITS_FAST);
    check_mode_scores(QUASH_DIGITS_EXACT);
}

/* The reference itself, against its definition. */
TEST(reference_scores_are_integer_products) {
    struct test_rng rng = test_rng_start(2);
    for (int mode = 0; mode < 2; mode++) {
        for (int32_t bits = 2; bits <= 4; bits++) {
            const size_t dims = 96;
            const struct quash_tile_layout layout = quash_tile_layout_of(dims, bits, bits);
            const int8_t *const integers = quash_codebook_for(bits)->values;
            const struct quash_query_digits query = { digits_c, bias, unit_bias[0][0] };
            float scores[ROWS][TOKENS];
            fill_bytes(&rng, tile, sizeof tile, 2);
            fill_scales(&rng);
            fill_numbers(&rng, &reference.digits[mode].rule, dims, (size_t)bits % 3);
            store_numbers(&reference.digits[mode].rule, dims, digits_c);
            reference.digits[mode].scores[bits - 2](integers, tile, dims, &query, ROWS, scales,
                                                    tile, scores);
            for (size_t r = 0; r < ROWS; r++) {
                for (size_t t = 0; t < TOKENS; t++) {
                    int64_t sum = 0;
                    uint16_t half;
                    for (size_t i = 0; i < dims; i++) {
                        const struct quash_tile_place at = quash_tile_key_place(&layout, t, i);
                        const uint32_t code =
                            quash_unit_get(tile + at.offset, bits, at.lane, at.element);
                        sum += (int64_t)numbers[r][i] * integers[code];
                    }
                    memcpy(&half, scales + 2 * t, sizeof half);
                    CHECK(scores[r][t] == (float)sum * quash_f16_to_f32(half));
                }
            }
        }
    }
}

/* ---- Digits of queries ------------------------------------------------------------------- */

static int32_t digit_of(const struct quash_digit_rule *rule, size_t dims, const void *digits,
                        size_t r, size_t i) {
    const size_t at = (i / 4 * ROWS + r) * 4 + i % 4;
    const int8_t *const bytes = digits;
    switch (rule->planes) {
    case 0: return ((const int16_t *)digits)[at];
    case 1: return bytes[at];
    default: return 256 * bytes[at] + bytes[dims * ROWS + at];
    }
}

/* Rounded to the nearest, within the limits that the products rely on, biases as stated. */
static void check_query(const struct quash_digit_rule *rule, const float *q, size_t dims, int fast,
                        double *largest) {
    memset(digits_level, 0, sizeof digits_level);
    memset(unit_bias, 0x55, sizeof unit_bias);
    const float size =
        table.query_digits(rule, q, dims, 2, digits_level, bias, fast ? unit_bias[0][0] : NULL);
    int32_t total = 0;
    *largest = 0.0;
    for (size_t u = 0; u < dims / 32; u++) {
        for (size_t group = 0; group < 2; group++) {
            int32_t sum = 0;
            int32_t magnitude = 0;
            for (size_t k = 0; k < 16; k++) {
                const size_t i = u * 32 + k / 2 * 4 + group * 2 + k % 2;
                const int32_t digit = digit_of(rule, dims, digits_level, 2, i);
                CHECK_NEAR((double)digit, (double)q[i] / (double)size, 0.502);
                CHECK(abs(digit) <= (int32_t)rule->top);
                *largest = fmax(*largest, abs(digit));
                sum += digit;
                magnitude += abs(digit);
            }
            total += sum;
            if (fast) {
                CHECK_EQ(unit_bias[u][2][group], (int16_t)(uint16_t)(uint32_t)(-64 * sum));
            }
            if (rule->group_top > 0.0f) {
                CHECK(63 * magnitude < 32768);
            }
        }
    }
    CHECK_EQ(bias[2], -64 * total);
}

TEST(query_digits_keep_to_the_rule) {
    struct test_rng rng = test_rng_start(3);
    static float q[DIMS_MAX];
    static const float factors[] = { 1.0f, 1e-40f, 1e-30f, 1e30f, 0x1p127f };
    for (int mode = 0; mode < 2; mode++) {
        const struct quash_digit_rule *const rule = &table.digits[mode].rule;
        for (size_t round = 0; round < 60; round++) {
            const size_t dims = dims_list[round % COUNT_OF(dims_list)];
            double largest;
            test_fill_gaussian(&rng, q, dims);
            for (size_t i = 0; i < dims; i++) {
                q[i] = round % 3 == 0 ? 1.0f : q[i];          /* the largest groups */
                q[i] = round % 3 == 1 && i > 0 ? 0.0f : q[i]; /* the smallest */
                q[i] = fminf(fmaxf(q[i], -1.9f), 1.9f) * factors[round / 12];
            }
            check_query(rule, q, dims, mode == QUASH_DIGITS_FAST, &largest);
            CHECK(factors[round / 12] < 1e-35f || largest >= 30.0); /* the digits are used */
        }
        memset(q, 0, sizeof q);
        double largest;
        check_query(rule, q, 96, mode == QUASH_DIGITS_FAST, &largest);
        CHECK(largest == 0.0);
        q[5] = INFINITY;
        CHECK(isinf(table.query_digits(rule, q, 96, 2, digits_level, bias, NULL)));
    }
}

/* ---- Softmax ----------------------------------------------------------------------------- */

static double weight_digit(int mode, const struct quash_weight_digits *weights, size_t r,
                           size_t t) {
    const uint8_t *const digits = weights->digits;
    if (mode == QUASH_DIGITS_FAST) {
        return digits[r * TOKENS + t];
    }
    if (table.digits[mode].rule.planes == 2) {
        return 256.0 * digits[r * TOKENS + t] + digits[(ROWS + r) * TOKENS + t];
    }
    int16_t digit;
    memcpy(&digit, digits + 2 * (r * TOKENS + t), sizeof digit);
    return digit;
}

/* Feeds tiles of random scores of changing height to rows 1 and 2 of a block, and compares digits,
 * weights, sums and the rescaling of out with double. */
static void check_softmax(struct test_rng *rng, int mode, double spread, double rise) {
    float scores[ROWS][TOKENS];
    static float out[ROWS][20];
    struct quash_softmax_row softmax[ROWS];
    struct quash_weight_digits weights;
    double sums[ROWS] = { 0.0 };  /* of 2^x */
    double first[ROWS] = { 0.0 }; /* reference */
    memset(softmax, 0, sizeof softmax);
    memset(&weights, 0xEE, sizeof weights);
    for (size_t r = 0; r < ROWS; r++) {
        softmax[r].unit = (float)(0.01 * (double)(r + 1));
        softmax[r].reference = -FLT_MAX;
    }
    for (int round = 0; round < 12; round++) {
        double value_scales[TOKENS];
        double vmax = 0.0;
        for (size_t t = 0; t < TOKENS; t++) {
            const uint16_t half = quash_f32_to_f16((float)(0.5 + test_uniform(rng)));
            memcpy(scales + 2 * t, &half, sizeof half);
            value_scales[t] = (double)quash_f16_to_f32(half);
            vmax = fmax(vmax, value_scales[t]);
        }
        for (size_t r = 0; r < ROWS; r++) {
            for (size_t t = 0; t < TOKENS; t++) {
                const double x = spread * test_normal(rng) + rise * round;
                scores[r][t] = (float)x / softmax[r].unit;
            }
            scores[r][63] = -QUASH_MASKED / softmax[r].unit; /* not seen */
        }
        table.digits[mode].softmax((const float(*)[64])scores, scales, 1, 2, softmax, &weights,
                                   out[0], 20, 20);
        CHECK(softmax[0].reference == -FLT_MAX && softmax[3].reference == -FLT_MAX);
        for (size_t r = 1; r <= 2; r++) {
            double largest = -HUGE_VAL;
            double lanes = 0.0;
            double error = 0.0;
            double expected_sum = 0.0;
            const double reference_now = (double)softmax[r].reference;
            for (size_t t = 0; t < 63; t++) {
                const double x = (double)scores[r][t] * (double)softmax[r].unit;
                largest = fmax(largest, x);
                sums[r] += exp2(x);
            }
            CHECK(largest <= reference_now + 40.0 + 1e-3);
            if (round == 0) {
                first[r] = reference_now;
                for (size_t i = 0; i < 20; i++) {
                    out[r][i] = 1.0f;
                }
            }
            const double shrunk = exp2(first[r] - reference_now);
            CHECK_NEAR((double)out[r][19], shrunk, 1e-5 * shrunk + 1e-36);
            for (size_t i = 0; i < 16; i++) {
                lanes += (double)softmax[r].lanes[i];
            }
            CHECK_NEAR(lanes * exp2(reference_now) / sums[r], 1.0, 2e-5);
            for (size_t t = 0; t < TOKENS; t++) {
                const double x = (double)scores[r][t] * (double)softmax[r].unit;
                const double w = exp2(x - reference_now) * value_scales[t];
                const double digit = weight_digit(mode, &weights, r, t);
                error += (digit * (double)weights.weight[r] - w);
                expected_sum += w;
                /* rounding or dither, the exponential, the rounding of x */
                const double slack = digit * (2e-6 + 1.2e-7 * fabs(x));
                CHECK_NEAR(digit, w / (double)weights.weight[r], (mode == 0 ? 1.01 : 0.51) + slack);
            }
            CHECK(weight_digit(mode, &weights, r, 63) == 0.0);
            /* errors are as good as independent: 4 standard deviations */
            CHECK(fabs(error) <= (mode == 0 ? 16.0 : 10.0) * (double)weights.weight[r]);
            CHECK(expected_sum > 0.0);
        }
        CHECK(vmax > 0.0);
    }
}

TEST(weight_digits_stand_for_the_softmax) {
    struct test_rng rng = test_rng_start(4);
    for (int mode = 0; mode < 2; mode++) {
        check_softmax(&rng, mode, 1.0, 0.0);
        check_softmax(&rng, mode, 0.0, 1.0);
        check_softmax(&rng, mode, 5.0, 10.0);
        check_softmax(&rng, mode, 2.0, 30.0);
        check_softmax(&rng, mode, 2.0, -10.0);
    }
}

/* Where products live in 16 bits: no group of 16 tokens has digits that add up to more than 519,
 * however flat or peaked its weights. */
TEST(weight_digits_of_a_group_fit_16_bits) {
    struct test_rng rng = test_rng_start(5);
    if (table.digits[QUASH_DIGITS_FAST].rule.group_top == 0.0f) {
        return;
    }
    for (int round = 0; round < 2000; round++) {
        float scores[ROWS][TOKENS] = { { 0.0f } };
        float out[1] = { 0.0f };
        struct quash_softmax_row softmax = { .unit = 1.0f, .reference = -FLT_MAX };
        struct quash_weight_digits weights;
        const double spread = (round % 20) * 0.3;
        for (size_t t = 0; t < TOKENS; t++) {
            const uint16_t half = quash_f32_to_f16(round % 2 ? 1.0f : (float)test_uniform(&rng));
            memcpy(scales + 2 * t, &half, sizeof half);
            scores[0][t] = (float)(spread * test_normal(&rng));
        }
        table.digits[QUASH_DIGITS_FAST].softmax((const float(*)[64])scores, scales, 0, 1, &softmax,
                                                &weights, out, 1, 1);
        for (size_t group = 0; group < 4; group++) {
            int32_t sum = 0;
            for (size_t k = 0; k < 16; k++) {
                sum += weights.digits[group / 2 * 32 + k / 2 * 4 + group % 2 * 2 + k % 2];
            }
            CHECK(63 * sum < 32768);
        }
    }
}

/* ---- Values ------------------------------------------------------------------------------ */

/* Digits at random, or all as large as the level's rule allows. */
static void fill_weights(struct test_rng *rng, int mode, int full,
                         struct quash_weight_digits *weights, int32_t digits[ROWS][TOKENS]) {
    const struct quash_digit_rule *const rule = &table.digits[mode].rule;
    const int32_t top = mode == QUASH_DIGITS_FAST ? 255 : rule->planes == 2 ? 65535 : 32767;
    for (size_t r = 0; r < ROWS; r++) {
        int32_t left[4] = { 519, 519, 519, 519 };
        weights->weight[r] = (float)exp(3.0 * test_normal(rng));
        for (size_t t = 0; t < TOKENS; t++) {
            int32_t *const group = &left[t / 32 * 2 + t % 4 / 2];
            const int32_t limit =
                mode == QUASH_DIGITS_FAST && rule->group_top > 0.0f && *group < top ? *group : top;
            const int32_t digit = full ? limit : (int32_t)test_below(rng, (size_t)limit + 1);
            *group -= digit;
            digits[r][t] = digit;
            if (mode == QUASH_DIGITS_FAST) {
                weights->digits[r * TOKENS + t] = (uint8_t)digit;
            } else if (rule->planes == 2) {
                weights->digits[r * TOKENS + t] = (uint8_t)(digit >> 8);
                weights->digits[(ROWS + r) * TOKENS + t] = (uint8_t)digit;
            } else {
                const int16_t number = (int16_t)digit;
                memcpy(weights->digits + 2 * (r * TOKENS + t), &number, sizeof number);
            }
        }
    }
}

static void check_values(struct test_rng *rng, int mode, int32_t bits, size_t dims, size_t rows,
                         int full) {
    static float out[ROWS][DIMS_MAX + 8];
    static float before[ROWS][DIMS_MAX + 8];
    static int32_t digits[ROWS][TOKENS];
    struct quash_weight_digits weights;
    const struct quash_tile_layout layout = quash_tile_layout_of(dims, bits, bits);
    const int8_t *const integers = quash_codebook_for(bits)->values;
    fill_weights(rng, mode, full, &weights, digits);
    for (size_t r = rows; r < ROWS; r++) {
        memset(digits[r], 0, sizeof digits[r]);
        weights.weight[r] = 0.0f;
    }
    test_fill_gaussian(rng, out[0], COUNT_OF(out) * COUNT_OF(out[0]));
    memcpy(before, out, sizeof out);
    table.digits[mode].values[bits - 2](integers, tile, dims, &weights, rows, tile, out[0],
                                        DIMS_MAX + 8);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < DIMS_MAX + 8; i++) {
            int64_t sum = 0;
            for (size_t t = 0; i < dims && t < TOKENS; t++) {
                const struct quash_tile_place at = quash_tile_value_place(&layout, t, i);
                const uint32_t code = quash_unit_get(tile + at.offset, bits, at.lane, at.element);
                sum += (int64_t)digits[r][t] * integers[code];
            }
            const double added = (double)sum * (double)weights.weight[r];
            CHECK_NEAR((double)out[r][i], (double)before[r][i] + added,
                       3e-7 * (fabs((double)before[r][i]) + fabs(added)));
        }
    }
}

TEST(values_are_integer_products) {
    struct test_rng rng = test_rng_start(6);
    for (int mode = 0; mode < 2; mode++) {
        for (size_t d = 0; d < COUNT_OF(value_dims_list); d++) {
            for (int32_t bits = 2; bits <= 4; bits++) {
                for (size_t round = 0; round < 6; round++) {
                    fill_bytes(&rng, tile, sizeof tile, round);
                    check_values(&rng, mode, bits, value_dims_list[d], 1 + round % ROWS,
                                 round % 3 < 2);
                }
            }
        }
    }
}

int main(void) {
    quash_kernels_fill(&reference, QUASH_CPU_C);
    RUN(reference_scores_are_integer_products);
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const enum quash_cpu_level level = (enum quash_cpu_level)i;
        if (!test_level(level)) {
            continue;
        }
        quash_kernels_fill(&table, level);
        RUN(scores_have_the_bits_of_the_reference);
        RUN(query_digits_keep_to_the_rule);
        RUN(weight_digits_stand_for_the_softmax);
        RUN(weight_digits_of_a_group_fit_16_bits);
        RUN(values_are_integer_products);
    }
    return test_report();
}
