/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that the host's floating-point state neither reaches a cache nor is changed by it: with
 * flush to zero, denormals-are-zero and rounding toward zero set on the calling thread and on every
 * worker, caches hold the same bytes, decode and attend to the same bits, and the state stays. */
#include "hostile_state.h"

#include "cache_support.h"

enum { HEADS = 2, DIM = 72, TOKENS = 130, QUERIES = 3 };

struct result {
    struct test_content content;
    struct test_kv decoded;
    quash_status status[3];
    float out[HEADS * 2 * QUERIES * DIM];
    float lse[HEADS * 2 * QUERIES];
};

/* Ordinary vectors, and ones whose coordinates or scales are denormal. */
static struct test_kv make_kv(void) {
    struct test_kv kv = test_kv_make(90, HEADS, TOKENS, DIM);
    static const float factors[] = { 1.0f, 1.0f, 0x1p-130f, 0x1p-15f, 0x1p-23f };
    for (size_t i = 0; i < test_kv_size(&kv); i++) {
        kv.keys[i] *= factors[i / DIM % 5];
        kv.values[i] *= factors[(i / DIM + 2) % 5];
    }
    return kv;
}

/* In whatever state the thread is; checks come later, in the ordinary one. */
static void work(quash_context *context, const struct test_kv *kv, const float *queries,
                 float scale, quash_cache **cache, struct result *result) {
    const quash_cache_params params = test_cache_params(HEADS, DIM, 3, 4);
    quash_attend_params attend = QUASH_ATTEND_PARAMS_INIT;
    attend.scale = scale;
    const quash_array q = quash_array_view(queries, QUASH_F32, 3, HEADS * 2, QUERIES, DIM);
    const quash_array out = quash_array_view(result->out, QUASH_F32, 3, HEADS * 2, QUERIES, DIM);
    const quash_array lse = quash_array_view(result->lse, QUASH_F32, 2, HEADS * 2, QUERIES, 0);
    result->status[0] = quash_cache_create(cache, context, &params);
    if (result->status[0] == QUASH_OK) {
        result->status[1] = test_append(*cache, kv, 0, TOKENS);
        result->status[2] = quash_cache_attend(*cache, &attend, &q, &out, &lse, NULL, 0);
        result->content = test_content_take(*cache);
        result->decoded = test_decode(*cache);
    }
}

static void free_result(struct result *result) {
    free(result->content.bytes);
    test_kv_free(&result->decoded);
}

static void compare(quash_context *friendly, quash_context *hostile, float scale) {
    static struct result expected;
    static struct result found;
    quash_cache *cache = NULL;
    quash_cache *other = NULL;
    struct test_kv kv = make_kv();
    struct test_rng rng = test_rng_start(91);
    float queries[HEADS * 2 * QUERIES * DIM];
    test_fill_gaussian(&rng, queries, COUNT_OF(queries));
    work(friendly, &kv, queries, scale, &cache, &expected);
    const uint64_t before = get_state();
    set_state(hostile_state());
    work(hostile, &kv, queries, scale, &other, &found);
    const uint64_t after = get_state();
    set_state(before);
    CHECK(after == hostile_state());
    for (size_t i = 0; i < COUNT_OF(found.status); i++) {
        CHECK_EQ(expected.status[i], QUASH_OK);
        CHECK_EQ(found.status[i], QUASH_OK);
    }
    CHECK(test_content_same(&expected.content, &found.content));
    CHECK(test_kv_same(&expected.decoded, &found.decoded));
    CHECK(memcmp(expected.out, found.out, sizeof found.out) == 0);
    CHECK(memcmp(expected.lse, found.lse, sizeof found.lse) == 0);
    free_result(&expected);
    free_result(&found);
    test_kv_free(&kv);
    quash_cache_free(cache);
    quash_cache_free(other);
}

/* The default scale is 1/sqrt(72), which is rounded; a denormal scale is no 0. */
static const float scales[] = { 0.0f, 0.3f, 0x1p-140f };

TEST(the_calling_thread_may_be_hostile) {
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        compare(context, context, scales[i]);
    }
    quash_context_free(context);
}

TEST(worker_threads_may_be_hostile) {
    int32_t workers = 3;
    const quash_runner runner = { &workers, workers, hostile_run };
    quash_context *const friendly = test_context(NULL);
    quash_context *const hostile = test_context(&runner);
    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        compare(friendly, hostile, scales[i]);
    }
    CHECK(atomic_load(&guarded_tasks) > 0);
    CHECK_EQ(atomic_load(&changed_states), 0);
    quash_context_free(friendly);
    quash_context_free(hostile);
}

int main(void) {
    RUN(the_calling_thread_may_be_hostile);
    RUN(worker_threads_may_be_hostile);
    return test_report();
}
