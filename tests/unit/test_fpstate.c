/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the host's floating-point state neither reaches a result nor is changed: with flush
 * to zero, denormals-are-zero and rounding toward zero set on the calling thread and on every
 * worker, codecs are created, rows encoded and decoded to the same bits, and the state is as
 * before. */
#define _POSIX_C_SOURCE 200809L
#include "hostile_state.h"
#include "pool_support.h"

#define DIM 96
#define ROWS 600 /* 10 pieces */

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

/* ---- The pool ---------------------------------------------------------------------------- */

/* A runner over a pool in which no worker goes on before all have a piece, so that each has one; it
 * counts the pieces that began in, and left behind, the state of a thread made hostile. */
struct gathering {
    const quash_context *pool;
    quash_task task;
    void *state;
    bool meet;
    atomic_int present;
    atomic_int pieces[TEST_POOL_MAX];
    atomic_int hostile_before;
    atomic_int hostile_after;
};

static void gather_task(void *state, int64_t index, int32_t worker) {
    struct gathering *const g = state;
    atomic_fetch_add(&g->hostile_before, get_state() == hostile_state());
    if (g->meet && atomic_fetch_add(&g->pieces[worker], 1) == 0) {
        atomic_fetch_add(&g->present, 1);
        while (atomic_load(&g->present) < g->pool->runner.workers) {
            (void)sched_yield();
        }
    }
    g->task(g->state, index, worker);
    atomic_fetch_add(&g->hostile_after, get_state() == hostile_state());
}

static void gather_run(void *user, quash_task task, void *state, int64_t count) {
    struct gathering *const g = user;
    memset(g->pieces, 0, sizeof g->pieces);
    atomic_store(&g->present, 0);
    g->task = task;
    g->state = state;
    g->meet = count >= g->pool->runner.workers;
    g->pool->runner.run(g->pool->runner.user, gather_task, g, count);
}

static void probe_task(void *state, int64_t index, int32_t worker) {
    (void)index;
    (void)worker;
    atomic_fetch_add((atomic_int *)state, get_state() == hostile_state());
}

/* Threads inherit the state of the thread that starts them: all of them are hostile here, and stay
 * so, yet the bytes are those of a friendly thread. */
TEST(threads_of_the_pool_may_be_hostile) {
    static const int32_t thread_counts[] = { 2, 3, 8 };
    static float rows[ROWS * DIM];
    fill_rows(rows);
    quash_context *const friendly = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(thread_counts); i++) {
        const uint64_t before = get_state();
        set_state(hostile_state());
        quash_context *const pool = test_pool_context(thread_counts[i]);
        struct test_meeting meeting;
        test_start_all(pool, &meeting);
        set_state(before);

        static struct gathering g;
        memset(&g, 0, sizeof g);
        g.pool = pool;
        const quash_runner runner = { &g, thread_counts[i], gather_run };
        quash_context *const gathered = test_context(&runner);
        compare(friendly, gathered, rows);
        /* Per codec 10 pieces each to look for NaN, to encode and to decode. */
        CHECK_EQ(atomic_load(&g.hostile_before), 4 * 4 * 30);
        CHECK_EQ(atomic_load(&g.hostile_after), 4 * 4 * 30);
        for (int32_t w = 0; w < thread_counts[i]; w++) {
            CHECK(atomic_load(&g.pieces[w]) > 0);
        }
        quash_context_free(gathered);

        compare(friendly, pool, rows);
        atomic_int probed = 0;
        set_state(hostile_state());
        pool->runner.run(pool->runner.user, probe_task, &probed, 100);
        set_state(before);
        CHECK_EQ(atomic_load(&probed), 100);
        quash_context_free(pool);
    }
    quash_context_free(friendly);
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
    RUN(threads_of_the_pool_may_be_hostile);
    RUN(damaged_scales_are_found_in_any_state);
    return test_report();
}
