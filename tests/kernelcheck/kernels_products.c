/* SPDX-License-Identifier: Apache-2.0 */
/* kernels_products.c: descriptors of the products on codes: the integer scan of an index, and the
 * two products of attention tiles, which are the approximate zone. */
#include "kernels.h"

#include "codec/codebook.h"
#include "codec/row.h"
#include "kernel/unit.h"

/* ---- Scan -------------------------------------------------------------------------------- */

static const size_t longer_rows[] = { 1056, 1536, 4096, 16384 };
static const struct kc_sizes row_sizes = { 32, 20, longer_rows, COUNT_OF(longer_rows) };

static void fill_digits(struct kc_call *call, int8_t *digits, size_t n) {
    kc_fill_codes(&call->rng, call->data, (uint8_t *)digits, n, 255);
    for (size_t i = 0; i < n; i++) {
        digits[i] = (int8_t)((int)(uint8_t)digits[i] - 127);
    }
}

/* Few rows and queries, but often more than registers hold at a time. */
static void plan_scan(struct kc_call *call) {
    call->bits = (int32_t)call->entry + 1;
    call->rows = call->bench ? 64 : test_below(&call->rng, 8);
    call->queries = call->bench ? 1 : test_below(&call->rng, 10);
    const size_t row_bytes = quash_packed_bytes(call->n, call->bits);
    call->stride = row_bytes + (call->bench ? 0 : test_below(&call->rng, 10));
    /* Between the rows lies what is no code; the last one ends the array. */
    const size_t bytes = call->rows > 0 ? (call->rows - 1) * call->stride + row_bytes : 0;
    (void)kc_add_integers(call);
    kc_fill_codes(&call->rng, call->data, kc_add_array(call, "packed", KC_IN, 1, 1, bytes), bytes,
                  256);
    fill_digits(call, kc_add_array(call, "digits", KC_IN, 1, 1, call->queries * call->n),
                call->queries * call->n);
    (void)kc_add_array(call, "sums", KC_OUT, sizeof(int32_t), sizeof(int32_t),
                       call->rows * call->queries);
}

static void invoke_scan(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->scan[call->entry](kc_at(call, 0), kc_at(call, 1), call->rows, call->stride, call->n,
                               kc_at(call, 2), call->queries, kc_at(call, 3));
}

const struct kc_kernel kc_scan = {
    .name = "scan",
    KC_SLOTS(scan),
    .labels = kc_bits_1_to_4,
    .entries = 4,
    .sizes = &row_sizes,
    .data = KC_CODE_DATA,
    .plan = plan_scan,
    .invoke = invoke_scan,
    .bench_note = "64 rows, 1 query",
    .bench_sizes = { 64, 128, 1536 },
};

/* ---- Tiles ------------------------------------------------------------------------------- */

#define DIMS_MAX 576
static const size_t key_dims[] = { 0, 32, 64, 96, 128, 256, DIMS_MAX };
static const size_t value_dims[] = { 0, 16, 32, 48, 80, 128, 256, DIMS_MAX };
static const struct kc_sizes key_sizes = { 0, 0, key_dims, COUNT_OF(key_dims) };
static const struct kc_sizes value_sizes = { 0, 0, value_dims, COUNT_OF(value_dims) };

/* Without overflow: the two-fold rule is about rounding. */
#define TILE_DATA                                                                                  \
    (KC_SET(KC_GAUSSIAN) | KC_SET(KC_WIDE) | KC_SET(KC_ZEROS) | KC_SET(KC_DENORMALS) |             \
     KC_SET(KC_ALTERNATING) | KC_SET(KC_ONE_HOT) | KC_SET(KC_CONSTANT))

/* The rows, a stride, and the arrays that both products begin with. */
static void plan_tile(struct kc_call *call, const char *units) {
    call->bits = (int32_t)call->entry + 2;
    call->rows = call->bench ? 4 : (call->repeat + 1) % (QUASH_TILE_ROWS_MAX + 1);
    call->stride = call->n + (call->bench ? 0 : test_below(&call->rng, 9));
    const size_t bytes = QUASH_TILE_TOKENS * call->n * (size_t)call->bits / 8;
    (void)kc_add_integers(call);
    kc_fill_codes(&call->rng, KC_BITS, kc_add_array(call, units, KC_IN, 1, 1, bytes), bytes, 256);
}

/* Elements of rows `stride` apart; the last one ends the array. */
static size_t strided(const struct kc_call *call) {
    return call->rows > 0 ? (call->rows - 1) * call->stride + call->n : 0;
}

/* The integer of a token and a dimension; a lane is a token in keys, a dimension in values. */
static double integer_of(const struct kc_call *call, size_t lane, size_t element,
                         size_t lane_elements) {
    const int8_t *const integers = kc_at(call, 0);
    const uint8_t *const units = kc_at(call, 1);
    const size_t unit = lane / QUASH_UNIT_LANES * (lane_elements / QUASH_UNIT_ELEMENTS) +
                        element / QUASH_UNIT_ELEMENTS;
    return integers[quash_unit_get(units + unit * quash_unit_bytes(call->bits), call->bits,
                                   lane % QUASH_UNIT_LANES, element % QUASH_UNIT_ELEMENTS)];
}

/* Both products are, for each row, the sums over elements of weight times integer, lane by lane. */
static void add_products(const struct kc_call *call, const float *weights, size_t weight_stride,
                         size_t lanes, size_t elements, double *exact, double *magnitude,
                         size_t out_stride) {
    static double integers[DIMS_MAX];
    for (size_t lane = 0; lane < lanes; lane++) {
        for (size_t e = 0; e < elements; e++) {
            integers[e] = integer_of(call, lane, e, elements);
        }
        for (size_t r = 0; r < call->rows; r++) {
            const float *const row = weights + r * weight_stride;
            double sum = 0.0;
            double size = 0.0;
            for (size_t e = 0; e < elements; e++) {
                const double product = (double)row[e] * integers[e];
                sum += product;
                size += fabs(product);
            }
            exact[r * out_stride + lane] += sum;
            magnitude[r * out_stride + lane] += size;
        }
    }
}

/* ---- Scores of a tile of keys ------------------------------------------------------------ */

static void plan_tile_scores(struct kc_call *call) {
    plan_tile(call, "keys");
    call->terms = call->n;
    float *const q = kc_add_floats(call, "q", KC_IN, strided(call));
    const size_t padding = call->n > 0 && !call->bench ? test_below(&call->rng, 32) : 0;
    for (size_t r = 0; r < call->rows; r++) {
        memset(q + r * call->stride + call->n - padding, 0, padding * sizeof *q);
    }
    (void)kc_add_floats(call, "scores", KC_OUT, call->rows * QUASH_TILE_TOKENS);
}

static void invoke_tile_scores(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->tile_scores[call->entry](kc_at(call, 0), kc_at(call, 1), call->n, kc_at(call, 2),
                                      call->stride, call->rows, kc_at(call, 3));
}

static void oracle_tile_scores(const struct kc_call *call, double *exact, double *magnitude) {
    for (size_t i = 0; i < call->rows * QUASH_TILE_TOKENS; i++) {
        exact[i] = 0.0;
        magnitude[i] = 0.0;
    }
    add_products(call, kc_at(call, 2), call->stride, QUASH_TILE_TOKENS, call->n, exact, magnitude,
                 QUASH_TILE_TOKENS);
}

const struct kc_kernel kc_tile_scores = {
    .name = "tile_scores",
    KC_SLOTS(tile_scores),
    .labels = kc_bits_2_to_4,
    .entries = 3,
    .sizes = &key_sizes,
    .data = TILE_DATA,
    .plan = plan_tile_scores,
    .invoke = invoke_tile_scores,
    .oracle = oracle_tile_scores,
    .bench_note = "4 rows",
    .bench_sizes = { 64, 128, 256 },
};

/* ---- Weighted sums of a tile of values --------------------------------------------------- */

static void plan_tile_accumulate(struct kc_call *call) {
    plan_tile(call, "values");
    call->terms = QUASH_TILE_TOKENS + 1;
    (void)kc_add_floats(call, "weights", KC_IN, call->rows * QUASH_TILE_TOKENS);
    (void)kc_add_floats(call, "out", KC_INOUT, strided(call));
}

static void invoke_tile_accumulate(const struct quash_kernels *kernels, struct kc_call *call) {
    kernels->tile_accumulate[call->entry](kc_at(call, 0), kc_at(call, 1), call->n, kc_at(call, 2),
                                          call->rows, kc_at(call, 3), call->stride);
}

/* What lies between the rows of out keeps its magnitude of 0: it must stay as it is. */
static void oracle_tile_accumulate(const struct kc_call *call, double *exact, double *magnitude) {
    const float *const out = (const float *)(const void *)call->arrays[3].before;
    for (size_t i = 0; i < strided(call); i++) {
        exact[i] = (double)out[i];
        magnitude[i] = i % call->stride < call->n ? fabs(exact[i]) : 0.0;
    }
    add_products(call, kc_at(call, 2), QUASH_TILE_TOKENS, call->n, QUASH_TILE_TOKENS, exact,
                 magnitude, call->stride);
}

const struct kc_kernel kc_tile_accumulate = {
    .name = "tile_accumulate",
    KC_SLOTS(tile_accumulate),
    .labels = kc_bits_2_to_4,
    .entries = 3,
    .sizes = &value_sizes,
    .data = TILE_DATA,
    .plan = plan_tile_accumulate,
    .invoke = invoke_tile_accumulate,
    .oracle = oracle_tile_accumulate,
    .bench_note = "4 rows",
    .bench_sizes = { 64, 128, 256 },
};
