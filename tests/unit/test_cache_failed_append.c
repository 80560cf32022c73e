/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that appending is all or nothing: an append refused for NaN, infinity or a scale beyond
 * binary16 says where, and leaves every byte of the cache as it was; what is appended afterwards
 * gives the bytes it would have given without it. */
#include "cache_support.h"

#define HEADS 3
#define DIM 40

struct fixture {
    struct test_memory memory;
    quash_context *context;
    quash_cache *cache;
    struct test_kv kv;
    size_t held; /* tokens appended so far */
};

/* A cache that holds the first `held` of 400 tokens. */
static void setup(struct fixture *f, const quash_runner *runner, size_t held) {
    const quash_cache_params params = test_cache_params(HEADS, DIM, 3, 2);
    memset(&f->memory, 0, sizeof f->memory);
    const quash_allocator allocator = test_counting_allocator(&f->memory);
    quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
    context_params.allocator = &allocator;
    context_params.runner = runner;
    CHECK_EQ(quash_context_create(&f->context, &context_params), QUASH_OK);
    f->cache = test_cache(f->context, &params);
    f->kv = test_kv_make(60, HEADS, 400, DIM);
    f->held = held;
    CHECK_EQ(test_append(f->cache, &f->kv, 0, held), QUASH_OK);
}

static void teardown(struct fixture *f) {
    test_kv_free(&f->kv);
    quash_cache_free(f->cache);
    quash_context_free(f->context);
    CHECK_EQ(atomic_load(&f->memory.blocks), 0);
    CHECK_EQ(atomic_load(&f->memory.wrong_sizes), 0);
}

/* Attention of one query per KV head. */
static void attend(const quash_cache *cache, const struct test_kv *kv, float out[HEADS * DIM]) {
    const quash_attend_params params = QUASH_ATTEND_PARAMS_INIT;
    const quash_array queries = test_part(kv, kv->keys, 0, 1);
    const quash_array view = quash_array_view(out, QUASH_F32, 3, HEADS, 1, DIM);
    CHECK_EQ(quash_cache_attend(cache, &params, &queries, &view, NULL, NULL, 0), QUASH_OK);
}

/* The next `count` tokens are refused with this message, and nothing changes. */
static void check_refused(struct fixture *f, size_t count, const char *message) {
    float before[HEADS * DIM] = { 0.0f };
    float after[HEADS * DIM] = { 0.0f };
    struct test_content content = test_content_take(f->cache);
    struct test_kv decoded = test_decode(f->cache);
    const quash_cache_bytes bytes = quash_cache_get_bytes(f->cache);
    const long tables = atomic_load(&f->memory.bytes) - (long)bytes.total; /* of the context */
    if (f->held > 0) {
        attend(f->cache, &f->kv, before);
    }
    CHECK_FAILS(test_append(f->cache, &f->kv, f->held, count), QUASH_ERROR_ARGUMENT, message);
    struct test_kv decoded_after = test_decode(f->cache);
    const quash_cache_bytes bytes_after = quash_cache_get_bytes(f->cache);
    if (f->held > 0) {
        attend(f->cache, &f->kv, after);
    }
    CHECK(test_content_is(f->cache, &content));
    CHECK(test_kv_same(&decoded, &decoded_after));
    CHECK(memcmp(before, after, sizeof before) == 0);
    CHECK_EQ(bytes_after.key_codes, bytes.key_codes);
    CHECK_EQ(bytes_after.value_codes, bytes.value_codes);
    CHECK_EQ(bytes_after.scales, bytes.scales);
    CHECK_EQ(atomic_load(&f->memory.bytes) - (long)bytes_after.total, tables);
    free(content.bytes);
    test_kv_free(&decoded);
    test_kv_free(&decoded_after);
}

/* One element of the tokens to come. */
static float *at(const struct fixture *f, float *rows, size_t head, size_t token, size_t column) {
    return rows + (head * f->kv.tokens + f->held + token) * DIM + column;
}

/* What another cache holds that never saw the failure. */
static void check_later_append(struct fixture *f, size_t count) {
    const quash_cache_params params = test_cache_params(HEADS, DIM, 3, 2);
    quash_cache *const other = test_cache(f->context, &params);
    CHECK_EQ(test_append(other, &f->kv, 0, f->held + count), QUASH_OK);
    CHECK_EQ(test_append(f->cache, &f->kv, f->held, count), QUASH_OK);
    struct test_content content = test_content_take(other);
    CHECK(test_content_is(f->cache, &content));
    CHECK_EQ(quash_cache_tokens(f->cache), f->held + count);
    free(content.bytes);
    quash_cache_free(other);
}

/* ---- A scale beyond binary16 ------------------------------------------------------------- */

static void check_overflow(const quash_runner *runner, size_t held, size_t count) {
    struct fixture f;
    char message[128];
    setup(&f, runner, held);
    float *const rows[2] = { f.kv.keys, f.kv.values };
    const size_t tokens[] = { 0, count / 2, count - 1 };
    for (size_t i = 0; i < 2 * COUNT_OF(tokens); i++) {
        const size_t token = tokens[i / 2];
        float *const bad = at(&f, rows[i % 2], 1, token, 7);
        float *const worse = at(&f, rows[(i + 1) % 2], 2, 0, 0); /* later in order: not reported */
        const float kept[2] = { *bad, *worse };
        *bad = i % 3 == 0 ? 3e38f : -1e6f;
        *worse = 1e30f;
        (void)snprintf(message, sizeof message,
                       "keys or values: the scale of head 1, token %zu exceeds binary16 (65504)",
                       token);
        check_refused(&f, count, message);
        *bad = kept[0];
        *worse = kept[1];
    }
    check_later_append(&f, count);
    teardown(&f);
}

TEST(a_scale_beyond_binary16_changes_nothing) {
    static const size_t held[] = { 0, 1, 63, 64, 70, 127 };
    static const size_t counts[] = { 1, 2, 58, 130 };
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        for (size_t k = 0; k < COUNT_OF(counts); k++) {
            check_overflow(NULL, held[i], counts[k]);
        }
    }
}

TEST(workers_report_the_same) {
    int32_t workers = 3;
    const quash_runner runner = test_threads(&workers);
    check_overflow(&runner, 70, 200);
}

/* A scale is about |x|/sqrt(dim): 50,000 in every column fits, 90,000 does not. */
TEST(the_limit_is_that_of_binary16) {
    struct fixture f;
    setup(&f, NULL, 0);
    for (size_t i = 0; i < DIM; i++) {
        *at(&f, f.kv.keys, 0, 0, i) = i % 2 ? 50000.0f : -50000.0f;
    }
    CHECK_EQ(test_append(f.cache, &f.kv, 0, 1), QUASH_OK);
    quash_cache_reset(f.cache);
    for (size_t i = 0; i < DIM; i++) {
        *at(&f, f.kv.keys, 0, 0, i) = i % 2 ? 90000.0f : -90000.0f;
    }
    check_refused(&f, 1, "keys or values: the scale of head 0, token 0 exceeds binary16 (65504)");
    teardown(&f);
}

/* ---- NaN and infinity -------------------------------------------------------------------- */

TEST(nan_and_infinity_change_nothing) {
    static const float bad[] = { NAN, INFINITY, -INFINITY, -NAN };
    struct fixture f;
    char message[128];
    setup(&f, NULL, 70);
    for (size_t i = 0; i < 2 * COUNT_OF(bad) * 3; i++) {
        const size_t head = i % HEADS;
        const size_t token = i * 5;
        const size_t column = (i * 17 + DIM - 1) % DIM;
        const bool key = i % 2 == 0;
        float *const first = at(&f, key ? f.kv.keys : f.kv.values, head, token, column);
        float *const later = at(&f, f.kv.values, 2, 129, DIM - 1);
        const float kept[2] = { *first, *later };
        *first = bad[i % COUNT_OF(bad)];
        *later = NAN; /* keys come before values, and all in order */
        (void)snprintf(message, sizeof message,
                       "%s: NaN or infinity in head %zu, token %zu, column %zu",
                       key ? "keys" : "values", head, token, column);
        check_refused(&f, 130, message);
        *first = kept[0];
        *later = kept[1];
    }
    check_later_append(&f, 130);
    teardown(&f);
}

/* The same in binary16 and bfloat16; the largest finite number is no infinity. */
TEST(nan_and_infinity_are_found_in_every_dtype) {
    static const uint16_t f16_bad[] = { 0x7C00, 0xFC00, 0x7C01, 0x7E00, 0xFFFF };
    static const uint16_t bf16_bad[] = { 0x7F80, 0xFF80, 0x7F81, 0x7FC0, 0xFFFF };
    struct fixture f;
    setup(&f, NULL, 10);
    static uint16_t halves[HEADS * 2 * DIM];
    struct test_content content = test_content_take(f.cache);
    for (size_t i = 0; i < 2 * COUNT_OF(f16_bad); i++) {
        const bool f16 = i % 2 == 0;
        const quash_array view =
            quash_array_view(halves, f16 ? QUASH_F16 : QUASH_BF16, 3, HEADS, 2, DIM);
        halves[5 * DIM + 39] = f16 ? f16_bad[i / 2] : bf16_bad[i / 2];
        CHECK_FAILS(quash_cache_append(f.cache, &view, &view), QUASH_ERROR_ARGUMENT,
                    "keys: NaN or infinity in head 2, token 1, column 39");
        CHECK(test_content_is(f.cache, &content));
    }
    halves[5 * DIM + 39] = 0x7BFF; /* 65504: the scale of the row is a sixth of it */
    const quash_array view = quash_array_view(halves, QUASH_F16, 3, HEADS, 2, DIM);
    CHECK_EQ(quash_cache_append(f.cache, &view, &view), QUASH_OK);
    free(content.bytes);
    teardown(&f);
}

int main(void) {
    RUN(a_scale_beyond_binary16_changes_nothing);
    RUN(workers_report_the_same);
    RUN(the_limit_is_that_of_binary16);
    RUN(nan_and_infinity_change_nothing);
    RUN(nan_and_infinity_are_found_in_every_dtype);
    return test_report();
}
