/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that KV heads do not notice each other: attention over many heads, which a task may take up
 * to 8 at a time, gives each of them the bits that it has in a cache of its own. */
#include "cache_support.h"

#define DIM 48
#define TOKENS 4500 /* two ranges, the last tile open */
#define GROUP_MAX 5
#define HEADS_MAX 17

static void attend(const quash_cache *cache, int32_t mode, const float *queries, size_t heads,
                   float *out) {
    quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    params.mode = mode;
    const quash_array q = quash_array_view(queries, QUASH_F32, 3, (int64_t)heads, 1, DIM);
    const quash_array to = quash_array_view(out, QUASH_F32, 3, (int64_t)heads, 1, DIM);
    CHECK_EQ(quash_cache_attend(cache, &params, &q, &to, NULL, NULL, 0), QUASH_OK);
}

static void check_heads(quash_context *context, struct test_kv *kv, const float *queries) {
    static float out[HEADS_MAX * GROUP_MAX * DIM];
    static float alone[GROUP_MAX * DIM];
    const quash_cache_params all = test_cache_params(kv->heads, DIM, 4, 3);
    const quash_cache_params one = test_cache_params(1, DIM, 4, 3);
    quash_cache *const cache = test_cache(context, &all);
    CHECK_EQ(test_append(cache, kv, 0, TOKENS), QUASH_OK);
    for (size_t h = 0; h < kv->heads; h++) {
        const size_t at = h * TOKENS * DIM;
        const struct test_kv head = { 1, TOKENS, DIM, kv->keys + at, kv->values + at };
        quash_cache *const single = test_cache(context, &one);
        CHECK_EQ(test_append(single, &head, 0, TOKENS), QUASH_OK);
        for (size_t group = 1; group <= GROUP_MAX; group++) {
            for (int32_t mode = QUASH_ATTEND_FAST; mode <= QUASH_ATTEND_EXACT; mode++) {
                attend(cache, mode, queries, kv->heads * group, out);
                attend(single, mode, queries + h * group * DIM, group, alone);
                CHECK(memcmp(out + h * group * DIM, alone, group * DIM * sizeof *out) == 0);
            }
        }
        quash_cache_free(single);
    }
    quash_cache_free(cache);
}

TEST(heads_do_not_notice_each_other) {
    static const size_t head_counts[] = { 2, 3, 8, 11, HEADS_MAX };
    static float queries[HEADS_MAX * GROUP_MAX * DIM];
    struct test_rng rng = test_rng_start(9);
    test_fill_gaussian(&rng, queries, COUNT_OF(queries));
    quash_context *const serial = test_context(NULL);
    quash_context *const parallel = test_pool_context(2);
    for (size_t i = 0; i < COUNT_OF(head_counts); i++) {
        struct test_kv kv = test_kv_make(i, head_counts[i], TOKENS, DIM);
        check_heads(i % 2 == 0 ? serial : parallel, &kv, queries);
        test_kv_free(&kv);
    }
    quash_context_free(serial);
    quash_context_free(parallel);
}

int main(void) {
    RUN(heads_do_not_notice_each_other);
    return test_report();
}
