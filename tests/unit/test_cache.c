/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what the cache says about itself: bytes by part, which sum to what the allocator gave and
 * follow the formula of doc/format.md; a reset gives the tokens' memory back and leaves a usable
 * cache; any range can be decoded, to any floating dtype and memory order; empty calls do
 * nothing. */
#include "cache_support.h"

struct fixture {
    struct test_memory memory;
    quash_context *context;
    long context_bytes;
};

/* Contexts take from an allocator that counts. */
static void setup(struct fixture *f) {
    memset(&f->memory, 0, sizeof f->memory);
    const quash_allocator allocator = test_counting_allocator(&f->memory);
    f->context = test_context_on(&allocator);
    f->context_bytes = atomic_load(&f->memory.bytes);
}

static void teardown(struct fixture *f) {
    CHECK_EQ(atomic_load(&f->memory.bytes), f->context_bytes);
    quash_context_free(f->context);
    CHECK_EQ(atomic_load(&f->memory.blocks), 0);
    CHECK_EQ(atomic_load(&f->memory.wrong_sizes), 0);
}

static size_t round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

/* ---- Bytes ------------------------------------------------------------------------------- */

/* The parts follow the formula, and the total is what the allocator measures. */
static void check_bytes(const struct fixture *f, const quash_cache *cache,
                        const quash_cache_params *params) {
    const quash_cache_bytes bytes = quash_cache_get_bytes(cache);
    const size_t dim = (size_t)params->head_dim;
    const size_t tokens = (size_t)quash_cache_tokens(cache);
    const size_t tiles = (tokens + 63) / 64 * (size_t)params->kv_heads;
    CHECK_EQ(bytes.key_codes, 64 * tiles * round_up(dim, 32) * (size_t)params->key_bits / 8);
    CHECK_EQ(bytes.value_codes, 64 * tiles * round_up(dim, 16) * (size_t)params->value_bits / 8);
    CHECK_EQ(bytes.scales, 64 * tiles * 4);
    CHECK_EQ(bytes.total, bytes.key_codes + bytes.value_codes + bytes.scales + bytes.tables);
    CHECK_EQ(bytes.total, atomic_load(&f->memory.bytes) - f->context_bytes);
    CHECK(bytes.tables > 0);
}

TEST(bytes_are_what_the_allocator_gave) {
    static const size_t dims[] = { 8, 16, 40, 48, 64, 80, 128, 576 };
    static const size_t counts[] = { 0, 1, 62, 1, 1, 63, 600, 295, 0, 1, 2 }; /* 1,024 and beyond */
    struct fixture f;
    setup(&f);
    for (size_t i = 0; i < COUNT_OF(dims) * 9; i++) {
        quash_cache_params params =
            test_cache_params(1 + i % 3, dims[i % COUNT_OF(dims)], 2 + (int32_t)(i % 9 % 3),
                              2 + (int32_t)(i % 9 / 3));
        params.search_level = 0;
        quash_cache *const cache = test_cache(f.context, &params);
        struct test_kv kv = test_kv_make(i, 1 + i % 3, 600, dims[i % COUNT_OF(dims)]);
        const size_t steps = i % 7 == 0 ? COUNT_OF(counts) : 6;
        for (size_t s = 0; s < steps; s++) {
            CHECK_EQ(test_append(cache, &kv, 0, counts[s]), QUASH_OK);
            check_bytes(&f, cache, &params);
        }
        test_kv_free(&kv);
        quash_cache_free(cache);
    }
    teardown(&f);
}

/* 4 and 4 bits of 128 dims: 132 bytes per token and KV head, of which 4 are scales. */
TEST(bytes_of_a_common_cache) {
    struct fixture f;
    setup(&f);
    const quash_cache_params params = test_cache_params(2, 128, 4, 4);
    quash_cache *const cache = test_cache(f.context, &params);
    struct test_kv kv = test_kv_make(3, 2, 65, 128);
    CHECK_EQ(test_append(cache, &kv, 0, 65), QUASH_OK);
    const quash_cache_bytes bytes = quash_cache_get_bytes(cache);
    CHECK_EQ(bytes.key_codes, 2 * 128 * 64);
    CHECK_EQ(bytes.value_codes, 2 * 128 * 64);
    CHECK_EQ(bytes.scales, 2 * 128 * 4);
    CHECK_EQ(bytes.total - bytes.tables, 2 * 128 * 132);
    test_kv_free(&kv);
    quash_cache_free(cache);
    teardown(&f);
}

/* ---- Reset ------------------------------------------------------------------------------- */

TEST(reset_gives_the_memory_back) {
    struct fixture f;
    setup(&f);
    const quash_cache_params params = test_cache_params(2, 40, 3, 2);
    quash_cache *const cache = test_cache(f.context, &params);
    const int64_t empty = quash_cache_get_bytes(cache).total;
    struct test_kv kv = test_kv_make(4, 2, 300, 40);
    struct test_content first = { 0, 0, NULL };
    quash_cache_reset(cache); /* of an empty cache */
    CHECK_EQ(quash_cache_get_bytes(cache).total, empty);
    int64_t after_first = 0;
    for (int round = 0; round < 3; round++) {
        CHECK_EQ(test_append(cache, &kv, 0, 300), QUASH_OK);
        if (round == 0) {
            first = test_content_take(cache);
        }
        CHECK(test_content_is(cache, &first));
        quash_cache_reset(cache);
        CHECK_EQ(quash_cache_tokens(cache), 0);
        check_bytes(&f, cache, &params); /* no codes, no scales */
        const int64_t total = quash_cache_get_bytes(cache).total;
        after_first = round == 0 ? total : after_first;
        CHECK_EQ(total, after_first);
        CHECK(total <= empty + 16 * (int64_t)sizeof(void *)); /* the list of pages */
    }
    free(first.bytes);
    test_kv_free(&kv);
    quash_cache_free(cache);
    teardown(&f);
}

/* ---- Decode ------------------------------------------------------------------------------ */

TEST(every_range_can_be_decoded) {
    struct fixture f;
    setup(&f);
    const quash_cache_params params = test_cache_params(2, 40, 3, 4);
    quash_cache *const cache = test_cache(f.context, &params);
    struct test_kv kv = test_kv_make(8, 2, 150, 40);
    CHECK_EQ(test_append(cache, &kv, 0, 150), QUASH_OK);
    struct test_kv all = test_decode(cache);
    for (size_t first = 0; first <= 150; first += 25) {
        for (size_t count = 0; first + count <= 150; count += 15) {
            struct test_tensor keys = test_tensor_make(TEST_PLAIN, QUASH_F32, 2, count, 40);
            struct test_tensor values = test_tensor_make(TEST_PADDED, QUASH_F32, 2, count, 40);
            const quash_array *const k = first % 50 == 0 ? &keys.view : NULL;
            const quash_array *const v = count % 2 == 0 ? &values.view : NULL;
            CHECK_EQ(quash_cache_decode(cache, (int64_t)first, k, v), QUASH_OK);
            for (size_t row = 0; row < 2 * count; row++) {
                const size_t at = (row / count * 150 + first + row % count) * 40;
                if (k != NULL) {
                    CHECK(memcmp(quash_array_row(k, (int64_t)(row / count), (int64_t)(row % count)),
                                 all.keys + at, 160) == 0);
                }
                if (v != NULL) {
                    CHECK(memcmp(quash_array_row(v, (int64_t)(row / count), (int64_t)(row % count)),
                                 all.values + at, 160) == 0);
                }
            }
            CHECK(test_tensor_gaps_intact(&values));
            free(keys.memory);
            free(values.memory);
        }
    }
    test_kv_free(&all);
    test_kv_free(&kv);
    quash_cache_free(cache);
    teardown(&f);
}

/* F16 and BF16 are F32 rounded once, in any order of memory. */
TEST(decoding_rounds_to_the_dtype) {
    struct fixture f;
    setup(&f);
    const quash_cache_params params = test_cache_params(3, 24, 4, 2);
    quash_cache *const cache = test_cache(f.context, &params);
    struct test_kv kv = test_kv_make(9, 3, 70, 24);
    CHECK_EQ(test_append(cache, &kv, 0, 70), QUASH_OK);
    struct test_kv all = test_decode(cache);
    for (int i = 0; i < 3 * TEST_ORDERS; i++) {
        const quash_dtype dtype = (quash_dtype)(i % 3);
        const enum test_order order = (enum test_order)(i / 3);
        struct test_tensor keys = test_tensor_make(order, dtype, 3, 70, 24);
        struct test_tensor expected = test_tensor_make(order, dtype, 3, 70, 24);
        struct test_kv copy = test_decode(cache);
        test_tensor_put(&expected, copy.keys);
        CHECK_EQ(quash_cache_decode(cache, 0, &keys.view, NULL), QUASH_OK);
        CHECK(memcmp(keys.memory, expected.memory, keys.size) == 0);
        test_kv_free(&copy);
        free(keys.memory);
        free(expected.memory);
    }
    test_kv_free(&all);
    test_kv_free(&kv);
    quash_cache_free(cache);
    teardown(&f);
}

/* Codes are made of the numbers: the dtype and memory order of keys and values do not matter. */
TEST(dtype_and_order_of_the_input_do_not_matter) {
    struct fixture f;
    setup(&f);
    const quash_cache_params params = test_cache_params(2, 40, 4, 3);
    struct test_kv kv = test_kv_make(10, 2, 100, 40);
    for (size_t i = 0; i < test_kv_size(&kv); i++) { /* whole numbers: exact in every dtype */
        kv.keys[i] = rintf(kv.keys[i] * 20.0f);
        kv.values[i] = rintf(kv.values[i] * 20.0f);
    }
    quash_cache *const plain = test_cache(f.context, &params);
    CHECK_EQ(test_append(plain, &kv, 0, 100), QUASH_OK);
    struct test_content content = test_content_take(plain);
    for (int i = 0; i < 9; i++) {
        for (int order = 0; order < TEST_ORDERS; order++) {
            const enum test_order other = (enum test_order)((order + i) % TEST_ORDERS);
            struct test_tensor keys =
                test_tensor_make((enum test_order)order, (quash_dtype)(i % 3), 2, 100, 40);
            struct test_tensor values = test_tensor_make(other, (quash_dtype)(i / 3), 2, 100, 40);
            quash_cache *const cache = test_cache(f.context, &params);
            test_tensor_put(&keys, kv.keys);
            test_tensor_put(&values, kv.values);
            CHECK_EQ(quash_cache_append(cache, &keys.view, &values.view), QUASH_OK);
            CHECK(test_content_is(cache, &content));
            quash_cache_free(cache);
            free(keys.memory);
            free(values.memory);
        }
    }
    free(content.bytes);
    test_kv_free(&kv);
    quash_cache_free(plain);
    teardown(&f);
}

/* ---- Empty calls ------------------------------------------------------------------------- */

TEST(empty_calls_do_nothing) {
    struct fixture f;
    setup(&f);
    const quash_cache_params params = test_cache_params(2, 40, 3, 2);
    const quash_attend_params attend = QUASH_ATTEND_PARAMS_INIT;
    quash_cache *const cache = test_cache(f.context, &params);
    const quash_array none = quash_array_view(NULL, QUASH_F16, 3, 2, 0, 40);
    quash_array flat = none; /* what has no element has no two that overlap */
    flat.stride[0] = 0;
    const quash_array no_lse = quash_array_view(NULL, QUASH_F32, 2, 2, 0, 0);
    struct test_kv kv = test_kv_make(8, 2, 10, 40);
    quash_cache_free(NULL);
    for (int round = 0; round < 2; round++) {
        const long calls = atomic_load(&f.memory.calls);
        struct test_content content = test_content_take(cache);
        CHECK_EQ(quash_cache_append(cache, &none, &none), QUASH_OK);
        CHECK_EQ(quash_cache_attend(cache, &attend, &none, &none, NULL, NULL, 0), QUASH_OK);
        CHECK_EQ(quash_cache_attend(cache, &attend, &none, &none, &no_lse, NULL, 0), QUASH_OK);
        CHECK_EQ(quash_cache_decode(cache, 0, NULL, NULL), QUASH_OK);
        CHECK_EQ(atomic_load(&f.memory.calls), calls);
        CHECK_EQ(quash_cache_decode(cache, round * 10, &none, &none), QUASH_OK);
        CHECK_EQ(quash_cache_decode(cache, round * 10, &flat, &flat), QUASH_OK);
        CHECK(test_content_is(cache, &content));
        free(content.bytes);
        CHECK_EQ(test_append(cache, &kv, 0, 10), QUASH_OK);
    }
    test_kv_free(&kv);
    quash_cache_free(cache);
    teardown(&f);
}

int main(void) {
    RUN(bytes_are_what_the_allocator_gave);
    RUN(bytes_of_a_common_cache);
    RUN(reset_gives_the_memory_back);
    RUN(every_range_can_be_decoded);
    RUN(decoding_rounds_to_the_dtype);
    RUN(dtype_and_order_of_the_input_do_not_matter);
    RUN(empty_calls_do_nothing);
    return test_report();
}
