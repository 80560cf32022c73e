/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that a cache survives a lack of memory: whichever allocation of create, append, attend and
 * decode fails, the call says MEMORY and for what, leaks nothing and leaves the cache as it was;
 * the same call then succeeds, and the cache holds the bytes of one that never ran out of memory.
 * Reset and free need no memory. */
#include "cache_support.h"
#include "fault/failing_allocator.h"

enum { HEADS = 2, DIM = 24, QUERIES = 3, TOKENS = 2500 };

struct state {
    struct failing_allocator failing;
    quash_context *context;
    quash_cache_params params;
    quash_cache *cache;
    struct test_kv kv;
    float out[HEADS * QUERIES * DIM];
    float lse[HEADS * QUERIES];
    float decoded[2][HEADS * QUERIES * DIM];
    void *workspace;
    size_t workspace_bytes;
};

static void setup(struct state *s, const quash_runner *runner, int32_t pool_threads) {
    memset(s, 0, sizeof *s);
    const quash_allocator allocator = failing_allocator_get(&s->failing);
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.allocator = &allocator;
    params.runner = runner;
    params.threads = pool_threads;
    CHECK_EQ(quash_context_create(&s->context, &params), QUASH_OK);
    s->params = test_cache_params(HEADS, DIM, 3, 4);
    s->params.search_level = 0;
    s->kv = test_kv_make(40, HEADS, TOKENS, DIM);
}

static void teardown(struct state *s) {
    quash_cache_free(s->cache);
    quash_context_free(s->context);
    test_kv_free(&s->kv);
    check_no_leak(&s->failing);
}

/* ---- The calls --------------------------------------------------------------------------- */

static quash_status create(void *state) {
    struct state *const s = state;
    return quash_cache_create(&s->cache, s->context, &s->params);
}

static quash_status attend(void *state) {
    struct state *const s = state;
    const quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    const quash_array queries = test_part(&s->kv, s->kv.keys, 0, QUERIES);
    const quash_array out = quash_array_view(s->out, QUASH_F32, 3, HEADS, QUERIES, DIM);
    const quash_array lse = quash_array_view(s->lse, QUASH_F32, 2, HEADS, QUERIES, 0);
    return quash_cache_attend(s->cache, &params, &queries, &out, &lse, s->workspace,
                              s->workspace_bytes);
}

static quash_status decode(void *state) {
    struct state *const s = state;
    const quash_array keys = quash_array_view(s->decoded[0], QUASH_F32, 3, HEADS, QUERIES, DIM);
    const quash_array values = quash_array_view(s->decoded[1], QUASH_F32, 3, HEADS, QUERIES, DIM);
    return quash_cache_decode(s->cache, 1, &keys, &values);
}

/* ---- Append ------------------------------------------------------------------------------ */

/* What allocation n (from 1) of an append is for: the list when it must grow, pages, scratch. */
static const char *purpose(bool grows, size_t pages, long n) {
    if (grows && n == 1) {
        return "the list of pages";
    }
    return (size_t)n <= pages + (grows ? 1 : 0) ? "a cache page" : "the scratch of append";
}

/* Appends with each allocation failing in turn. A longer list may stay; nothing else. */
static void append_against_failures(struct state *s, size_t count) {
    const size_t first = (size_t)quash_cache_tokens(s->cache);
    const size_t pages = (first + count + 63) / 64 - (first + 63) / 64;
    struct test_content content = test_content_take(s->cache);
    const int64_t capacity = s->cache->page_capacity;
    const long other =
        atomic_load(&s->failing.memory.bytes) - (long)quash_cache_get_bytes(s->cache).total;
    for (long n = 1;; n++) {
        const bool grows = s->cache->page_capacity < (int64_t)((first + count + 63) / 64);
        char message[128];
        atomic_store(&s->failing.until_failure, n);
        const quash_status status = test_append(s->cache, &s->kv, first, count);
        const bool failed = atomic_load(&s->failing.until_failure) == 0;
        atomic_store(&s->failing.until_failure, 0);
        CHECK_EQ(atomic_load(&s->failing.memory.bytes),
                 other + (long)quash_cache_get_bytes(s->cache).total);
        if (!failed) {
            CHECK_EQ(status, QUASH_OK);
            CHECK(n > 1);
            break;
        }
        (void)snprintf(message, sizeof message, "cannot allocate %zu bytes for %s",
                       s->failing.failed_size, purpose(grows, pages, n));
        CHECK_FAILS(status, QUASH_ERROR_MEMORY, message);
        CHECK(test_content_is(s->cache, &content));
    }
    CHECK(s->cache->page_capacity >= capacity);
    CHECK_EQ(quash_cache_tokens(s->cache), first + count);
    free(content.bytes);
}

/* The cache equals one that took the first `count` tokens at once, in a context without faults. */
static void check_content(const struct state *s, size_t count) {
    quash_context *const context = test_context(NULL);
    quash_cache *const cache = test_cache(context, &s->params);
    CHECK_EQ(test_append(cache, &s->kv, 0, count), QUASH_OK);
    struct test_content content = test_content_take(cache);
    CHECK(test_content_is(s->cache, &content));
    free(content.bytes);
    quash_cache_free(cache);
    quash_context_free(context);
}

/* ---- Tests ------------------------------------------------------------------------------- */

static bool all_zero(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (x[i] != 0.0f) {
            return false;
        }
    }
    return true;
}

static void read_against_failures(struct state *s) {
    static const char *const attend_names[] = { "the workspace of attend" };
    static const char *const decode_names[] = { "the scratch of decoding",
                                                "the scratch of decoding" };
    struct test_content content = test_content_take(s->cache);
    memset(s->out, 0, sizeof s->out);
    memset(s->lse, 0, sizeof s->lse);
    atomic_store(&s->failing.until_failure, 1);
    CHECK_EQ(attend(s), QUASH_ERROR_MEMORY);
    CHECK(all_zero(s->out, COUNT_OF(s->out)) && all_zero(s->lse, COUNT_OF(s->lse)));
    (void)fail_each_allocation(&s->failing, attend, s, attend_names, 1);
    CHECK(!all_zero(s->out, COUNT_OF(s->out)));

    s->workspace_bytes = quash_cache_attend_workspace(s->cache); /* with one: no allocation */
    s->workspace = aligned_alloc(64, s->workspace_bytes);
    (void)fail_each_allocation(&s->failing, attend, s, NULL, 0);
    free(s->workspace);
    s->workspace = NULL;

    (void)fail_each_allocation(&s->failing, decode, s, decode_names, 2);
    CHECK(test_content_is(s->cache, &content));
    free(content.bytes);
}

/* Makes any allocation fail, were there one. */
static void reset_without_memory(struct state *s) {
    atomic_store(&s->failing.until_failure, 1);
    quash_cache_reset(s->cache);
    CHECK_EQ(atomic_load(&s->failing.until_failure), 1);
    atomic_store(&s->failing.until_failure, 0);
    CHECK_EQ(quash_cache_tokens(s->cache), 0);
}

static void whole_life(const quash_runner *runner, int32_t pool_threads) {
    static const char *const create_names[] = { "the cache" };
    static const size_t counts[] = { 1, 62, 1, 1, 130, 5, 900, 0, 1400 }; /* the list grows twice */
    struct state s;
    setup(&s, runner, pool_threads);
    atomic_store(&s.failing.until_failure, 1);
    CHECK_EQ(create(&s), QUASH_ERROR_MEMORY);
    CHECK(s.cache == NULL);
    (void)fail_each_allocation(&s.failing, create, &s, create_names, 1);
    for (int round = 0; round < 2; round++) {
        size_t held = 0;
        for (size_t i = 0; i < COUNT_OF(counts); i++) {
            if (counts[i] > 0) {
                append_against_failures(&s, counts[i]);
            }
            held += counts[i];
            if (i % 4 == 3) {
                read_against_failures(&s);
            }
        }
        CHECK_EQ(held, TOKENS);
        check_content(&s, held);
        reset_without_memory(&s);
    }
    append_against_failures(&s, 70); /* free with tokens in it */
    atomic_store(&s.failing.until_failure, 1);
    quash_cache_free(s.cache);
    s.cache = NULL;
    CHECK_EQ(atomic_load(&s.failing.until_failure), 1);
    teardown(&s);
}

TEST(every_allocation_may_fail) {
    whole_life(NULL, 1);
}

TEST(every_allocation_may_fail_with_workers) {
    int32_t workers = 2;
    const quash_runner runner = test_threads(&workers);
    whole_life(&runner, 0);
}

TEST(every_allocation_may_fail_with_a_pool) {
    whole_life(NULL, 3);
}

int main(void) {
    RUN(every_allocation_may_fail);
    RUN(every_allocation_may_fail_with_workers);
    RUN(every_allocation_may_fail_with_a_pool);
    return test_report();
}
