/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_mean.c: descriptors of the kernels of the keys' mean at attention, approximate zone. */
#include "kernels.h"

#define TILES QUASH_MEAN_TILES
#define OFFSETS QUASH_MEAN_OFFSETS
#define POLYNOMIALS QUASH_MEAN_POLYNOMIALS

/* Without overflow or underflow: products of three numbers have no bound that is relative. */
#define MEAN_DATA                                                                                  \
    (KC_SET(KC_GAUSSIAN) | KC_SET(KC_WIDE) | KC_SET(KC_ZEROS) | KC_SET(KC_ALTERNATING) |           \
     KC_SET(KC_ONE_HOT) | KC_SET(KC_CONSTANT))

/* ---- Coefficients: n pairs, of which call->rows are slow ----------------------------------- */

enum { LIST, COS, SIN, EVEN, ODD, A, B, COEFFICIENTS };

static const size_t counts[] = { 0, 1, 2, 5, 16, 33, 64 };
static const struct kc_sizes count_sizes = { 0, 0, counts, COUNT_OF(counts) };

static struct quash_mean_pairs pairs_of(const struct kc_call *call) {
    return (struct quash_mean_pairs){ .list = kc_at(call, LIST),
                                      .count = call->n,
                                      .slow = call->rows,
                                      .polynomials = call->queries,
                                      .cos = kc_at(call, COS),
                                      .sin = kc_at(call, SIN),
                                      .stride = call->stride,
                                      .even = kc_at(call, EVEN),
                                      .odd = kc_at(call, ODD) };
}

/* Floats per tile: coefficients, up to a multiple of 16. */
static size_t width_of(const struct kc_call *call) {
    return (2 * (call->queries + call->n - call->rows) + 15) / 16 * 16;
}

static void plan_mean_coefficients(struct kc_call *call) {
    const size_t pairs = call->n + (call->bench ? 0 : test_below(&call->rng, 3));
    call->queries = call->bench ? 3 : test_below(&call->rng, POLYNOMIALS + 1);
    call->rows = call->queries == 0 ? 0
                 : call->bench      ? call->n
                                    : test_below(&call->rng, call->n + 1);
    call->stride = TILES + (call->bench ? 0 : test_below(&call->rng, 20));
    call->factor = call->queries == 0 ? 0.0f : (float)test_normal(&call->rng);
    call->terms = 2 * call->rows + 4;
    uint16_t *const list = kc_add_array(call, "list", KC_IN, sizeof *list, sizeof *list, call->n);
    for (size_t i = 0; i < call->n; i++) {
        list[i] = (uint16_t)(pairs - 1 - i); /* the last row of the tables is read to its end */
    }
    const size_t table = pairs > 0 ? (pairs - 1) * call->stride + TILES : 0;
    (void)kc_add_floats(call, "cos", KC_IN, table);
    (void)kc_add_floats(call, "sin", KC_IN, table);
    (void)kc_add_floats(call, "even", KC_IN, pairs * POLYNOMIALS);
    (void)kc_add_floats(call, "odd", KC_IN, pairs * POLYNOMIALS);
    (void)kc_add_floats(call, "a", KC_IN, call->n);
    (void)kc_add_floats(call, "b", KC_IN, call->n);
    (void)kc_add_floats(call, "coefficients", KC_OUT, TILES * width_of(call));
}

static void invoke_mean_coefficients(const struct quash_kernels *kernels, struct kc_call *call) {
    const struct quash_mean_pairs pairs = pairs_of(call);
    kernels->mean_coefficients(&pairs, kc_at(call, A), kc_at(call, B), call->factor,
                               kc_at(call, COEFFICIENTS), width_of(call));
}

/* Adds a product of three twice: to the sum, and its size. */
static void add_product(double factor, double x, double y, double *exact, double *magnitude) {
    *exact += factor * (x + y);
    *magnitude += fabs(factor) * (fabs(x) + fabs(y));
}

static void oracle_mean_coefficients(const struct kc_call *call, double *exact, double *magnitude) {
    const struct quash_mean_pairs pairs = pairs_of(call);
    const float *const a = kc_at(call, A);
    const float *const b = kc_at(call, B);
    const size_t width = width_of(call);
    for (size_t i = 0; i < TILES * width; i++) {
        exact[i] = i % width == 0 ? (double)call->factor : 0.0;
        magnitude[i] = fabs(exact[i]);
    }
    for (size_t i = 0; i < call->n * TILES; i++) {
        const size_t k = i / TILES; /* in the list */
        const size_t t = i % TILES;
        const size_t pair = pairs.list[k];
        const double c = (double)pairs.cos[pair * pairs.stride + t];
        const double s = (double)pairs.sin[pair * pairs.stride + t];
        const double x = (double)a[k];
        const double y = (double)b[k];
        for (size_t j = 0; k < pairs.slow && j < pairs.polynomials; j++) {
            const size_t at = t * width + 2 * j;
            add_product((double)pairs.even[pair * POLYNOMIALS + j], x * c, y * s, &exact[at],
                        &magnitude[at]);
            add_product((double)pairs.odd[pair * POLYNOMIALS + j], y * c, -x * s, &exact[at + 1],
                        &magnitude[at + 1]);
        }
        if (k >= pairs.slow) {
            const size_t at = t * width + 2 * (pairs.polynomials + k - pairs.slow);
            exact[at] = magnitude[at] = 0.0; /* factor, where there are no polynomials */
            add_product(1.0, x * c, y * s, &exact[at], &magnitude[at]);
            add_product(1.0, y * c, -x * s, &exact[at + 1], &magnitude[at + 1]);
        }
    }
}

const struct kc_kernel kc_mean_coefficients = {
    .name = "mean_coefficients",
    KC_SLOTS(mean_coefficients),
    .entries = 1,
    .sizes = &count_sizes,
    .data = MEAN_DATA,
    .plan = plan_mean_coefficients,
    .invoke = invoke_mean_coefficients,
    .oracle = oracle_mean_coefficients,
    .bench_note = "slow pairs, 3 polynomials",
    .bench_sizes = { 8, 16, 64 },
};

/* ---- Term: n terms ------------------------------------------------------------------------- */

static const size_t terms[] = { 0, 1, 2, 3, 6, 9, 16, 40 };
static const struct kc_sizes term_sizes = { 0, 0, terms, COUNT_OF(terms) };

static void plan_mean_term(struct kc_call *call) {
    call->rows = call->bench ? 4 : (call->repeat + 1) % (QUASH_TILE_ROWS_MAX + 1);
    call->stride = 2 * call->n + (call->bench ? 0 : test_below(&call->rng, 9));
    call->terms = 2 * call->n + 2;
    (void)kc_add_floats(call, "even", KC_IN, call->n * OFFSETS);
    (void)kc_add_floats(call, "odd", KC_IN, call->n * OFFSETS);
    (void)kc_add_floats(
        call, "coefficients", KC_IN,
        call->rows > 0 && call->n > 0 ? (call->rows - 1) * call->stride + 2 * call->n : 0);
    (void)kc_add_floats(call, "scores", KC_INOUT, call->rows * 2 * OFFSETS);
}

static void invoke_mean_term(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->mean_term(kc_at(call, 0), kc_at(call, 1), call->n, kc_at(call, 2), call->stride,
                       call->rows, kc_at(call, 3));
}

static void oracle_mean_term(const struct kc_call *call, double *exact, double *magnitude) {
    const float *const even = kc_at(call, 0);
    const float *const odd = kc_at(call, 1);
    const float *const coefficients = kc_at(call, 2);
    const float *const scores = (const float *)(const void *)call->arrays[3].before;
    for (size_t i = 0; i < call->rows * 2 * OFFSETS; i++) {
        const size_t t = i % (2 * OFFSETS);
        const size_t j = t >= OFFSETS ? t - OFFSETS : OFFSETS - 1 - t;
        exact[i] = (double)scores[i];
        magnitude[i] = fabs(exact[i]);
        for (size_t k = 0; k < call->n; k++) {
            const float *const factors = coefficients + i / (2 * OFFSETS) * call->stride + 2 * k;
            const double e = (double)even[k * OFFSETS + j] * (double)factors[0];
            const double o = (double)odd[k * OFFSETS + j] * (double)factors[1];
            exact[i] += t >= OFFSETS ? e + o : e - o;
            magnitude[i] += fabs(e) + fabs(o);
        }
    }
}

const struct kc_kernel kc_mean_term = {
    .name = "mean_term",
    KC_SLOTS(mean_term),
    .entries = 1,
    .sizes = &term_sizes,
    .data = MEAN_DATA,
    .plan = plan_mean_term,
    .invoke = invoke_mean_term,
    .oracle = oracle_mean_term,
    .bench_note = "4 rows",
    .bench_sizes = { 3, 9, 16 },
};
