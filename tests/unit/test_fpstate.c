/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the host's floating-point state neither reaches a result nor is changed: with flush
 * to zero, denormals-are-zero and rounding toward zero set on the calling thread and on every
 * worker, codecs are created, rows encoded and decoded to the same bits, and the state is as
 * before. */
#include "hostile_state.h"

#define DIM 96
#define ROWS 300

/* ---- The same work in both states -------------------------------------------------------- */

struct result {
    uint8_t codes[ROWS * (4 + DIM)];
    float decoded[ROWS * DIM];
    quash_status status[3];
};

/* Ordinary rows, rows of denormals, and rows that mix both. */
static void fill_rows(float *rows) {
    struct test_rng rng = test_rng_start(9);
    test_fill_gaussian(&rng, rows, ROWS * DIM);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < DIM; i++) {
            if (r % 3 == 1 || (r % 3 == 2 && i % 2 == 0)) {
                rows[r * DIM + i] *= 0x1p-130f;
            }
        }
    }
}

static void work(quash_context *context, const quash_codec_params *params, const float *rows,
                 struct result *result) {
    const quash_array in = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    const quash_array out = quash_array_view(result->decoded, QUASH_F32, 2, ROWS, DIM, 0);
    quash_codec *codec = NULL;
    result->status[0] = quash_codec_create(&codec, context, params);
    if (result->status[0] == QUASH_OK) {
        result->status[1] = quash_encode(codec, &in, result->codes, sizeof result->codes);
        result->status[2] = quash_decode(codec, result->codes, sizeof result->codes, &out);
    }
    quash_codec_free(codec);
}

static void compare(quash_context *friendly, quash_context *hostile, const float *rows) {
    static struct result expected;
    static struct result found;
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (int32_t policy = QUASH_SCALE_LEAST_SQUARES; policy <= QUASH_SCALE_RAW_NORM; policy++) {
            quash_codec_params params = test_params(DIM, bits);
            params.scale_policy = policy;
            params.search_level = 2;
            memset(&expected, 0, sizeof expected);
            memset(&found, 0, sizeof found);
            work(friendly, &params, rows, &expected);
            const uint64_t before = get_state();
            set_state(hostile_state());
            work(hostile, &params, rows, &found);
            const uint64_t after = get_state();
            set_state(before);
            CHECK(after == hostile_state());
            CHECK_EQ(expected.status[1], QUASH_OK);
            CHECK_EQ(expected.status[2], QUASH_OK);
            CHECK(memcmp(&expected, &found, sizeof found) == 0);
        }
    }
}

TEST(the_calling_thread_may_be_hostile) {
    static float rows[ROWS * DIM];
    fill_rows(rows);
    quash_context *const context = test_context(NULL);
    compare(context, context, rows);
    quash_context_free(context);
}

TEST(worker_threads_may_be_hostile) {
    static float rows[ROWS * DIM];
    fill_rows(rows);
    int32_t workers = 3;
    const quash_runner runner = { &workers, workers, hostile_run };
    quash_context *const friendly = test_context(NULL);
    quash_context *const hostile = test_context(&runner);
    compare(friendly, hostile, rows);
    CHECK(atomic_load(&guarded_tasks) > 0);
    CHECK_EQ(atomic_load(&changed_states), 0);
    quash_context_free(friendly);
    quash_context_free(hostile);
}

/* A negative scale is damage, however small: denormals-are-zero must not hide it. */
TEST(damaged_scales_are_found_in_any_state) {
    quash_context *const context = test_context(NULL);
    const quash_codec_params params = test_params(DIM, 4);
    quash_codec *const codec = test_codec(context, &params);
    static uint8_t codes[4 + DIM / 2];
    static float decoded[DIM];
    const uint32_t scale = 0x80000001u; /* the smallest negative binary32 */
    memcpy(codes, &scale, sizeof scale);
    const quash_array out = quash_array_view(decoded, QUASH_F32, 2, 1, DIM, 0);
    CHECK_EQ(quash_decode(codec, codes, sizeof codes, &out), QUASH_ERROR_FORMAT);
    const uint64_t before = get_state();
    set_state(hostile_state());
    const quash_status status = quash_decode(codec, codes, sizeof codes, &out);
    set_state(before);
    CHECK_EQ(status, QUASH_ERROR_FORMAT);
    quash_codec_free(codec);
    quash_context_free(context);
}

/* That the hostile state does something: otherwise the tests above would prove nothing. */
TEST(the_state_is_hostile) {
    volatile float tenth = 0.1f;
    volatile float tiny = 0x1p-130f;
    const uint64_t before = get_state();
    const float nearest = tenth * tenth;
    set_state(hostile_state());
    volatile float toward_zero = tenth * tenth;
    volatile float flushed = tiny * 1.5f;
    set_state(before);
    CHECK(nearest != toward_zero);
#if defined(__x86_64__) || defined(__aarch64__)
    CHECK(flushed == 0.0f);
#endif
    (void)flushed;
}

int main(void) {
    RUN(the_state_is_hostile);
    RUN(the_calling_thread_may_be_hostile);
    RUN(worker_threads_may_be_hostile);
    RUN(damaged_scales_are_found_in_any_state);
    return test_report();
}
