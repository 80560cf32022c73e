/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_softmax.c: descriptors of the softmax of attention on digits. Levels make other digits by
 * design, so that each is compared with the definition of its own, computed in double. */
#include "kernels.h"

#include <float.h>

#include "base/half.h"
#include "kernel/digits.h"
#include "kernel/unit.h"

#define ROWS QUASH_DIGIT_ROWS
#define TOKENS QUASH_TILE_TOKENS

/* Relative error of a power of two, and of what is made of a few of them. */
#define EPSILON 8e-6
/* What a power of two is at least; the kernels need not be told apart below. */
#define LEAST 0x1p-126

/* dims, the number of columns of out that follow a reference. */
static const size_t dims_list[] = { 1, 15, 16, 48, 80, 128, 576 };
static const struct kc_sizes sizes = { 0, 0, dims_list, COUNT_OF(dims_list) };

/* ---- Plan -------------------------------------------------------------------------------- */

/* Exponents of two of the weights of a row. */
static void fill_exponents(struct kc_call *call, double x[TOKENS]) {
    static const double spreads[] = { 0.3, 1.0, 3.0, 10.0, 50.0 };
    const double spread = spreads[test_below(&call->rng, COUNT_OF(spreads))];
    const double height = 20.0 * test_normal(&call->rng);
    const size_t hot = test_below(&call->rng, TOKENS);
    for (size_t t = 0; t < TOKENS; t++) {
        switch (call->data) {
        case KC_ZEROS: x[t] = 0.0; break;
        case KC_CONSTANT: x[t] = height; break;
        case KC_ALTERNATING: x[t] = height + (t % 2 == 0 ? 0.0 : -spread); break;
        case KC_ONE_HOT: x[t] = height - (t == hot ? 0.0 : 16.0); break;
        case KC_HUGE: x[t] = 1e6 * test_normal(&call->rng); break;
        case KC_WIDE: x[t] = height + ldexp(test_normal(&call->rng), (int)(t % 16) - 8); break;
        default: x[t] = height + spread * test_normal(&call->rng); break;
        }
    }
}

/* A reference as the contract has it: none yet, or one from which the largest exponent is clearly
 * on this side or on that of the slack. */
static float random_reference(struct kc_call *call, double largest) {
    static const double distances[] = { -300.0, -45.0, -38.0, -3.0, 0.0, 5.0, 100.0, 300.0 };
    const size_t which = call->repeat % (COUNT_OF(distances) + 1);
    return which == 0 ? -FLT_MAX : (float)(largest + distances[which - 1]);
}

static void fill_row(struct kc_call *call, float scores[TOKENS], struct quash_softmax_row *row) {
    double x[TOKENS];
    double largest = -HUGE_VAL;
    row->unit = call->bench ? 0.01f : (float)exp(8.0 * test_normal(&call->rng));
    /* The last ones are masked, as at the end of what a row sees. */
    const size_t seen = call->data == KC_SPECIAL ? 1 + test_below(&call->rng, TOKENS) : TOKENS;
    fill_exponents(call, x);
    for (size_t t = 0; t < TOKENS; t++) {
        scores[t] = t < seen ? (float)(x[t] / (double)row->unit)
                             : -fminf(QUASH_MASKED / row->unit, FLT_MAX);
        largest = t < seen ? fmax(largest, x[t]) : largest;
    }
    row->reference = call->bench ? (float)largest : random_reference(call, largest);
    for (size_t i = 0; i < 16; i++) {
        row->lanes[i] = row->reference > -FLT_MAX ? (float)test_uniform(&call->rng) : 0.0f;
    }
}

static void plan_softmax(struct kc_call *call) {
    call->first = call->bench ? 0 : test_below(&call->rng, ROWS);
    call->rows = call->bench ? ROWS : 1 + test_below(&call->rng, ROWS - call->first);
    call->stride = call->n + (call->bench ? 0 : test_below(&call->rng, 9));
    float(*const scores)[TOKENS] =
        kc_add_array(call, "scores", KC_IN, sizeof(float), sizeof(float), (size_t)ROWS * TOKENS);
    kc_add_scales(call, "value_scales");
    struct quash_softmax_row *const rows =
        kc_add_array(call, "softmax", KC_INOUT, sizeof(float), sizeof(float),
                     ROWS * sizeof *rows / sizeof(float));
    for (size_t r = 0; r < ROWS; r++) {
        fill_row(call, scores[r], &rows[r]);
    }
    memset(kc_add_array(call, "weights", KC_INOUT, 1, _Alignof(struct quash_weight_digits),
                        sizeof(struct quash_weight_digits)),
           0xA5, sizeof(struct quash_weight_digits));
    float *const out = kc_add_array(call, "out", KC_INOUT, sizeof *out, sizeof *out,
                                    (ROWS - 1) * call->stride + call->n);
    kc_fill_floats(&call->rng, KC_GAUSSIAN, out, (ROWS - 1) * call->stride + call->n);
}

static void invoke_softmax(const struct quash_kernels *kernels, struct kc_call *call,
                           enum quash_digit_mode mode) {
    kernels->digits[mode].softmax(kc_at(call, 0), kc_at(call, 1), call->first, call->rows,
                                  kc_at(call, 2), kc_at(call, 3), kc_at(call, 4), call->n,
                                  call->stride);
}

/* ---- Verification ------------------------------------------------------------------------ */

/* What a row should come to: all relative to the largest exponent of the tile. */
struct expected {
    double largest;   /* exponent of two */
    double slack;     /* relative error of what follows */
    double reference; /* after the call */
    bool rises;
    double shrink; /* of what was there */
    double height; /* of the tile, relative to the reference */
    double sum;    /* of the powers */
    double weights[TOKENS];
    double digit; /* what a digit of 1 stands for */
};

/* The scale of the digits: the largest weight, or the tile's largest scale, is the largest digit;
 * where groups of 16 tokens have a limit, that may be what counts. */
static double digit_of(const struct quash_digit_rule *rule, enum quash_digit_mode mode,
                       const double weights[TOKENS], double largest_scale) {
    double largest = 1e-30;
    double groups[4] = { 1e-30, 1e-30, 1e-30, 1e-30 };
    for (size_t t = 0; t < TOKENS; t++) {
        largest = weights[t] > largest ? weights[t] : largest;
        groups[t / 32 * 2 + t % 4 / 2] += weights[t];
    }
    if (mode == QUASH_DIGITS_EXACT) {
        return rule->planes == 2 ? fmax(largest_scale, 1e-30) / (double)QUASH_EXACT_WEIGHT_TOP_U16
                                 : largest / (double)QUASH_EXACT_WEIGHT_TOP_I16;
    }
    if (rule->group_top == 0.0f) {
        return fmax(largest_scale, 1e-30) / (double)QUASH_FAST_WEIGHT_TOP;
    }
    const double group = fmax(fmax(groups[0], groups[1]), fmax(groups[2], groups[3]));
    return fmax(largest / (double)QUASH_FAST_WEIGHT_TOP,
                group / (double)QUASH_FAST_WEIGHT_GROUP_TOP);
}

static void expect(const struct quash_kernels *kernels, const struct kc_call *call,
                   enum quash_digit_mode mode, size_t r, struct expected *e) {
    const float(*const scores)[TOKENS] = kc_at(call, 0);
    const uint8_t *const halves = kc_at(call, 1);
    const struct quash_softmax_row *const before =
        (const struct quash_softmax_row *)(const void *)call->arrays[2].before + r;
    double largest_scale = 0.0;
    e->largest = -HUGE_VAL;
    for (size_t t = 0; t < TOKENS; t++) {
        const double x = (double)scores[r][t] * (double)before->unit;
        e->largest = x > e->largest ? x : e->largest;
    }
    e->rises = e->largest > (double)before->reference + (double)QUASH_SOFTMAX_SLACK;
    e->reference = e->rises ? e->largest : (double)before->reference;
    e->shrink = e->rises ? fmax(exp2((double)before->reference - e->reference), LEAST) : 1.0;
    e->height = fmax(exp2(e->largest - e->reference), LEAST);
    e->sum = 0.0;
    for (size_t t = 0; t < TOKENS; t++) {
        uint16_t half;
        memcpy(&half, halves + 2 * t, sizeof half);
        const double scale = (double)quash_f16_to_f32(half);
        const double x = (double)scores[r][t] * (double)before->unit;
        const double power = fmax(exp2(x - e->largest), LEAST);
        e->sum += power;
        e->weights[t] = power * scale;
        largest_scale = scale > largest_scale ? scale : largest_scale;
    }
    /* Exponents are rounded to binary32, at the heights of score and reference. */
    e->slack = EPSILON + 2.5e-7 * (fabs(e->largest) + fmin(fabs(e->reference), 1e6));
    e->digit = digit_of(&kernels->digits[mode].rule, mode, e->weights, largest_scale);
}

static bool near(double found, double expected, double slack) {
    return fabs(found - expected) <= slack * fabs(expected) + 0x1p-140;
}

static void verify_state(struct kc_subject *subject, const struct kc_call *call, size_t r,
                         const struct expected *e) {
    const struct quash_softmax_row *const before =
        (const struct quash_softmax_row *)(const void *)call->arrays[2].before + r;
    const struct quash_softmax_row *const row =
        (const struct quash_softmax_row *)kc_at(call, 2) + r;
    const float *const out_before = (const float *)(const void *)call->arrays[4].before;
    const float *const out = kc_at(call, 4);
    double sum = e->sum * e->height;
    double found = 0.0;
    for (size_t i = 0; i < 16; i++) {
        sum += (double)before->lanes[i] * e->shrink;
        found += (double)row->lanes[i];
    }
    if (row->unit != before->unit || !near((double)row->reference, e->reference, 2.5e-7) ||
        (!e->rises && row->reference != before->reference)) {
        kc_fail(subject, call, KC_DIFFERS, "softmax[%zu]: reference %.9g, expected %.9g", r,
                (double)row->reference, e->reference);
    }
    if (!near(found, sum, e->slack)) {
        kc_fail(subject, call, KC_DIFFERS, "softmax[%zu]: sum %.9g, expected %.9g", r, found, sum);
    }
    for (size_t i = 0; i < call->n; i++) {
        const size_t at = r * call->stride + i;
        const double expected = (double)out_before[at] * e->shrink;
        if (e->rises ? !near((double)out[at], expected, e->slack) : out[at] != out_before[at]) {
            kc_fail(subject, call, KC_DIFFERS, "out[%zu] is %.9g, expected %.9g", at,
                    (double)out[at], expected);
            return;
        }
    }
}

/* Digits are the weights over that of a digit 1, dithered and rounded down, or rounded. The dither,
 * and then their sum, may have been rounded to 8 bits behind the point. */
static void verify_digits(const struct quash_kernels *kernels, struct kc_subject *subject,
                          const struct kc_call *call, enum quash_digit_mode mode, size_t r,
                          const struct expected *e) {
    const struct quash_weight_digits *const weights = kc_at(call, 3);
    const double weight = (double)weights->weight[r];
    if (!near(weight, e->digit * e->height, 2.0 * e->slack)) {
        kc_fail(subject, call, KC_DIFFERS, "weight[%zu] is %.9g, expected %.9g", r, weight,
                e->digit * e->height);
        return;
    }
    for (size_t t = 0; t < TOKENS; t++) {
        const double exact = e->weights[t] / e->digit;
        const double slack = exact * 2.0 * e->slack + 0x1p-8 + 1e-6;
        const double offset = mode == QUASH_DIGITS_FAST ? (double)quash_dither[t] : 0.5;
        const double digit = kc_weight_digit(kernels, mode, weights, r, t);
        if (digit < floor(exact + offset - slack) || digit > floor(exact + offset + slack)) {
            kc_fail(subject, call, KC_DIFFERS,
                    "digit of token %zu in row %zu is %.0f, expected that of %.9g", t, r, digit,
                    exact);
            return;
        }
    }
}

/* Restores what the call may change; then nothing may differ from what was there before. */
static void verify_rest(const struct quash_kernels *kernels, struct kc_subject *subject,
                        const struct kc_call *call, enum quash_digit_mode mode) {
    static unsigned char left[KC_ARRAY_BYTES_MAX];
    const size_t digit_bytes =
        mode == QUASH_DIGITS_EXACT && kernels->digits[mode].rule.planes == 0 ? 2 : 1;
    const size_t planes = (size_t)kernels->digits[mode].rule.planes;
    for (size_t a = 2; a < call->array_count; a++) {
        const struct kc_array *const array = &call->arrays[a];
        memcpy(left, array->at, array->bytes);
        for (size_t r = call->first; r < call->first + call->rows; r++) {
            const size_t row_bytes = TOKENS * digit_bytes;
            const size_t weight = offsetof(struct quash_weight_digits, weight) + r * sizeof(float);
            switch (a) {
            case 2:
                memcpy(left + r * sizeof(struct quash_softmax_row),
                       array->before + r * sizeof(struct quash_softmax_row),
                       sizeof(struct quash_softmax_row));
                break;
            case 3:
                memcpy(left + weight, array->before + weight, sizeof(float));
                for (size_t plane = 0; plane < (planes == 2 ? planes : 1); plane++) {
                    const size_t at = (plane * ROWS + r) * row_bytes;
                    memcpy(left + at, array->before + at, row_bytes);
                }
                break;
            default:
                memcpy(left + r * call->stride * sizeof(float),
                       array->before + r * call->stride * sizeof(float), call->n * sizeof(float));
                break;
            }
        }
        if (memcmp(left, array->before, array->bytes) != 0) {
            kc_fail(subject, call, KC_DIFFERS, "%s changed outside the rows of the call",
                    array->name);
        }
    }
}

static void verify_softmax(const struct quash_kernels *kernels, struct kc_subject *subject,
                           const struct kc_call *call, enum quash_digit_mode mode) {
    const long failures = subject->failures;
    for (size_t r = call->first; r < call->first + call->rows && subject->failures == failures;
         r++) {
        struct expected e;
        expect(kernels, call, mode, r, &e);
        verify_state(subject, call, r, &e);
        verify_digits(kernels, subject, call, mode, r, &e);
    }
    verify_rest(kernels, subject, call, mode);
}

/* ---- Descriptors ------------------------------------------------------------------------- */

#define DEFINE_MODE(mode, number)                                                                  \
    static void invoke_##mode##_softmax(const struct quash_kernels *kernels,                       \
                                        struct kc_call *call) {                                    \
        invoke_softmax(kernels, call, number);                                                     \
    }                                                                                              \
    static void verify_##mode##_softmax(const struct quash_kernels *kernels,                       \
                                        struct kc_subject *subject, const struct kc_call *call) {  \
        verify_softmax(kernels, subject, call, number);                                            \
    }                                                                                              \
    const struct kc_kernel kc_##mode##_softmax = {                                                 \
        .name = #mode "_softmax",                                                                  \
        KC_SLOTS(digits[number].softmax),                                                          \
        .entries = 1,                                                                              \
        .sizes = &sizes,                                                                           \
        .data = KC_ALL_DATA,                                                                       \
        .plan = plan_softmax,                                                                      \
        .invoke = invoke_##mode##_softmax,                                                         \
        .verify = verify_##mode##_softmax,                                                         \
        .bench_note = "4 rows, n dims",                                                            \
        .bench_sizes = { 64, 128, 256 },                                                           \
    }

DEFINE_MODE(fast, QUASH_DIGITS_FAST);
DEFINE_MODE(exact, QUASH_DIGITS_EXACT);
