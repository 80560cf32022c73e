/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_digits.c: descriptors of the products of attention on digits. How digits are made and laid
 * out is up to each level: they are made for the level that is checked, and handed to the reference
 * in its own layout. Scores are exact; values become float at the end, which is approximate. */
#include "kernels.h"

#include "base/half.h"
#include "codec/codebook.h"
#include "kernel/digits.h"
#include "kernel/unit.h"

#define ROWS QUASH_DIGIT_ROWS
#define TOKENS QUASH_TILE_TOKENS
#define DIMS_MAX 576

static const size_t key_dims[] = { 0, 32, 64, 96, 128, 160, 256, DIMS_MAX };
static const size_t value_dims[] = { 0, 16, 32, 48, 80, 128, 256, DIMS_MAX };
static const struct kc_sizes key_sizes = { 0, 0, key_dims, COUNT_OF(key_dims) };
static const struct kc_sizes value_sizes = { 0, 0, value_dims, COUNT_OF(value_dims) };

static const struct quash_digit_rule *rule_of(const struct kc_call *call,
                                              enum quash_digit_mode mode) {
    return &call->table->digits[mode].rule;
}

static uint16_t scale_bits(struct kc_call *call) {
    switch (call->data) {
    case KC_ZEROS: return 0;
    case KC_HUGE: return 0x7BFF;
    case KC_DENORMALS: return (uint16_t)test_below(&call->rng, 0x400);
    case KC_BITS:
    case KC_WIDE: return (uint16_t)test_below(&call->rng, 0x7C00);
    default: return quash_f32_to_f16((float)exp(test_normal(&call->rng)));
    }
}

void kc_add_scales(struct kc_call *call, const char *name) {
    unsigned char *const scales = kc_add_array(call, name, KC_IN, 1, 1, 2 * (size_t)TOKENS);
    for (size_t t = 0; t < TOKENS; t++) {
        const uint16_t bits = scale_bits(call);
        memcpy(scales + 2 * t, &bits, sizeof bits);
    }
}

/* What both products begin with: integers and units. */
static void plan_units(struct kc_call *call, const char *units) {
    call->bits = (int32_t)call->entry + 2;
    call->rows = call->bench ? ROWS : 1 + test_below(&call->rng, ROWS);
    const size_t bytes = TOKENS * call->n * (size_t)call->bits / 8;
    (void)kc_add_integers(call);
    kc_fill_codes(&call->rng, call->data, kc_add_array(call, units, KC_IN, 1, 1, bytes), bytes,
                  256);
}

/* ---- Digits of queries ------------------------------------------------------------------- */

static int32_t next_number(struct kc_call *call, size_t i, int32_t limit) {
    switch (call->data) {
    case KC_ZEROS: return 0;
    case KC_HUGE: return limit;
    case KC_ALTERNATING: return i % 2 == 0 ? limit : -limit;
    case KC_ONE_HOT: return i == call->n / 2 ? limit : 0;
    default: break;
    }
    const int32_t magnitude = (int32_t)test_below(&call->rng, (size_t)limit + 1);
    return test_below(&call->rng, 2) == 0 ? magnitude : -magnitude;
}

/* The place of element i of a row. */
static size_t place_of(size_t row, size_t i) {
    return (i / 4 * ROWS + row) * 4 + i % 4;
}

static void store_number(int32_t planes, size_t dims, size_t at, int32_t x, unsigned char *digits) {
    const int32_t high = (x + 128) >> 8;
    const int16_t word = (int16_t)x;
    if (planes == 0) {
        memcpy(digits + 2 * at, &word, sizeof word);
    } else if (planes == 1) {
        digits[at] = (unsigned char)x;
    } else {
        digits[at] = (unsigned char)high;
        digits[dims * ROWS + at] = (unsigned char)(x - 256 * high);
    }
}

/* Numbers up to the limits of the rule, groups included, and the biases that belong to them; rows
 * that are not used stay 0. Arrays 2 to 4. */
static void plan_query(struct kc_call *call, enum quash_digit_mode mode) {
    const struct quash_digit_rule *const rule = rule_of(call, mode);
    const size_t count = call->n * ROWS;
    const size_t digit_bytes = rule->planes == 1 ? 1 : 2;
    unsigned char *const digits = kc_add_array(call, "digits", KC_IN, 1, rule->planes == 0 ? 2 : 1,
                                               call->bench ? 2 * count : digit_bytes * count);
    int32_t *const bias = kc_add_array(call, "bias", KC_IN, sizeof *bias, sizeof *bias, ROWS);
    int16_t *const unit_bias =
        kc_add_array(call, "unit_bias", KC_IN, sizeof *unit_bias, sizeof *unit_bias,
                     mode == QUASH_DIGITS_FAST ? call->n / QUASH_UNIT_ELEMENTS * ROWS * 2 : 0);
    for (size_t r = 0; r < call->rows; r++) {
        int32_t left[2] = { 0, 0 };
        int32_t sums[2] = { 0, 0 };
        for (size_t i = 0; i < call->n; i++) {
            const size_t group = i % 4 / 2;
            if (i % QUASH_UNIT_ELEMENTS == 0) {
                left[0] = left[1] =
                    rule->group_top > 0.0f ? (int32_t)rule->group_top + 8 : INT32_MAX;
                sums[0] = sums[1] = 0;
            }
            const int32_t top = (int32_t)rule->top;
            const int32_t x = next_number(call, i, left[group] < top ? left[group] : top);
            left[group] -= abs(x);
            sums[group] += x;
            bias[r] -= 64 * x;
            store_number(rule->planes, call->n, place_of(r, i), x, digits);
            if (mode == QUASH_DIGITS_FAST) {
                unit_bias[(i / QUASH_UNIT_ELEMENTS * ROWS + r) * 2 + group] =
                    (int16_t)(uint16_t)(uint32_t)(-64 * sums[group]);
            }
        }
    }
}

/* The digits of the call in the layout of the kernels that are called. */
static const void *query_digits(const struct quash_kernels *kernels, const struct kc_call *call,
                                enum quash_digit_mode mode) {
    static int16_t converted[DIMS_MAX * ROWS];
    const int8_t *const digits = kc_at(call, 2);
    const size_t count = call->n * ROWS;
    if (call->bench || kernels->digits[mode].rule.planes == rule_of(call, mode)->planes) {
        return digits;
    }
    for (size_t i = 0; i < count; i++) {
        converted[i] = (int16_t)(256 * digits[i] + digits[count + i]);
    }
    return converted;
}

/* ---- Scores ------------------------------------------------------------------------------ */

static void plan_scores(struct kc_call *call, enum quash_digit_mode mode) {
    plan_units(call, "keys");
    plan_query(call, mode);
    kc_add_scales(call, "key_scales");
    float *const scores =
        kc_add_array(call, "scores", KC_OUT, sizeof *scores, sizeof *scores, (size_t)ROWS * TOKENS);
    call->arrays[call->array_count - 1].floats = true;
}

/* What is fetched ahead is forbidden to be read. Rows that are not used may hold anything. */
static void invoke_scores(const struct quash_kernels *kernels, struct kc_call *call,
                          enum quash_digit_mode mode) {
    const struct quash_query_digits query = { query_digits(kernels, call, mode), kc_at(call, 3),
                                              kc_at(call, 4) };
    const uint8_t *const keys = kc_at(call, 1);
    float(*const scores)[64] = kc_at(call, 6);
    kernels->digits[mode].scores[call->entry](kc_at(call, 0), keys, call->n, &query, call->rows,
                                              kc_at(call, 5), keys + call->arrays[1].bytes, scores);
    memset(scores[0] + call->rows * TOKENS, 0, (ROWS - call->rows) * sizeof scores[0]);
}

/* ---- Values ------------------------------------------------------------------------------ */

/* Up to the limits of the level: 8 bits, of which groups may add up to 519; 15 or 16 bits. */
static void fill_weights(struct kc_call *call, enum quash_digit_mode mode,
                         struct quash_weight_digits *weights) {
    const struct quash_digit_rule *const rule = rule_of(call, mode);
    const int32_t top = mode == QUASH_DIGITS_FAST ? 255 : rule->planes == 2 ? 65535 : 32767;
    kc_fill_floats(&call->rng, call->data, weights->weight, call->rows);
    for (size_t r = 0; r < call->rows; r++) {
        int32_t left[4] = { 519, 519, 519, 519 };
        for (size_t t = 0; t < TOKENS; t++) {
            int32_t *const group = &left[t / 32 * 2 + t % 4 / 2];
            const int32_t limit = rule->group_top > 0.0f && *group < top ? *group : top;
            const int32_t x =
                call->repeat % 3 == 0 ? limit : (int32_t)test_below(&call->rng, (size_t)limit + 1);
            const int16_t word = (int16_t)x;
            *group -= x;
            if (mode == QUASH_DIGITS_FAST) {
                weights->digits[r * TOKENS + t] = (uint8_t)x;
            } else if (rule->planes == 2) {
                weights->digits[r * TOKENS + t] = (uint8_t)(x >> 8);
                weights->digits[(ROWS + r) * TOKENS + t] = (uint8_t)x;
            } else {
                memcpy(weights->digits + 2 * (r * TOKENS + t), &word, sizeof word);
            }
        }
    }
}

int32_t kc_weight_digit(const struct quash_kernels *kernels, enum quash_digit_mode mode,
                        const struct quash_weight_digits *weights, size_t row, size_t token) {
    const uint8_t *const digits = weights->digits;
    const size_t at = row * TOKENS + token;
    int16_t word;
    if (mode == QUASH_DIGITS_FAST) {
        return digits[at];
    }
    if (kernels->digits[mode].rule.planes == 2) {
        return 256 * digits[at] + digits[(size_t)ROWS * TOKENS + at];
    }
    memcpy(&word, digits + 2 * at, sizeof word);
    return word;
}

static void plan_values(struct kc_call *call, enum quash_digit_mode mode) {
    plan_units(call, "values");
    call->stride = call->n + (call->bench ? 0 : test_below(&call->rng, 9));
    call->terms = 2;
    fill_weights(call, mode,
                 kc_add_array(call, "weights", KC_IN, 1, _Alignof(struct quash_weight_digits),
                              sizeof(struct quash_weight_digits)));
    (void)kc_add_floats(call, "out", KC_INOUT, (ROWS - 1) * call->stride + call->n);
}

/* The reference has no planes of 16-bit digits: it takes them as digits of 8 bits, one by one. */
static void invoke_planes(const struct quash_kernels *kernels, struct kc_call *call) {
    const struct quash_weight_digits *const weights = kc_at(call, 2);
    for (size_t plane = 0; plane < 2; plane++) {
        struct quash_weight_digits part = { .digits = { 0 } };
        memcpy(part.digits, weights->digits + plane * ROWS * TOKENS, (size_t)ROWS * TOKENS);
        for (size_t r = 0; r < ROWS; r++) {
            part.weight[r] = weights->weight[r] * (plane == 0 ? 256.0f : 1.0f);
        }
        kernels->digits[QUASH_DIGITS_FAST].values[call->entry](
            kc_at(call, 0), kc_at(call, 1), call->n, &part, call->rows, kc_at(call, 1),
            kc_at(call, 3), call->stride);
    }
}

static void invoke_values(const struct quash_kernels *kernels, struct kc_call *call,
                          enum quash_digit_mode mode) {
    const uint8_t *const values = kc_at(call, 1);
    if (!call->bench && kernels->digits[mode].rule.planes != rule_of(call, mode)->planes) {
        invoke_planes(kernels, call);
        return;
    }
    kernels->digits[mode].values[call->entry](kc_at(call, 0), values, call->n, kc_at(call, 2),
                                              call->rows, values + call->arrays[1].bytes,
                                              kc_at(call, 3), call->stride);
}

static double integer_of(const struct kc_call *call, size_t dim, size_t token) {
    const int8_t *const integers = kc_at(call, 0);
    const uint8_t *const values = kc_at(call, 1);
    const size_t unit = dim / QUASH_UNIT_LANES * 2 + token / QUASH_UNIT_ELEMENTS;
    return integers[quash_unit_get(values + unit * quash_unit_bytes(call->bits), call->bits,
                                   dim % QUASH_UNIT_LANES, token % QUASH_UNIT_ELEMENTS)];
}

/* One term besides what is there: a weight times an integer. What lies between rows stays. */
static void oracle_values(const struct kc_call *call, double *exact, double *magnitude,
                          enum quash_digit_mode mode) {
    const float *const out = (const float *)(const void *)call->arrays[3].before;
    const struct quash_weight_digits *const weights = kc_at(call, 2);
    for (size_t i = 0; i < call->arrays[3].bytes / sizeof *out; i++) {
        exact[i] = (double)out[i];
        magnitude[i] = 0.0;
    }
    for (size_t r = 0; r < call->rows; r++) {
        for (size_t i = 0; i < call->n; i++) {
            double sum = 0.0;
            for (size_t t = 0; t < TOKENS; t++) {
                sum += kc_weight_digit(call->table, mode, weights, r, t) * integer_of(call, i, t);
            }
            const size_t at = r * call->stride + i;
            magnitude[at] = fabs(exact[at]) + fabs(sum * (double)weights->weight[r]);
            exact[at] += sum * (double)weights->weight[r];
        }
    }
}

/* ---- Descriptors ------------------------------------------------------------------------- */

/* Without overflow. */
#define VALUES_DATA                                                                                \
    (KC_SET(KC_GAUSSIAN) | KC_SET(KC_WIDE) | KC_SET(KC_ZEROS) | KC_SET(KC_DENORMALS) |             \
     KC_SET(KC_ALTERNATING) | KC_SET(KC_ONE_HOT) | KC_SET(KC_CONSTANT))

#define DEFINE_MODE(mode, number)                                                                  \
    static void plan_##mode##_scores(struct kc_call *call) {                                       \
        plan_scores(call, number);                                                                 \
    }                                                                                              \
    static void invoke_##mode##_scores(const struct quash_kernels *kernels,                        \
                                       struct kc_call *call) {                                     \
        invoke_scores(kernels, call, number);                                                      \
    }                                                                                              \
    static void plan_##mode##_values(struct kc_call *call) {                                       \
        plan_values(call, number);                                                                 \
    }                                                                                              \
    static void invoke_##mode##_values(const struct quash_kernels *kernels,                        \
                                       struct kc_call *call) {                                     \
        invoke_values(kernels, call, number);                                                      \
    }                                                                                              \
    static void oracle_##mode##_values(const struct kc_call *call, double *exact,                  \
                                       double *magnitude) {                                        \
        oracle_values(call, exact, magnitude, number);                                             \
    }                                                                                              \
    const struct kc_kernel kc_##mode##_scores = {                                                  \
        .name = #mode "_scores",                                                                   \
        KC_SLOTS(digits[number].scores),                                                           \
        .labels = kc_bits_2_to_4,                                                                  \
        .entries = 3,                                                                              \
        .sizes = &key_sizes,                                                                       \
        .data = KC_CODE_DATA | KC_SET(KC_DENORMALS),                                               \
        .plan = plan_##mode##_scores,                                                              \
        .invoke = invoke_##mode##_scores,                                                          \
        .bench_note = "4 rows",                                                                    \
        .bench_sizes = { 64, 128, 256 },                                                           \
    };                                                                                             \
    const struct kc_kernel kc_##mode##_values = {                                                  \
        .name = #mode "_values",                                                                   \
        KC_SLOTS(digits[number].values),                                                           \
        .labels = kc_bits_2_to_4,                                                                  \
        .entries = 3,                                                                              \
        .sizes = &value_sizes,                                                                     \
        .data = VALUES_DATA,                                                                       \
        .plan = plan_##mode##_values,                                                              \
        .invoke = invoke_##mode##_values,                                                          \
        .oracle = oracle_##mode##_values,                                                          \
        .bench_note = "4 rows",                                                                    \
        .bench_sizes = { 64, 128, 256 },                                                           \
    }

DEFINE_MODE(fast, QUASH_DIGITS_FAST);
DEFINE_MODE(exact, QUASH_DIGITS_EXACT);
