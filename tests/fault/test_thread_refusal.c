/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a context whose threads the system refuses goes on with those it got, at the least
 * the caller: same bytes, no error, and no further attempts. The linker puts a function of this
 * file in the place of pthread_create (tests/CMakeLists.txt). */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>

#include "pool_support.h"

#define DIM 40
#define ROWS 1100 /* 18 pieces */

/* The names that the linker's --wrap gives. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);

static int allowed;
static int attempts;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument) {
    attempts++;
    if (attempts > allowed) {
        return EAGAIN;
    }
    return __real_pthread_create(thread, attributes, start, argument);
}

static void encode_into(quash_context *context, const float *rows, uint8_t *codes, size_t bytes) {
    const quash_codec_params params = test_params(DIM, 3);
    quash_codec *const codec = test_codec(context, &params);
    const quash_array array = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    CHECK_EQ(bytes, ROWS * quash_codec_row_bytes(codec));
    memset(codes, 0xEE, bytes);
    CHECK_EQ(quash_encode(codec, &array, codes, bytes), QUASH_OK);
    quash_codec_free(codec);
}

TEST(a_context_goes_on_with_the_threads_it_got) {
    static float rows[ROWS * DIM];
    static uint8_t expected[ROWS * (4 + DIM * 3 / 8)];
    static uint8_t found[sizeof expected];
    struct test_rng rng = test_rng_start(4);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    quash_context *const serial = test_context(NULL);
    encode_into(serial, rows, expected, sizeof expected);
    quash_context_free(serial);
    for (int given = 0; given <= 7; given++) {
        quash_context *const context = test_pool_context(8);
        allowed = given;
        attempts = 0;
        for (int round = 0; round < 5; round++) {
            encode_into(context, rows, found, sizeof found);
            CHECK(memcmp(expected, found, sizeof found) == 0);
        }
        CHECK_EQ(attempts, given < 7 ? given + 1 : 7);
        allowed = 100; /* what was refused once is not asked for again */
        struct test_meeting meeting = { .workers = given + 1 };
        quash_run(&context->runner, test_meet, &meeting, meeting.workers);
        CHECK_EQ(attempts, given < 7 ? given + 1 : 7);
        quash_context_free(context);
    }
}

int main(void) {
    RUN(a_context_goes_on_with_the_threads_it_got);
    return test_report();
}
