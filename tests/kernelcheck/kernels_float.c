/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_float.c: descriptors of the kernels on one array of floats: reductions, multiplication,
 * rotation. */
#include "kernels.h"

#include "base/half.h"

static const size_t larger[] = { 255,  256,  257,  511,  513,  1000,  1023,
                                 1536, 1537, 4095, 4096, 8191, 16383, 16384 };
const struct kc_sizes kc_any_size = { 1, 131, larger, COUNT_OF(larger) };

static const size_t powers_of_two[] = { 1,   2,   4,    8,    16,   32,   64,   128,
                                        256, 512, 1024, 2048, 4096, 8192, 16384 };
static const struct kc_sizes widths = { 0, 0, powers_of_two, COUNT_OF(powers_of_two) };

/* ---- Reductions -------------------------------------------------------------------------- */

static void plan_reduction(struct kc_call *call) {
    (void)kc_add_floats(call, "x", KC_IN, call->n);
}

static void invoke_max_abs(const struct quash_kernels *kernels, struct kc_call *call) {
    call->result.number = quash_f32_bits(kernels->max_abs(kc_at(call, 0), call->n));
}

const struct kc_kernel kc_max_abs = {
    .name = "max_abs",
    KC_SLOTS(max_abs),
    .entries = 1,
    .sizes = &kc_any_size,
    .data = KC_ALL_DATA,
    .plan = plan_reduction,
    .invoke = invoke_max_abs,
    .bench_sizes = { 64, 128, 1536 },
};

static void invoke_sum_squares(const struct quash_kernels *kernels, struct kc_call *call) {
    call->result.number = quash_f32_bits(kernels->sum_squares(kc_at(call, 0), call->n));
}

const struct kc_kernel kc_sum_squares = {
    .name = "sum_squares",
    KC_SLOTS(sum_squares),
    .entries = 1,
    .sizes = &kc_any_size,
    .data = KC_ALL_DATA,
    .plan = plan_reduction,
    .invoke = invoke_sum_squares,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Multiplication ---------------------------------------------------------------------- */

static void plan_multiply(struct kc_call *call) {
    (void)kc_add_floats(call, "x", KC_INOUT, call->n);
    call->factor = call->bench ? -1.0f : kc_factor(&call->rng); /* -1: magnitudes stay */
}

static void invoke_multiply(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->multiply(kc_at(call, 0), call->n, call->factor);
}

const struct kc_kernel kc_multiply = {
    .name = "multiply",
    KC_SLOTS(multiply),
    .entries = 1,
    .sizes = &kc_any_size,
    .data = KC_ALL_DATA,
    .plan = plan_multiply,
    .invoke = invoke_multiply,
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Rotation ---------------------------------------------------------------------------- */

static void plan_rotate(struct kc_call *call) {
    const size_t sign_bytes = (call->n + 63) / 64 * 8;
    (void)kc_add_floats(call, "x", KC_INOUT, call->n);
    uint8_t *const signs = kc_add_array(call, "signs", KC_IN, 1, 1, sign_bytes);
    kc_fill_codes(&call->rng, KC_BITS, signs, sign_bytes, 256);
    call->factor = (float)(1.0 / sqrt((double)call->n));
    if (!call->bench && test_below(&call->rng, 4) == 0) {
        call->factor = kc_factor(&call->rng);
    }
}

static void invoke_rotate(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->rotate(kc_at(call, 0), call->n, kc_at(call, 1), call->factor);
}

static void invoke_unrotate(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->unrotate(kc_at(call, 0), call->n, kc_at(call, 1), call->factor);
}

const struct kc_kernel kc_rotate = {
    .name = "rotate",
    KC_SLOTS(rotate),
    .entries = 1,
    .sizes = &widths,
    .data = KC_ALL_DATA,
    .plan = plan_rotate,
    .invoke = invoke_rotate,
    .bench_sizes = { 64, 128, 1024 },
};

const struct kc_kernel kc_unrotate = {
    .name = "unrotate",
    KC_SLOTS(unrotate),
    .entries = 1,
    .sizes = &widths,
    .data = KC_ALL_DATA,
    .plan = plan_rotate,
    .invoke = invoke_unrotate,
    .bench_sizes = { 64, 128, 1024 },
};

static void plan_half_butterfly(struct kc_call *call) {
    (void)kc_add_floats(call, "x", KC_INOUT, call->n);
}

static void invoke_half_butterfly(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->half_butterfly(kc_at(call, 0), call->n);
}

const struct kc_kernel kc_half_butterfly = {
    .name = "half_butterfly",
    KC_SLOTS(half_butterfly),
    .entries = 1,
    .sizes = &kc_any_size,
    .data = KC_ALL_DATA,
    .plan = plan_half_butterfly,
    .invoke = invoke_half_butterfly,
    .bench_sizes = { 64, 128, 1536 },
};
