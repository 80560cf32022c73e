/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that contexts and codecs survive a lack of memory: whichever allocation fails, the call
 * says MEMORY and for what, leaks nothing, leaves outputs alone, and the same objects work
 * afterwards. */
#include "fault/failing_allocator.h"

enum { ROWS = 100, DIM = 72 };

struct state {
    quash_context_params context_params;
    quash_context *context;
    quash_codec_params params;
    quash_codec *codec;
    quash_array rows;
    uint8_t codes[ROWS * (4 + DIM / 2)];
};

static quash_status create_context(void *state) {
    struct state *const s = state;
    return quash_context_create(&s->context, &s->context_params);
}

static quash_status create_codec(void *state) {
    struct state *const s = state;
    return quash_codec_create(&s->codec, s->context, &s->params);
}

static quash_status encode(void *state) {
    struct state *const s = state;
    return quash_encode(s->codec, &s->rows, s->codes, sizeof s->codes);
}

static quash_status decode(void *state) {
    struct state *const s = state;
    return quash_decode(s->codec, s->codes, sizeof s->codes, &s->rows);
}

static float input[ROWS * DIM];
static float output[ROWS * DIM];
static float expected[ROWS * DIM];

static void check_runner(const quash_runner *runner, int32_t pool_threads) {
    static const char *const context_names[] = { "the context" };
    static const char *const codec_names[] = { "the codec" };
    static const char *const encode_names[] = { "the scratch of encoding" };
    static const char *const decode_names[] = { "the scratch of decoding" };
    struct failing_allocator failing = { 0 };
    const quash_allocator allocator = failing_allocator_get(&failing);
    struct state s = { 0 };
    s.context_params = (quash_context_params)QUASH_CONTEXT_PARAMS_INIT;
    s.context_params.allocator = &allocator;
    s.context_params.runner = runner;
    s.context_params.threads = pool_threads;
    s.params = test_params(DIM, 4);

    atomic_store(&failing.until_failure, 1);
    CHECK_EQ(create_context(&s), QUASH_ERROR_MEMORY);
    CHECK(s.context == NULL);
    CHECK_EQ(fail_each_allocation(&failing, create_context, &s, context_names, 1), 1);

    atomic_store(&failing.until_failure, 1);
    CHECK_EQ(create_codec(&s), QUASH_ERROR_MEMORY);
    CHECK(s.codec == NULL);
    CHECK_EQ(fail_each_allocation(&failing, create_codec, &s, codec_names, 1), 1);

    s.rows = quash_array_view(input, QUASH_F32, 2, ROWS, DIM, 0);
    memset(s.codes, 0x5A, sizeof s.codes);
    atomic_store(&failing.until_failure, 1);
    CHECK_EQ(encode(&s), QUASH_ERROR_MEMORY);
    for (size_t i = 0; i < sizeof s.codes; i++) {
        CHECK(s.codes[i] == 0x5A);
    }
    CHECK_EQ(fail_each_allocation(&failing, encode, &s, encode_names, 1), 1);

    s.rows = quash_array_view(output, QUASH_F32, 2, ROWS, DIM, 0);
    memset(output, 0, sizeof output);
    atomic_store(&failing.until_failure, 1);
    CHECK_EQ(decode(&s), QUASH_ERROR_MEMORY);
    for (size_t i = 0; i < COUNT_OF(output); i++) {
        CHECK(output[i] == 0.0f);
    }
    CHECK_EQ(fail_each_allocation(&failing, decode, &s, decode_names, 1), 1);
    CHECK(memcmp(output, expected, sizeof output) == 0);

    CHECK_EQ(atomic_load(&failing.memory.blocks), 2);
    quash_codec_free(s.codec);
    quash_context_free(s.context);
    check_no_leak(&failing);
}

TEST(every_allocation_may_fail) {
    struct test_rng rng = test_rng_start(1);
    test_fill_gaussian(&rng, input, COUNT_OF(input));
    quash_context *const context = test_context(NULL);
    const quash_codec_params params = test_params(DIM, 4);
    quash_codec *const codec = test_codec(context, &params);
    test_round_trip(codec, input, ROWS, expected);
    quash_codec_free(codec);
    quash_context_free(context);
    int32_t workers = 4;
    const quash_runner threads = test_threads(&workers);
    check_runner(NULL, 1);
    check_runner(NULL, 3);
    check_runner(&threads, 0);
}

/* Failures of other kinds leak nothing either. */
TEST(other_failures_do_not_leak) {
    struct failing_allocator failing = { 0 };
    const quash_allocator allocator = failing_allocator_get(&failing);
    quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
    context_params.allocator = &allocator;
    quash_context *context = NULL;
    CHECK_EQ(quash_context_create(&context, &context_params), QUASH_OK);
    quash_codec_params params = test_params(DIM, 2);
    params.scale_dtype = QUASH_F16;
    quash_codec *const codec = test_codec(context, &params);
    const long blocks = atomic_load(&failing.memory.blocks);
    static float rows[2 * DIM];
    static uint8_t codes[2 * (2 + DIM / 4)];
    quash_array array = quash_array_view(rows, QUASH_F32, 2, 2, DIM, 0);
    rows[3] = INFINITY;
    CHECK_EQ(quash_encode(codec, &array, codes, sizeof codes), QUASH_ERROR_ARGUMENT);
    rows[3] = 1e30f;
    CHECK_EQ(quash_encode(codec, &array, codes, sizeof codes), QUASH_ERROR_ARGUMENT);
    rows[3] = 1.0f;
    CHECK_EQ(quash_encode(codec, &array, codes, sizeof codes), QUASH_OK);
    codes[1] = 0xFF; /* a negative NaN */
    CHECK_EQ(quash_decode(codec, codes, sizeof codes, &array), QUASH_ERROR_FORMAT);
    params.bits = 9;
    quash_codec *none = NULL;
    CHECK_EQ(quash_codec_create(&none, context, &params), QUASH_ERROR_ARGUMENT);
    CHECK_EQ(atomic_load(&failing.memory.blocks), blocks);
    quash_codec_free(codec);
    quash_context_free(context);
    check_no_leak(&failing);
}

int main(void) {
    RUN(every_allocation_may_fail);
    RUN(other_failures_do_not_leak);
    return test_report();
}
