/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the inner-product quantizer, mixed precision and calibration survive a lack of
 * memory: whichever allocation fails, the call says MEMORY and for what, leaks nothing, and the
 * same objects then give the results of ones that never ran out. */
#include "fault/failing_allocator.h"
#include "product_support.h"

enum { ROWS = 1500, DIM = 9 };

static float rows[ROWS * DIM];

struct state {
    quash_context *context;
    quash_mixed_params mixed_params;
    quash_product *product;
    quash_mixed *mixed;
    struct test_codes c;
    quash_array in;
    quash_array out;
    quash_array codes;
    quash_array signs;
    float *decoded;
    float dots[ROWS];
    int32_t channels[DIM];
};

/* ---- The calls ----------------------------------------------------------------------------- */

static quash_status create_product(void *state) {
    struct state *const s = state;
    const quash_product_params params = test_product_params(DIM, 3, 1);
    return quash_product_create(&s->product, s->context, &params);
}

static quash_status encode_product(void *state) {
    struct state *const s = state;
    return quash_product_encode(s->product, &s->in, &s->codes, &s->signs, s->c.norms,
                                s->c.residual_norms);
}

static quash_status dot_product(void *state) {
    struct state *const s = state;
    return quash_product_dot(s->product, &s->codes, &s->signs, s->c.norms, s->c.residual_norms,
                             &s->in, s->dots);
}

static quash_status rotate_product(void *state) {
    struct state *const s = state;
    return quash_product_rotate(s->product, 0, &s->in, &s->out);
}

static quash_status choose_channels(void *state) {
    struct state *const s = state;
    return quash_outlier_channels(s->context, &s->in, s->mixed_params.outlier_count, s->channels);
}

static quash_status create_mixed(void *state) {
    struct state *const s = state;
    return quash_mixed_create(&s->mixed, s->context, &s->mixed_params);
}

static quash_status encode_mixed(void *state) {
    struct state *const s = state;
    return quash_mixed_encode(s->mixed, &s->in, &s->codes, s->c.norms);
}

static quash_status decode_mixed(void *state) {
    struct state *const s = state;
    return quash_mixed_decode(s->mixed, &s->codes, s->c.norms, &s->out);
}

static quash_status encode_mixed_product(void *state) {
    struct state *const s = state;
    return quash_mixed_product_encode(s->mixed, &s->in, &s->codes, &s->signs, s->c.norms,
                                      s->c.residual_norms);
}

static quash_status dot_mixed_product(void *state) {
    struct state *const s = state;
    return quash_mixed_product_dot(s->mixed, &s->codes, &s->signs, s->c.norms, s->c.residual_norms,
                                   &s->in, s->dots);
}

static quash_status rotate_mixed(void *state) {
    struct state *const s = state;
    return quash_mixed_rotate(s->mixed, 1, &s->in, &s->out);
}

/* ---- All of them --------------------------------------------------------------------------- */

/* How an attempt is made: with each allocation failing, or, for the expected results, once. */
struct mode {
    struct failing_allocator *failing; /* NULL: once */
};

static void attempt(const struct mode *mode, quash_status (*call)(void *state), struct state *s,
                    const char *const *names, size_t count) {
    if (mode->failing == NULL) {
        CHECK_EQ(call(s), QUASH_OK);
    } else {
        CHECK_EQ(fail_each_allocation(mode->failing, call, s, names, count), count);
    }
}

static void run_product(const struct mode *mode, struct state *s) {
    static const char *const create[] = { "the inner-product quantizer" };
    static const char *const encode[] = { "the scratch of encoding" };
    static const char *const dot[] = { "the scratch of the estimate" };
    static const char *const rotate[] = { "the scratch of rotation" };
    attempt(mode, create_product, s, create, 1);
    attempt(mode, encode_product, s, encode, 1);
    attempt(mode, dot_product, s, dot, 1);
    attempt(mode, rotate_product, s, rotate, 1);
    quash_product_free(s->product);
    s->product = NULL;
}

/* Two pieces of rows, each for two groups: 4 scratches behind the memory of the piece. */
#define PIECES(name)                                                                               \
    { "a piece of rows", name, name, name, name }

static void run_mixed(const struct mode *mode, struct state *s) {
    static const char *const choose[] = { "the energies of channels" };
    static const char *const create[] = { "the mixed quantizer", "the codec", "the codec" };
    static const char *const encode[] = PIECES("the scratch of encoding");
    static const char *const decode[] = PIECES("the scratch of decoding");
    static const char *const rotate[] = PIECES("the scratch of rotation");
    s->mixed_params = (quash_mixed_params)QUASH_MIXED_PARAMS_INIT;
    s->mixed_params.dim = DIM;
    s->mixed_params.outlier_count = 4;
    s->mixed_params.outliers = s->channels;
    attempt(mode, choose_channels, s, choose, COUNT_OF(choose));
    attempt(mode, create_mixed, s, create, COUNT_OF(create));
    attempt(mode, encode_mixed, s, encode, COUNT_OF(encode));
    attempt(mode, decode_mixed, s, decode, COUNT_OF(decode));
    attempt(mode, rotate_mixed, s, rotate, COUNT_OF(rotate));
    quash_mixed_free(s->mixed);
    s->mixed = NULL;
}

static void run_mixed_product(const struct mode *mode, struct state *s) {
    static const char *const create[] = { "the mixed quantizer", "the inner-product quantizer",
                                          "the inner-product quantizer" };
    static const char *const encode[] = PIECES("the scratch of encoding");
    static const char *const dot[] = PIECES("the scratch of the estimate");
    static const char *const rotate[] = PIECES("the scratch of rotation");
    s->mixed_params.product = 1;
    attempt(mode, create_mixed, s, create, COUNT_OF(create));
    attempt(mode, encode_mixed_product, s, encode, COUNT_OF(encode));
    attempt(mode, dot_mixed_product, s, dot, COUNT_OF(dot));
    attempt(mode, rotate_mixed, s, rotate, COUNT_OF(rotate));
    quash_mixed_free(s->mixed);
    s->mixed = NULL;
}

/* A group without channels needs no memory. */
static void run_one_group(const struct mode *mode, struct state *s) {
    static const char *const create[] = { "the mixed quantizer", "the codec" };
    static const char *const encode[] = { "a piece of rows", "the scratch of encoding",
                                          "the scratch of encoding" };
    s->mixed_params.product = 0;
    s->mixed_params.outlier_count = 0;
    attempt(mode, create_mixed, s, create, COUNT_OF(create));
    attempt(mode, encode_mixed, s, encode, COUNT_OF(encode));
    quash_mixed_free(s->mixed);
    s->mixed = NULL;
}

static void (*const runs[])(const struct mode *mode, struct state *s) = { run_product, run_mixed,
                                                                          run_mixed_product,
                                                                          run_one_group };

static struct state *state_new(quash_context *context) {
    struct state *const s = test_alloc(sizeof *s);
    memset(s, 0, sizeof *s);
    s->context = context;
    s->c = test_codes_new(ROWS, DIM);
    s->decoded = test_alloc(ROWS * DIM * sizeof *s->decoded);
    memset(s->decoded, 0, ROWS * DIM * sizeof *s->decoded);
    s->in = test_floats(rows, ROWS, DIM);
    s->out = test_floats(s->decoded, ROWS, DIM);
    s->codes = test_bytes(s->c.codes, ROWS, DIM);
    s->signs = test_bytes(s->c.signs, ROWS, DIM);
    return s;
}

static void state_free(struct state *s) {
    test_codes_free(&s->c);
    free(s->decoded);
    free(s);
}

static void check_runner(const quash_runner *runner, int32_t pool_threads) {
    struct failing_allocator failing = { 0 };
    const quash_allocator allocator = failing_allocator_get(&failing);
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.allocator = &allocator;
    params.runner = runner;
    params.threads = pool_threads;
    quash_context *context = NULL;
    CHECK_EQ(quash_context_create(&context, &params), QUASH_OK);
    quash_context *const calm = test_context(NULL);
    struct state *const expected = state_new(calm);
    struct state *const got = state_new(context);
    const struct mode once = { NULL };
    const struct mode failing_mode = { &failing };
    for (size_t i = 0; i < COUNT_OF(runs); i++) {
        runs[i](&once, expected);
        runs[i](&failing_mode, got);
        CHECK(test_codes_equal(&expected->c, &got->c));
        CHECK(memcmp(expected->decoded, got->decoded, ROWS * DIM * sizeof(float)) == 0);
        CHECK(memcmp(expected->dots, got->dots, sizeof got->dots) == 0);
        CHECK(memcmp(expected->channels, got->channels, sizeof got->channels) == 0);
        CHECK_EQ(atomic_load(&failing.memory.blocks), 1); /* the context */
    }
    state_free(expected);
    state_free(got);
    quash_context_free(calm);
    quash_context_free(context);
    check_no_leak(&failing);
}

TEST(every_allocation_may_fail) {
    struct test_rng rng = test_rng_start(71);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    int32_t workers = 3;
    const quash_runner threads = test_threads(&workers);
    check_runner(NULL, 1);
    check_runner(NULL, 3);
    check_runner(&threads, 0);
}

/* Where creation fails for want of memory, out stays as it was. */
TEST(nothing_is_created) {
    struct failing_allocator failing = { 0 };
    const quash_allocator allocator = failing_allocator_get(&failing);
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.allocator = &allocator;
    quash_context *context = NULL;
    CHECK_EQ(quash_context_create(&context, &params), QUASH_OK);
    struct state *const s = state_new(context);
    s->mixed_params = (quash_mixed_params)QUASH_MIXED_PARAMS_INIT;
    s->mixed_params.dim = DIM;
    s->mixed_params.outliers = s->channels;
    s->mixed_params.outlier_count = 1;
    atomic_store(&failing.until_failure, 1);
    CHECK_EQ(create_product(s), QUASH_ERROR_MEMORY);
    CHECK(s->product == NULL);
    for (long n = 1; n <= 3; n++) {
        atomic_store(&failing.until_failure, n);
        CHECK_EQ(create_mixed(s), QUASH_ERROR_MEMORY);
        CHECK(s->mixed == NULL);
    }
    state_free(s);
    quash_context_free(context);
    check_no_leak(&failing);
}

int main(void) {
    RUN(every_allocation_may_fail);
    RUN(nothing_is_created);
    return test_report();
}
