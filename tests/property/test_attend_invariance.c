/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that what a cache holds and what attention returns depends on tokens, queries and
 * parameters only: appending in any split gives the same bytes, any number of workers and any
 * schedule the same results, and threads may attend at once. And that attention never decodes the
 * history: its workspace does not grow with the tokens, and with one nothing is allocated. */
#include "cache_support.h"

#define HEADS 2
#define GROUP 5
#define QUERIES 7
#define QUERY_HEADS (HEADS * GROUP)
#define TOKENS 333

/* All that attention gives: F32 outputs [query heads][queries][dim] and their lse. */
struct answer {
    size_t size;
    float *out;
    float lse[QUERY_HEADS * QUERIES];
};

#define MODES 3

static struct answer attend(const quash_cache *cache, int32_t mode, const float *queries,
                            void *workspace, size_t bytes) {
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    const int64_t dim = cache->params.head_dim;
    params.mode = mode;
    struct answer answer = { QUERY_HEADS * QUERIES * (size_t)dim * sizeof(float), NULL, { 0.0f } };
    answer.out = test_alloc(answer.size);
    const quash_array q = quash_array_view(queries, QUASH_F32, 3, QUERY_HEADS, QUERIES, dim);
    const quash_array out = quash_array_view(answer.out, QUASH_F32, 3, QUERY_HEADS, QUERIES, dim);
    const quash_array lse = quash_array_view(answer.lse, QUASH_F32, 2, QUERY_HEADS, QUERIES, 0);
    CHECK_EQ(quash_cache_attend(cache, &params, &q, &out, &lse, workspace, bytes), QUASH_OK);
    return answer;
}

static bool same_answer(const struct answer *a, const struct answer *b) {
    return memcmp(a->out, b->out, a->size) == 0 && memcmp(a->lse, b->lse, sizeof a->lse) == 0;
}

static float *make_queries(size_t dim) {
    struct test_rng rng = test_rng_start(dim);
    float *const queries = test_alloc(QUERY_HEADS * QUERIES * dim * sizeof *queries);
    test_fill_gaussian(&rng, queries, QUERY_HEADS * QUERIES * dim);
    return queries;
}

struct shape {
    size_t dim;
    int32_t key_bits;
    int32_t value_bits;
};

static const struct shape shapes[] = { { 64, 4, 4 }, { 80, 3, 2 }, { 8, 2, 3 }, { 576, 3, 3 } };

/* ---- Splits ------------------------------------------------------------------------------ */

/* The tokens in parts of random sizes, empty ones included, in a cache that held others before. */
static quash_cache *append_in_parts(quash_context *context, const quash_cache_params *params,
                                    const struct test_kv *kv, struct test_rng *rng, size_t limit) {
    quash_cache *const cache = test_cache(context, params);
    CHECK_EQ(test_append(cache, kv, TOKENS / 2, test_below(rng, 100)), QUASH_OK);
    quash_cache_reset(cache);
    for (size_t first = 0; first < TOKENS;) {
        const size_t drawn = test_below(rng, limit + 1);
        const size_t count = drawn < TOKENS - first ? drawn : TOKENS - first;
        CHECK_EQ(test_append(cache, kv, first, count), QUASH_OK);
        first += count;
    }
    return cache;
}

TEST(splits_do_not_matter) {
    static const size_t limits[] = { 1, 3, 20, 64, 130, 333 };
    quash_context *const context = test_context(NULL);
    struct test_rng rng = test_rng_start(31);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        const quash_cache_params params =
            test_cache_params(HEADS, shapes[i].dim, shapes[i].key_bits, shapes[i].value_bits);
        struct test_kv kv = test_kv_make(i, HEADS, TOKENS, shapes[i].dim);
        float *const queries = make_queries(shapes[i].dim);
        quash_cache *const whole = test_cache(context, &params);
        CHECK_EQ(test_append(whole, &kv, 0, TOKENS), QUASH_OK);
        struct test_content content = test_content_take(whole);
        struct test_kv decoded = test_decode(whole);
        const int32_t mode = (int32_t)(i % MODES);
        struct answer answer = attend(whole, mode, queries, NULL, 0);
        for (size_t l = 0; l < COUNT_OF(limits); l++) {
            quash_cache *const cache = append_in_parts(context, &params, &kv, &rng, limits[l]);
            struct test_kv other_decoded = test_decode(cache);
            struct answer other = attend(cache, mode, queries, NULL, 0);
            CHECK(test_content_is(cache, &content));
            CHECK(test_kv_same(&decoded, &other_decoded));
            CHECK(same_answer(&answer, &other));
            CHECK_EQ(quash_cache_get_bytes(cache).total, quash_cache_get_bytes(whole).total);
            free(other.out);
            test_kv_free(&other_decoded);
            quash_cache_free(cache);
        }
        free(content.bytes);
        free(answer.out);
        free(queries);
        test_kv_free(&decoded);
        test_kv_free(&kv);
        quash_cache_free(whole);
    }
    quash_context_free(context);
}

/* ---- Workers ----------------------------------------------------------------------------- */

/* The calling thread alone, last piece first. */
static void run_backwards(void *user, quash_task task, void *state, int64_t count) {
    (void)user;
    for (int64_t i = count - 1; i >= 0; i--) {
        task(state, i, 0);
    }
}

/* Append, attend and decode in a context, which is freed, give what they gave serially. */
static void check_context(quash_context *context, const quash_cache_params *params,
                          const struct test_kv *kv, const float *queries,
                          const struct test_content *content, const struct test_kv *decoded,
                          const struct answer answers[MODES]) {
    quash_cache *const cache = test_cache(context, params);
    CHECK_EQ(test_append(cache, kv, 0, 100), QUASH_OK);
    CHECK_EQ(test_append(cache, kv, 100, TOKENS - 100), QUASH_OK);
    struct test_kv other_decoded = test_decode(cache);
    CHECK(test_content_is(cache, content));
    CHECK(test_kv_same(decoded, &other_decoded));
    for (int32_t mode = 0; mode < MODES; mode++) {
        struct answer other = attend(cache, mode, queries, NULL, 0);
        CHECK(same_answer(&answers[mode], &other));
        free(other.out);
    }
    test_kv_free(&other_decoded);
    quash_cache_free(cache);
    quash_context_free(context);
}

TEST(workers_do_not_matter) {
    static const int32_t worker_counts[] = { 1, 2, 3, 8 };
    const quash_runner backwards = { NULL, 1, run_backwards };
    quash_context *const serial = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(shapes); i++) {
        const quash_cache_params params =
            test_cache_params(HEADS, shapes[i].dim, shapes[i].key_bits, shapes[i].value_bits);
        struct test_kv kv = test_kv_make(i + 50, HEADS, TOKENS, shapes[i].dim);
        float *const queries = make_queries(shapes[i].dim);
        quash_cache *const cache = test_cache(serial, &params);
        CHECK_EQ(test_append(cache, &kv, 0, TOKENS), QUASH_OK);
        struct test_content content = test_content_take(cache);
        struct test_kv decoded = test_decode(cache);
        struct answer answers[MODES];
        for (int32_t mode = 0; mode < MODES; mode++) {
            answers[mode] = attend(cache, mode, queries, NULL, 0);
        }
        check_context(test_context(&backwards), &params, &kv, queries, &content, &decoded, answers);
        for (size_t w = 0; w < COUNT_OF(worker_counts); w++) {
            int32_t workers = worker_counts[w];
            const quash_runner runner = test_threads(&workers);
            check_context(test_context(&runner), &params, &kv, queries, &content, &decoded,
                          answers);
            check_context(test_pool_context(workers), &params, &kv, queries, &content, &decoded,
                          answers);
        }
        free(content.bytes);
        for (int32_t mode = 0; mode < MODES; mode++) {
            free(answers[mode].out);
        }
        free(queries);
        test_kv_free(&decoded);
        test_kv_free(&kv);
        quash_cache_free(cache);
    }
    quash_context_free(serial);
}

/* Contexts of one and of several ranges, some ending in an open tile: 3 x 10 rows make more than
 * one item of 16 rows, and items that waves of tasks cut. */
TEST(workers_do_not_matter_to_long_contexts) {
    static const size_t token_counts[] = { 4096, 4097, 13000, 20480 };
    static const int32_t worker_counts[] = { 1, 2, 3, 8 };
    const quash_runner backwards = { NULL, 1, run_backwards };
    const quash_cache_params params = test_cache_params(HEADS, 8, 4, 3);
    struct test_kv kv = test_kv_make(60, HEADS, 20480, 8);
    float *const queries = make_queries(8);
    for (size_t i = 0; i < COUNT_OF(token_counts); i++) {
        struct answer answers[MODES] = { { 0, NULL, { 0.0f } } };
        for (size_t w = 0; w <= COUNT_OF(worker_counts); w++) {
            int32_t workers = worker_counts[w % COUNT_OF(worker_counts)];
            const quash_runner threads = test_threads(&workers);
            quash_context *const context =
                test_context(w < COUNT_OF(worker_counts) ? &threads : &backwards);
            quash_cache *const cache = test_cache(context, &params);
            CHECK_EQ(test_append(cache, &kv, 0, token_counts[i]), QUASH_OK);
            for (int32_t mode = 0; mode < MODES; mode++) {
                struct answer answer = attend(cache, mode, queries, NULL, 0);
                if (w == 0) {
                    answers[mode] = answer;
                } else {
                    CHECK(same_answer(&answers[mode], &answer));
                    free(answer.out);
                }
            }
            quash_cache_free(cache);
            quash_context_free(context);
        }
        for (int32_t mode = 0; mode < MODES; mode++) {
            free(answers[mode].out);
        }
    }
    free(queries);
    test_kv_free(&kv);
}

/* ---- Readers at once --------------------------------------------------------------------- */

#define READERS 4

struct reader {
    const quash_cache *cache;
    const float *queries;
    const struct answer *expected;
    const struct test_kv *decoded;
    void *workspace;
    size_t workspace_bytes;
    pthread_t thread;
};

static void *read_cache(void *argument) {
    const struct reader *const reader = argument;
    for (int round = 0; round < 4; round++) {
        struct answer answer = attend(reader->cache, QUASH_ATTEND_FAST, reader->queries,
                                      reader->workspace, reader->workspace_bytes);
        CHECK(same_answer(&answer, reader->expected));
        free(answer.out);
        struct test_kv decoded = test_decode(reader->cache);
        CHECK(test_kv_same(&decoded, reader->decoded));
        test_kv_free(&decoded);
        CHECK_EQ(quash_cache_tokens(reader->cache), TOKENS);
        CHECK(quash_cache_get_bytes(reader->cache).total > 0);
    }
    return NULL;
}

/* Half of them with a workspace of their own, half without. */
static void read_at_once(quash_context *context) {
    struct reader readers[READERS];
    const quash_cache_params params = test_cache_params(HEADS, 64, 4, 3);
    quash_cache *const cache = test_cache(context, &params);
    struct test_kv kv = test_kv_make(77, HEADS, TOKENS, 64);
    float *const queries = make_queries(64);
    CHECK_EQ(test_append(cache, &kv, 0, TOKENS), QUASH_OK);
    struct answer expected = attend(cache, QUASH_ATTEND_FAST, queries, NULL, 0);
    struct test_kv decoded = test_decode(cache);
    const size_t bytes = quash_cache_attend_workspace(cache);
    for (size_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){ cache, queries, &expected, &decoded, NULL, 0, 0 };
        if (i % 2 == 0) {
            readers[i].workspace = aligned_alloc(64, bytes);
            readers[i].workspace_bytes = bytes;
        }
    }
    for (size_t i = 0; i < READERS; i++) {
        CHECK_EQ(pthread_create(&readers[i].thread, NULL, read_cache, &readers[i]), 0);
    }
    for (size_t i = 0; i < READERS; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        free(readers[i].workspace);
    }
    free(expected.out);
    free(queries);
    test_kv_free(&decoded);
    test_kv_free(&kv);
    quash_cache_free(cache);
    quash_context_free(context);
}

TEST(threads_may_read_at_once) {
    int32_t workers = 3;
    const quash_runner runner = test_threads(&workers);
    read_at_once(test_context(NULL));
    read_at_once(test_context(&runner)); /* each reader with workers of its own */
    read_at_once(test_pool_context(3));  /* workers for one of the readers */
}

/* ---- Memory of attention ----------------------------------------------------------------- */

TEST(workspace_depends_on_head_dim_and_workers_only) {
    static const size_t dims[] = { 8, 64, 80, 576 };
    int32_t workers = 3;
    const quash_runner runner = test_threads(&workers);
    quash_context *const serial = test_context(NULL);
    quash_context *const threaded = test_context(&runner);
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        const quash_cache_params narrow = test_cache_params(1, dims[i], 2, 2);
        const quash_cache_params wide = test_cache_params(9, dims[i], 4, 3);
        quash_cache *const a = test_cache(serial, &narrow);
        quash_cache *const b = test_cache(serial, &wide);
        quash_cache *const c = test_cache(threaded, &narrow);
        struct test_kv kv = test_kv_make(i, 9, 200, dims[i]);
        const size_t empty = quash_cache_attend_workspace(b);
        CHECK_EQ(test_append(b, &kv, 0, 200), QUASH_OK);
        CHECK_EQ(quash_cache_attend_workspace(b), empty);
        CHECK_EQ(quash_cache_attend_workspace(a), empty);
        CHECK(quash_cache_attend_workspace(c) > empty);
        CHECK(quash_cache_attend_workspace(c) < 3 * empty);
        CHECK(empty % 64 == 0);
        /* 32 rows: a query as floats and as digits, an output here and in 6 slots, scores; and no
         * tile of floats. */
        CHECK(empty <= 32 * (9 * (dims[i] + 31) + 200) * sizeof(float));
        test_kv_free(&kv);
        quash_cache_free(a);
        quash_cache_free(b);
        quash_cache_free(c);
    }
    quash_context_free(serial);
    quash_context_free(threaded);
}

TEST(attention_allocates_nothing_when_given_a_workspace) {
    struct test_memory memory = { 0 };
    const quash_allocator allocator = test_counting_allocator(&memory);
    quash_context *const context = test_context_on(&allocator);
    const quash_cache_params params = test_cache_params(HEADS, 128, 4, 4);
    quash_cache *const cache = test_cache(context, &params);
    struct test_kv kv = test_kv_make(5, HEADS, TOKENS, 128);
    float *const queries = make_queries(128);
    CHECK_EQ(test_append(cache, &kv, 0, TOKENS), QUASH_OK);
    const size_t bytes = quash_cache_attend_workspace(cache);
    void *const workspace = aligned_alloc(64, bytes);
    memset(workspace, 0xFF, bytes); /* what it holds does not matter */
    const long before = atomic_load(&memory.calls);
    struct answer with = attend(cache, QUASH_ATTEND_FAST, queries, workspace, bytes);
    CHECK_EQ(atomic_load(&memory.calls), before);
    const long alive = atomic_load(&memory.bytes);
    struct answer without = attend(cache, QUASH_ATTEND_FAST, queries, NULL, 0);
    CHECK_EQ(atomic_load(&memory.calls), before + 1); /* the workspace */
    CHECK_EQ(atomic_load(&memory.bytes), alive);
    CHECK(same_answer(&with, &without));
    free(workspace);
    free(with.out);
    free(without.out);
    free(queries);
    test_kv_free(&kv);
    quash_cache_free(cache);
    quash_context_free(context);
    CHECK_EQ(atomic_load(&memory.blocks), 0);
    CHECK_EQ(atomic_load(&memory.wrong_sizes), 0);
}

int main(void) {
    RUN(splits_do_not_matter);
    RUN(workers_do_not_matter);
    RUN(workers_do_not_matter_to_long_contexts);
    RUN(threads_may_read_at_once);
    RUN(workspace_depends_on_head_dim_and_workers_only);
    RUN(attention_allocates_nothing_when_given_a_workspace);
    return test_report();
}
