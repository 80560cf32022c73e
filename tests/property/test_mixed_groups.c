/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that mixed precision is its two quantizers and nothing else: for any split of the
 * channels, codes, scales, decoded rows, rotations and estimates equal, bit for bit, those of two
 * codecs or two inner-product quantizers on the gathered channels. Neither the order of the
 * outliers nor the number of rows in a call, of workers, dtypes or the host's floating-point state
 * change a bit. */
#include "hostile_state.h"
#include "product_support.h"
#include "store/mixed.h"

enum { DIM_MAX = 48, ROWS_MAX = 2500 };

static quash_context *context;
static struct test_rng rng;
static float rows[ROWS_MAX * DIM_MAX];
static float queries[ROWS_MAX * DIM_MAX];

/* `count` different channels in random order. */
static void draw_channels(int32_t *channels, size_t dim, size_t count) {
    int32_t all[DIM_MAX];
    for (size_t i = 0; i < dim; i++) {
        all[i] = (int32_t)i;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t other = i + test_below(&rng, dim - i);
        const int32_t chosen = all[other];
        all[other] = all[i];
        all[i] = chosen;
        channels[i] = chosen;
    }
}

static quash_mixed_params make_params(size_t dim, const int32_t *outliers, size_t count,
                                      int32_t product) {
    quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
    params.dim = (int32_t)dim;
    params.outliers = outliers;
    params.outlier_count = (int32_t)count;
    params.product = product;
    return params;
}

/* Everything that a mixed quantizer says about n rows. */
struct results {
    struct test_codes c;
    float *rotated;
    float *decoded; /* of product: back from the rotation */
    float *dots;
};

static struct results results_new(size_t n, size_t dim) {
    const struct results results = { test_codes_new(n, dim), test_alloc(n * dim * sizeof(float)),
                                     test_alloc(n * dim * sizeof(float)),
                                     test_alloc(n * sizeof(float)) };
    memset(results.decoded, 0, n * dim * sizeof(float));
    memset(results.dots, 0, n * sizeof(float));
    return results;
}

static void results_free(const struct results *r) {
    test_codes_free(&r->c);
    free(r->rotated);
    free(r->decoded);
    free(r->dots);
}

static bool results_equal(const struct results *a, const struct results *b) {
    const size_t n = a->c.rows * a->c.dim * sizeof(float);
    return test_codes_equal(&a->c, &b->c) && memcmp(a->rotated, b->rotated, n) == 0 &&
           memcmp(a->decoded, b->decoded, n) == 0 &&
           memcmp(a->dots, b->dots, a->c.rows * sizeof(float)) == 0;
}

/* Rows [first, end) of x into the same rows of the results. */
static void run(const quash_mixed *mixed, const float *x, const struct results *r, size_t first,
                size_t end) {
    const size_t dim = r->c.dim;
    const size_t n = end - first;
    const quash_array in = test_floats(x + first * dim, n, dim);
    const quash_array query = test_floats(queries + first * dim, n, dim);
    const quash_array rotated = test_floats(r->rotated + first * dim, n, dim);
    const quash_array out = test_floats(r->decoded + first * dim, n, dim);
    const quash_array codes = test_bytes(r->c.codes + first * dim, n, dim);
    const quash_array signs = test_bytes(r->c.signs + first * dim, n, dim);
    float *const scales = r->c.norms + 2 * first;
    float *const residual_norms = r->c.residual_norms + 2 * first;
    CHECK_EQ(quash_mixed_rotate(mixed, 0, &in, &rotated), QUASH_OK);
    if (mixed->params.product) {
        CHECK_EQ(quash_mixed_product_encode(mixed, &in, &codes, &signs, scales, residual_norms),
                 QUASH_OK);
        CHECK_EQ(quash_mixed_product_dot(mixed, &codes, &signs, scales, residual_norms, &query,
                                         r->dots + first),
                 QUASH_OK);
        CHECK_EQ(quash_mixed_rotate(mixed, 1, &rotated, &out), QUASH_OK);
        return;
    }
    CHECK_EQ(quash_mixed_encode(mixed, &in, &codes, scales), QUASH_OK);
    CHECK_EQ(quash_mixed_decode(mixed, &codes, scales, &out), QUASH_OK);
}

/* ---- Against the quantizers of the groups -------------------------------------------------- */

static void gather(const struct quash_channel_group *group, const float *x, size_t n, size_t dim,
                   float *dense) {
    for (size_t r = 0; r < n; r++) {
        for (int32_t i = 0; i < group->count; i++) {
            *dense++ = x[r * dim + (size_t)group->channels[i]];
        }
    }
}

static void scatter(const struct quash_channel_group *group, const float *dense, size_t n,
                    size_t dim, float *x) {
    for (size_t r = 0; r < n; r++) {
        for (int32_t i = 0; i < group->count; i++) {
            x[r * dim + (size_t)group->channels[i]] = *dense++;
        }
    }
}

static void scatter_bytes(const struct quash_channel_group *group, const uint8_t *dense, size_t n,
                          size_t dim, uint8_t *bytes) {
    for (size_t r = 0; r < n; r++) {
        for (int32_t i = 0; i < group->count; i++) {
            bytes[r * dim + (size_t)group->channels[i]] = *dense++;
        }
    }
}

/* The group alone, by the public codec or product of its parameters. */
static void run_alone(const quash_mixed *mixed, int g, const struct results *whole) {
    const struct quash_channel_group *const group = &mixed->groups[g];
    const size_t n = whole->c.rows;
    const size_t dim = whole->c.dim;
    const size_t count = (size_t)group->count;
    const struct results alone = results_new(n, count);
    float *const x = test_alloc(n * count * sizeof *x);
    float *const q = test_alloc(n * count * sizeof *q);
    const quash_array in = test_floats(x, n, count);
    const quash_array rotated = test_floats(alone.rotated, n, count);
    const quash_array out = test_floats(alone.decoded, n, count);
    gather(group, rows, n, dim, x);
    gather(group, queries, n, dim, q);
    if (mixed->params.product) {
        const quash_product_params *const known = &group->product->params;
        quash_product *const product = test_product(context, count, known->bits, known->seed);
        test_product_encode(product, x, &alone.c);
        test_product_dot(product, &alone.c, alone.c.residual_norms, q, count, alone.dots);
        CHECK_EQ(quash_product_rotate(product, 0, &in, &rotated), QUASH_OK);
        CHECK_EQ(quash_product_rotate(product, 1, &rotated, &out), QUASH_OK);
        quash_product_free(product);
        scatter_bytes(group, alone.c.signs, n, dim, whole->c.signs);
    } else {
        quash_codec *const codec = test_codec(context, &group->codec->params);
        const quash_array codes = test_bytes(alone.c.codes, n, count);
        CHECK_EQ(quash_rotate(codec, 0, &in, &rotated), QUASH_OK);
        CHECK_EQ(quash_encode_codes(codec, &in, &codes, alone.c.norms), QUASH_OK);
        CHECK_EQ(quash_decode_codes(codec, &codes, alone.c.norms, &out), QUASH_OK);
        quash_codec_free(codec);
    }
    scatter_bytes(group, alone.c.codes, n, dim, whole->c.codes);
    scatter(group, alone.rotated, n, dim, whole->rotated);
    scatter(group, alone.decoded, n, dim, whole->decoded);
    for (size_t r = 0; r < n; r++) {
        whole->c.norms[2 * r + (size_t)g] = alone.c.norms[r];
        if (mixed->params.product) {
            whole->c.residual_norms[2 * r + (size_t)g] = alone.c.residual_norms[r];
            whole->dots[r] += alone.dots[r];
        }
    }
    free(x);
    free(q);
    results_free(&alone);
}

static void check_split(size_t dim, size_t count, int32_t product) {
    enum { N = 70 };
    int32_t channels[DIM_MAX];
    draw_channels(channels, dim, count);
    quash_mixed_params params = make_params(dim, channels, count, product);
    params.scale_policy = (int32_t)(count % 4);
    params.search_level = (int32_t)(dim % 3);
    quash_mixed *const mixed = test_mixed(context, &params);
    const struct results got = results_new(N, dim);
    const struct results expected = results_new(N, dim);
    for (size_t i = 0; i < 2 * N; i++) { /* of a group without channels */
        expected.c.norms[i] = 0.0f;
        expected.c.residual_norms[i] = product ? 0.0f : expected.c.residual_norms[i];
    }
    run(mixed, rows, &got, 0, N);
    for (int g = 0; g < 2; g++) {
        if (mixed->groups[g].count > 0) {
            run_alone(mixed, g, &expected);
        }
    }
    if (!CHECK(results_equal(&got, &expected))) {
        printf("    dim %zu, %zu outliers, product %d\n", dim, count, (int)product);
    }
    const double bits = ((double)count * 3 + (double)(dim - count) * 2) / (double)dim + product;
    CHECK_NEAR(quash_mixed_bits(mixed), bits, 1e-12);
    results_free(&got);
    results_free(&expected);
    quash_mixed_free(mixed);
}

TEST(any_split_is_two_quantizers) {
    static const size_t dims[] = { 1, 2, 3, 7, 8, 31, 48 };
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        const size_t counts[] = { 0, 1, dims[d] / 2, dims[d] - 1, dims[d] };
        for (size_t i = 0; i < COUNT_OF(counts); i++) {
            check_split(dims[d], counts[i], 0);
            check_split(dims[d], counts[i], 1);
        }
    }
}

/* Streams of random words of the two groups do not overlap: no row of one matrix is in the other,
 * and rotations have no step in common. */
TEST(groups_are_independent) {
    enum { HALF = 24 };
    int32_t channels[HALF];
    draw_channels(channels, 2 * HALF, HALF);
    const quash_mixed_params params = make_params(2 * HALF, channels, HALF, 1);
    quash_mixed *const mixed = test_mixed(context, &params);
    const quash_product *const a = mixed->groups[0].product;
    const quash_product *const b = mixed->groups[1].product;
    int same_rows = 0;
    int same_steps = 0;
    for (size_t i = 0; i < HALF * HALF; i++) {
        same_rows += memcmp(a->matrix + i / HALF * HALF, b->matrix + i % HALF * HALF,
                            HALF * sizeof(float)) == 0;
    }
    const size_t bytes = a->rotation.sign_bytes;
    const size_t steps = (size_t)a->rotation.steps;
    for (size_t i = 0; i < steps * steps; i++) {
        same_steps += memcmp(a->rotation.signs + i / steps * bytes,
                             b->rotation.signs + i % steps * bytes, bytes) == 0;
    }
    CHECK_EQ(same_rows, 0);
    CHECK_EQ(same_steps, 0);
    quash_mixed_free(mixed);
}

/* ---- What must not matter ------------------------------------------------------------------ */

TEST(order_of_outliers) {
    enum { N = 30, DIM = 41, COUNT = 13 };
    int32_t channels[DIM_MAX];
    draw_channels(channels, DIM, COUNT);
    for (int32_t product = 0; product < 2; product++) {
        const struct results first = results_new(N, DIM);
        const struct results again = results_new(N, DIM);
        for (int i = 0; i < 4; i++) {
            const quash_mixed_params params = make_params(DIM, channels, COUNT, product);
            quash_mixed *const mixed = test_mixed(context, &params);
            const int32_t moved = channels[COUNT - 1]; /* the list was copied */
            memmove(channels + 1, channels, (COUNT - 1) * sizeof *channels);
            channels[0] = moved;
            run(mixed, rows, i == 0 ? &first : &again, 0, N);
            CHECK(i == 0 || results_equal(&first, &again));
            quash_mixed_free(mixed);
        }
        results_free(&first);
        results_free(&again);
    }
}

/* Rows go through in pieces of 1,024: those of a long call equal those of calls of one row, with
 * threads too. */
TEST(pieces_of_rows) {
    enum { DIM = 10 };
    static const size_t counts[] = { 1023, 1024, 1025, 2500 };
    static const int32_t channels[] = { 8, 1, 5 };
    int32_t workers = 3;
    const quash_runner threads = test_threads(&workers);
    quash_context *const threaded = test_context(&threads);
    for (int32_t product = 0; product < 2; product++) {
        const quash_mixed_params params = make_params(DIM, channels, COUNT_OF(channels), product);
        quash_mixed *const serial = test_mixed(context, &params);
        quash_mixed *const mixed = test_mixed(threaded, &params);
        const struct results one_by_one = results_new(ROWS_MAX, DIM);
        for (size_t r = 0; r < ROWS_MAX; r++) {
            run(serial, rows, &one_by_one, r, r + 1);
        }
        for (size_t i = 0; i < COUNT_OF(counts); i++) {
            const struct results whole = results_new(ROWS_MAX, DIM);
            run(mixed, rows, &whole, 0, counts[i]);
            run(mixed, rows, &whole, counts[i], ROWS_MAX);
            CHECK(results_equal(&one_by_one, &whole));
            results_free(&whole);
        }
        results_free(&one_by_one);
        quash_mixed_free(serial);
        quash_mixed_free(mixed);
    }
    quash_context_free(threaded);
}

/* Errors name rows of the call, not of a piece. */
TEST(failing_rows_beyond_a_piece) {
    enum { DIM = 8, N = 1500 };
    static const int32_t channels[] = { 2, 3 };
    static float x[N * DIM];
    const struct test_codes c = test_codes_new(N, DIM);
    const quash_array in = test_floats(x, N, DIM);
    const quash_array codes = test_bytes(c.codes, N, DIM);
    const quash_array signs = test_bytes(c.signs, N, DIM);
    for (size_t i = 0; i < DIM; i++) {
        x[1300 * DIM + i] = 3.4e38f;
    }
    quash_mixed_params params = make_params(DIM, channels, 2, 1);
    quash_mixed *mixed = test_mixed(context, &params);
    CHECK_FAILS(quash_mixed_product_encode(mixed, &in, &codes, &signs, c.norms, NULL),
                QUASH_ERROR_ARGUMENT, "rows: the norm of row 1300 exceeds binary32");
    quash_mixed_free(mixed);
    params.product = 0;
    params.scale_policy = QUASH_SCALE_UNBIASED;
    mixed = test_mixed(context, &params);
    CHECK_FAILS(quash_mixed_encode(mixed, &in, &codes, c.norms), QUASH_ERROR_ARGUMENT,
                "rows: the scale of row 1300 exceeds binary32");
    quash_mixed_free(mixed);
    test_codes_free(&c);
}

/* The calling thread's rounding and flushing reach no step, rows of denormals included. */
TEST(hostile_host) {
    enum { N = 40, DIM = 12 };
    static const int32_t channels[] = { 11, 2, 3 };
    static float x[N * DIM];
    for (size_t i = 0; i < COUNT_OF(x); i++) {
        x[i] = rows[i] * (i < COUNT_OF(x) / 2 ? 1e-39f : 1.0f);
    }
    for (int32_t product = 0; product < 2; product++) {
        const quash_mixed_params params = make_params(DIM, channels, COUNT_OF(channels), product);
        const struct results calm = results_new(N, DIM);
        const struct results hostile = results_new(N, DIM);
        quash_mixed *mixed = test_mixed(context, &params);
        run(mixed, x, &calm, 0, N);
        quash_mixed_free(mixed);
        const uint64_t before = get_state();
        set_state(hostile_state());
        mixed = test_mixed(context, &params);
        run(mixed, x, &hostile, 0, N);
        quash_mixed_free(mixed);
        set_state(before);
        CHECK(results_equal(&calm, &hostile));
        results_free(&calm);
        results_free(&hostile);
    }
}

/* ---- Rotation ------------------------------------------------------------------------------ */

TEST(rotation_and_its_inverse) {
    enum { N = 1030, DIM = 33 };
    static float x[N * DIM];
    static float y[N * DIM];
    int32_t channels[DIM_MAX];
    draw_channels(channels, DIM, 11);
    const quash_mixed_params params = make_params(DIM, channels, 11, 0);
    quash_mixed *const mixed = test_mixed(context, &params);
    const quash_array in = test_floats(rows, N, DIM);
    const quash_array a = test_floats(x, N, DIM);
    const quash_array b = test_floats(y, N, DIM);
    CHECK_EQ(quash_mixed_rotate(mixed, 0, &in, &a), QUASH_OK);
    CHECK_EQ(quash_mixed_rotate(mixed, 1, &a, &b), QUASH_OK);
    CHECK(test_squared_error(rows, y, COUNT_OF(y)) < 1e-12 * test_dot(y, y, COUNT_OF(y)));
    memcpy(y, rows, sizeof y);
    CHECK_EQ(quash_mixed_rotate(mixed, 0, &b, &b), QUASH_OK); /* in place */
    CHECK(memcmp(x, y, sizeof x) == 0);
    CHECK_NEAR(test_dot(x, x, COUNT_OF(x)) / test_dot(rows, rows, COUNT_OF(x)), 1.0, 1e-5);
    quash_mixed_free(mixed);
}

int main(void) {
    context = test_context(NULL);
    rng = test_rng_start(41);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    test_fill_gaussian(&rng, queries, COUNT_OF(queries));
    RUN(any_split_is_two_quantizers);
    RUN(groups_are_independent);
    RUN(order_of_outliers);
    RUN(pieces_of_rows);
    RUN(failing_rows_beyond_a_piece);
    RUN(hostile_host);
    RUN(rotation_and_its_inverse);
    quash_context_free(context);
    return test_report();
}
