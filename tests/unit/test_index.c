/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what the index promises beside its results: the bytes it reports are those it holds, an
 * add that fails leaves no trace, the host's floating-point state neither matters nor changes, and
 * any number of threads may search at once. */
#include "hostile_state.h"
#include "index_support.h"

#define DIM 33

static float *gaussian_rows(uint64_t seed, int64_t count) {
    struct test_rng rng = test_rng_start(seed);
    float *const rows = test_alloc((size_t)count * DIM * sizeof *rows);
    test_fill_gaussian(&rng, rows, (size_t)count * DIM);
    return rows;
}

/* ---- Bytes ------------------------------------------------------------------------------- */

static void check_bytes(const quash_index *index, const struct test_memory *memory,
                        long context_bytes, bool frozen, int32_t bits) {
    const quash_index_bytes bytes = quash_index_get_bytes(index);
    const int64_t count = quash_index_count(index);
    CHECK_EQ(bytes.total, atomic_load(&memory->bytes) - context_bytes);
    CHECK_EQ(bytes.total, bytes.codes + bytes.raw + bytes.spare + bytes.tables);
    CHECK_EQ(bytes.per_row, (DIM + 31) / 32 * 4 * bits + 8);
    CHECK_EQ(bytes.codes, frozen ? count * bytes.per_row : 0);
    CHECK_EQ(bytes.raw, frozen ? 0 : count * DIM * 4);
    CHECK(bytes.spare >= 0 && bytes.tables > 0);
    /* A block of spare rows at most, or as much again as there are raw rows (64 at first). */
    CHECK(bytes.spare <= (frozen ? 1024 * bytes.per_row : (count < 64 ? 64 * DIM * 4 : bytes.raw)));
}

/* Before, at and after the freeze at 300 rows, and from block to block. */
TEST(bytes_are_those_of_the_allocator) {
    static const int64_t pieces[] = { 0, 1, 63, 1, 100, 134, 1, 1, 722, 1, 1, 5000, 16000, 1 };
    float *const rows = gaussian_rows(1, 16000);
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (int32_t given = 0; given < 2; given++) {
            struct test_memory memory = { 0 };
            const quash_allocator allocator = test_counting_allocator(&memory);
            quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
            context_params.allocator = &allocator;
            quash_context *context = NULL;
            CHECK_EQ(quash_context_create(&context, &context_params), QUASH_OK);
            const long context_bytes = atomic_load(&memory.bytes);
            quash_index_params params = test_index_params(DIM, bits, QUASH_METRIC_L2);
            params.centre_rows = 300;
            params.centre = given ? rows : NULL;
            quash_index *const index = test_index(context, &params);
            check_bytes(index, &memory, context_bytes, given, bits);
            for (size_t i = 0; i < COUNT_OF(pieces); i++) {
                test_add(index, rows, pieces[i], DIM);
                check_bytes(index, &memory, context_bytes, given || quash_index_count(index) >= 300,
                            bits);
                const struct test_result r = test_search(index, rows, 1, DIM, 3);
                test_result_free(&r);
                check_bytes(index, &memory, context_bytes, given || quash_index_count(index) >= 300,
                            bits);
            }
            quash_index_free(index);
            CHECK_EQ(atomic_load(&memory.bytes), context_bytes);
            quash_context_free(context);
            CHECK_EQ(atomic_load(&memory.blocks), 0);
            CHECK_EQ(atomic_load(&memory.wrong_sizes), 0);
        }
    }
    free(rows);
}

/* ---- All or nothing ---------------------------------------------------------------------- */

enum failure { NOT_FINITE, ZERO_ROW, TOO_FAR, WRONG_SHAPE, FAILURES };

/* Tries to add 90 rows with something wrong in one of the last; changes rows and restores them. */
static void add_in_vain(quash_index *index, float *rows, enum failure failure) {
    float *const bad = rows + 85 * DIM;
    float saved[DIM];
    memcpy(saved, bad, sizeof saved);
    quash_array array = test_matrix(rows, 90, DIM);
    switch (failure) {
    case NOT_FINITE: bad[5] = NAN; break;
    case ZERO_ROW: memset(bad, 0, sizeof saved); break;
    case TOO_FAR: bad[7] = 3e38f; break;
    default: array.shape[1] = DIM - 1; break;
    }
    CHECK_EQ(quash_index_add(index, &array), QUASH_ERROR_ARGUMENT);
    memcpy(bad, saved, sizeof saved);
}

/* One index gets failing adds between the good ones, which take it over the freeze and over the end
 * of a block; the other gets the good ones only. */
static void check_failures_leave_no_trace(quash_context *context, int32_t metric,
                                          enum failure failure) {
    static const int64_t pieces[] = { 1, 60, 39, 30, 1, 893, 1, 40 };
    float *const rows = gaussian_rows(2, 893);
    float *const queries = gaussian_rows(3, 5);
    quash_index_params params = test_index_params(DIM, 3, metric);
    params.centre_rows = 120;
    quash_index *const plain = test_index(context, &params);
    quash_index *const tried = test_index(context, &params);
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        add_in_vain(tried, rows, failure);
        if (!CHECK(test_indexes_agree(tried, plain, true, queries, 5, DIM, 40))) {
            printf("    metric %d, failure %d, %lld rows\n", (int)metric, (int)failure,
                   (long long)quash_index_count(plain));
        }
        test_add(plain, rows, pieces[i], DIM);
        test_add(tried, rows, pieces[i], DIM);
        CHECK(test_indexes_agree(tried, plain, true, queries, 5, DIM, 40));
    }
    quash_index_free(plain);
    quash_index_free(tried);
    free(rows);
    free(queries);
}

TEST(a_failing_add_leaves_no_trace) {
    quash_context *const context = test_context(NULL);
    for (int32_t failure = 0; failure < FAILURES; failure++) {
        for (int32_t metric = 0; metric < 3; metric++) {
            const bool possible = failure == ZERO_ROW  ? metric == QUASH_METRIC_COSINE
                                  : failure == TOO_FAR ? metric == QUASH_METRIC_L2
                                                       : true;
            if (possible) {
                check_failures_leave_no_trace(context, metric, (enum failure)failure);
            }
        }
    }
    quash_context_free(context);
}

/* What one add accepts, two accept: rows far away must not be let in as long as they are raw, only
 * to stop the index from ever coding its rows. */
TEST(a_raw_row_never_blocks_the_index) {
    quash_context *const context = test_context(NULL);
    float *const rows = gaussian_rows(4, 20);
    quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_L2);
    params.centre_rows = 10;
    quash_index *const whole = test_index(context, &params);
    quash_index *const split = test_index(context, &params);
    rows[3 * DIM] = 3e37f;
    const quash_array array = test_matrix(rows, 20, DIM);
    const quash_array first = test_matrix(rows, 5, DIM);
    const quash_array rest = test_matrix(rows + 5 * DIM, 15, DIM);
    const quash_status all = quash_index_add(whole, &array);
    const quash_status head = quash_index_add(split, &first);
    const quash_status tail = quash_index_add(split, &rest);
    CHECK_EQ(head, all);
    CHECK_EQ(tail, QUASH_OK);
    quash_index_free(whole);
    quash_index_free(split);
    free(rows);
    quash_context_free(context);
}

/* A search that fails writes nothing, however many of its queries are good. Whether so long a query
 * or centre is refused, and by which call, is for property/test_search_inputs.c. */
TEST(a_failing_search_writes_nothing) {
    static const float centre[DIM] = { -3e38f };
    quash_context *const context = test_context(NULL);
    float *const rows = gaussian_rows(5, 100);
    rows[30 * DIM] = 3e38f;
    for (int32_t given = 0; given < 2; given++) {
        quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
        params.centre_rows = 10;
        params.centre = given ? centre : NULL;
        quash_index *index = NULL;
        if (quash_index_create(&index, context, &params) != QUASH_OK) {
            continue;
        }
        test_add(index, rows, given ? 0 : 20, DIM);
        float scores[40];
        int64_t ids[40];
        const quash_array queries = test_matrix(rows, 40, DIM);
        memset(scores, 0x11, sizeof scores);
        memset(ids, 0x11, sizeof ids);
        const quash_status status = quash_index_search(index, &queries, 1, scores, ids);
        for (size_t i = 0; status != QUASH_OK && i < sizeof scores; i++) {
            CHECK(((const unsigned char *)scores)[i] == 0x11);
        }
        CHECK(status == QUASH_OK || status == QUASH_ERROR_ARGUMENT);
        quash_index_free(index);
    }
    free(rows);
    quash_context_free(context);
}

/* ---- Host state and threads -------------------------------------------------------------- */

/* Ordinary rows and rows of denormals, which flushing would change. */
TEST(the_state_of_the_host_does_not_matter) {
    float *const rows = gaussian_rows(6, 200);
    int32_t workers = 2;
    const quash_runner runner = test_threads(&workers);
    for (size_t i = 0; i < 200 * DIM; i++) {
        rows[i] *= i / DIM % 3 == 1 ? 0x1p-130f : 1.0f;
    }
    for (int32_t metric = 0; metric < 3; metric++) {
        quash_context *const context = test_context(metric == 1 ? &runner : NULL);
        quash_index_params params = test_index_params(DIM, 4, metric);
        params.centre_rows = 150;
        params.search_level = 2;
        quash_index *const expected = test_index(context, &params);
        const uint64_t before = get_state();
        set_state(hostile_state());
        quash_index *const hostile = test_index(context, &params);
        for (int64_t half = 0; half < 2; half++) { /* raw, then coded */
            set_state(before);
            test_add(expected, rows + half * 100 * DIM, 100, DIM);
            const struct test_result right = test_search(expected, rows, 20, DIM, 200);
            set_state(hostile_state());
            test_add(hostile, rows + half * 100 * DIM, 100, DIM);
            CHECK(get_state() == hostile_state());
            const struct test_result found = test_search(hostile, rows, 20, DIM, 200);
            CHECK(get_state() == hostile_state());
            CHECK(test_results_equal(&right, &found));
            test_result_free(&right);
            test_result_free(&found);
        }
        set_state(before);
        CHECK(test_indexes_agree(expected, hostile, true, rows, 20, DIM, 200));
        quash_index_free(expected);
        quash_index_free(hostile);
        quash_context_free(context);
    }
    free(rows);
}

struct searcher {
    const quash_index *index;
    const float *queries;
    struct test_result expected;
    pthread_t thread;
};

static void *search_again_and_again(void *argument) {
    const struct searcher *const searcher = argument;
    for (int round = 0; round < 20; round++) {
        const struct test_result found = test_search(searcher->index, searcher->queries, 9, DIM, 7);
        CHECK(test_results_equal(&found, &searcher->expected));
        CHECK_EQ(quash_index_count(searcher->index), 400);
        CHECK(quash_index_get_bytes(searcher->index).total > 0);
        test_result_free(&found);
    }
    return NULL;
}

/* Under ThreadSanitizer a data race is a failure. */
TEST(threads_may_search_at_once) {
    float *const rows = gaussian_rows(7, 400);
    int32_t workers = 2;
    const quash_runner runner = test_threads(&workers);
    for (int32_t raw = 0; raw < 2; raw++) {
        quash_context *const context = test_context(&runner);
        quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_COSINE);
        params.centre_rows = raw ? 1000 : 100;
        quash_index *const index = test_index(context, &params);
        test_add(index, rows, 400, DIM);
        struct searcher searchers[4];
        for (size_t i = 0; i < COUNT_OF(searchers); i++) {
            searchers[i].index = index;
            searchers[i].queries = rows + i * 9 * DIM;
            searchers[i].expected = test_search(index, searchers[i].queries, 9, DIM, 7);
        }
        for (size_t i = 0; i < COUNT_OF(searchers); i++) {
            CHECK_EQ(
                pthread_create(&searchers[i].thread, NULL, search_again_and_again, &searchers[i]),
                0);
        }
        for (size_t i = 0; i < COUNT_OF(searchers); i++) {
            (void)pthread_join(searchers[i].thread, NULL);
            test_result_free(&searchers[i].expected);
        }
        quash_index_free(index);
        quash_context_free(context);
    }
    free(rows);
}

int main(void) {
    RUN(bytes_are_those_of_the_allocator);
    RUN(a_failing_add_leaves_no_trace);
    RUN(a_raw_row_never_blocks_the_index);
    RUN(a_failing_search_writes_nothing);
    RUN(the_state_of_the_host_does_not_matter);
    RUN(threads_may_search_at_once);
    return test_report();
}
