/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_query.c: descriptor of the digits of queries, with the rule of every mode and level. */
#include "kernels.h"

#include "kernel/digits.h"
#include "kernel/unit.h"

static const char *const labels[] = { "groups", "bytes", "words", "planes" };
static const struct quash_digit_rule rules[] = {
    { .top = 127.0f, .group_top = 511.0f, .planes = 1 },
    { .top = 127.0f, .planes = 1 },
    { .top = 32000.0f, .planes = 0 },
    { .top = 32000.0f, .planes = 2 },
};

static const size_t dims[] = { 0, 32, 64, 96, 128, 160, 256, 576 };
static const struct kc_sizes sizes = { 0, 0, dims, COUNT_OF(dims) };

/* Rotation may leave numbers that are not finite; and numbers may lie halfway between two digits. */
static void fill_special(struct kc_call *call, float top, float *q) {
    if (call->repeat == 0) {
        q[test_below(&call->rng, call->n)] = test_below(&call->rng, 2) == 0 ? -INFINITY : NAN;
        return;
    }
    for (size_t i = 0; i < call->n; i++) {
        q[i] = (float)test_below(&call->rng, 40) - 19.5f;
    }
    q[test_below(&call->rng, call->n)] = top;
}

static void plan(struct kc_call *call) {
    const struct quash_digit_rule *const rule = &rules[call->entry];
    float *const q = kc_add_floats(call, "q", KC_IN, call->n);
    call->first = call->bench ? 0 : test_below(&call->rng, QUASH_DIGIT_ROWS);
    call->rows = 1;
    if (call->n > 0 && call->data == KC_SPECIAL && test_below(&call->rng, 2) == 0) {
        fill_special(call, rule->top, q);
    }
    (void)kc_add_array(call, "digits", KC_INOUT, 1, rule->planes == 0 ? 2 : 1,
                       quash_query_digit_bytes(rule, call->n));
    (void)kc_add_array(call, "bias", KC_INOUT, sizeof(int32_t), sizeof(int32_t), QUASH_DIGIT_ROWS);
    (void)kc_add_array(call, "unit_bias", KC_INOUT, sizeof(int16_t), sizeof(int16_t),
                       rule->group_top > 0.0f ? call->n / QUASH_UNIT_ELEMENTS * QUASH_DIGIT_ROWS * 2
                                              : 0);
}

static void invoke(const struct quash_kernels *kernels, struct kc_call *call) {
    const struct quash_digit_rule *const rule = &rules[call->entry];
    const float size =
        kernels->query_digits(rule, kc_at(call, 0), call->n, call->first, kc_at(call, 1),
                              kc_at(call, 2), rule->group_top > 0.0f ? kc_at(call, 3) : NULL);
    memcpy(&call->result.number, &size, sizeof size);
}

const struct kc_kernel kc_query_digits = {
    .name = "query_digits",
    KC_SLOTS(query_digits),
    .labels = labels,
    .entries = COUNT_OF(labels),
    .sizes = &sizes,
    .data = KC_ALL_DATA,
    .plan = plan,
    .invoke = invoke,
    .bench_note = "1 row",
    .bench_sizes = { 64, 128, 256 },
};
