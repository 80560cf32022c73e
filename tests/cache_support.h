/* SPDX-License-Identifier: Apache-2.0 */
/* cache_support.h: what the tests of the cache share: keys and values, arrays in every memory order
 * and dtype, and the whole content of a cache as bytes. */
#ifndef QUASH_TESTS_CACHE_SUPPORT_H
#define QUASH_TESTS_CACHE_SUPPORT_H

#include <quash/cache.h>

#include "base/array.h"
#include "base/half.h"
#include "store/cache.h"
#include "support.h"

/* ---- Contexts and caches ----------------------------------------------------------------- */

static inline quash_cache_params test_cache_params(size_t heads, size_t dim, int32_t key_bits,
                                                   int32_t value_bits) {
    quash_cache_params params = QUASH_CACHE_PARAMS_INIT;
    params.kv_heads = (int32_t)heads;
    params.head_dim = (int32_t)dim;
    params.key_bits = key_bits;
    params.value_bits = value_bits;
    return params;
}

static inline quash_cache *test_cache(quash_context *context, const quash_cache_params *params) {
    quash_cache *cache = NULL;
    if (!CHECK_EQ(quash_cache_create(&cache, context, params), QUASH_OK)) {
        printf("%s\n", quash_last_message());
        exit(1);
    }
    return cache;
}

/* A context that takes its memory from an allocator. */
static inline quash_context *test_context_on(const quash_allocator *allocator) {
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.allocator = allocator;
    quash_context *context = NULL;
    if (!CHECK_EQ(quash_context_create(&context, &params), QUASH_OK)) {
        exit(1);
    }
    return context;
}

/* ---- Keys and values --------------------------------------------------------------------- */

struct test_kv {
    size_t heads;
    size_t tokens;
    size_t dim;
    float *keys; /* [heads][tokens][dim] */
    float *values;
};

static inline size_t test_kv_size(const struct test_kv *kv) {
    return kv->heads * kv->tokens * kv->dim;
}

/* Standard normal. */
static inline struct test_kv test_kv_make(uint64_t seed, size_t heads, size_t tokens, size_t dim) {
    struct test_kv kv = { heads, tokens, dim, NULL, NULL };
    struct test_rng rng = test_rng_start(seed);
    kv.keys = test_alloc(test_kv_size(&kv) * sizeof(float));
    kv.values = test_alloc(test_kv_size(&kv) * sizeof(float));
    test_fill_gaussian(&rng, kv.keys, test_kv_size(&kv));
    test_fill_gaussian(&rng, kv.values, test_kv_size(&kv));
    return kv;
}

static inline void test_kv_free(struct test_kv *kv) {
    free(kv->keys);
    free(kv->values);
}

/* A part of the tokens of rows [heads][tokens][dim]. */
static inline quash_array test_part(const struct test_kv *kv, float *rows, size_t first,
                                    size_t count) {
    quash_array view = quash_array_view(rows + first * kv->dim, QUASH_F32, 3, (int64_t)kv->heads,
                                        (int64_t)count, (int64_t)kv->dim);
    view.stride[0] = (int64_t)((kv->tokens > 0 ? kv->tokens : 1) * kv->dim);
    return view;
}

static inline quash_status test_append(quash_cache *cache, const struct test_kv *kv, size_t first,
                                       size_t count) {
    const quash_array keys = test_part(kv, kv->keys, first, count);
    const quash_array values = test_part(kv, kv->values, first, count);
    return quash_cache_append(cache, &keys, &values);
}

/* All tokens of a cache, decoded. */
static inline struct test_kv test_decode(const quash_cache *cache) {
    struct test_kv kv = { (size_t)cache->params.kv_heads, (size_t)quash_cache_tokens(cache),
                          (size_t)cache->params.head_dim, NULL, NULL };
    kv.keys = test_alloc(test_kv_size(&kv) * sizeof(float));
    kv.values = test_alloc(test_kv_size(&kv) * sizeof(float));
    const quash_array keys = test_part(&kv, kv.keys, 0, kv.tokens);
    const quash_array values = test_part(&kv, kv.values, 0, kv.tokens);
    CHECK_EQ(quash_cache_decode(cache, 0, &keys, &values), QUASH_OK);
    return kv;
}

static inline bool test_kv_same(const struct test_kv *a, const struct test_kv *b) {
    return a->heads == b->heads && a->tokens == b->tokens && a->dim == b->dim &&
           memcmp(a->keys, b->keys, test_kv_size(a) * sizeof(float)) == 0 &&
           memcmp(a->values, b->values, test_kv_size(a) * sizeof(float)) == 0;
}

/* ---- Everything a cache holds ------------------------------------------------------------ */

struct test_content {
    int64_t tokens;
    size_t size;
    uint8_t *bytes; /* of all pages */
};

static inline struct test_content test_content_take(const quash_cache *cache) {
    const size_t page = cache->layout.bytes * (size_t)cache->params.kv_heads;
    struct test_content content = { cache->tokens, page * (size_t)cache->page_count, NULL };
    content.bytes = test_alloc(content.size);
    for (int64_t p = 0; p < cache->page_count; p++) {
        memcpy(content.bytes + (size_t)p * page, cache->pages[p], page);
    }
    return content;
}

static inline bool test_content_same(const struct test_content *a, const struct test_content *b) {
    return a->tokens == b->tokens && a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* Whether the cache holds just this. */
static inline bool test_content_is(const quash_cache *cache, const struct test_content *expected) {
    struct test_content content = test_content_take(cache);
    const bool same = test_content_same(&content, expected);
    free(content.bytes);
    return same;
}

/* ---- Arrays in every memory order and dtype ---------------------------------------------- */

enum test_order {
    TEST_PLAIN,
    TEST_MIDDLE_FIRST, /* memory is [middle][outer][dim], as a model's (tokens, heads, dim) */
    TEST_PADDED,       /* rows 3 elements apart, outer 5 more, and one byte off alignment */
    TEST_REVERSED,     /* negative strides */
    TEST_ORDERS
};

/* Owns the memory of an array (outer, middle, dim); what the array does not cover is 0xFF bytes,
 * NaN in every dtype. */
struct test_tensor {
    unsigned char *memory;
    size_t size;
    quash_array view;
};

static inline struct test_tensor test_tensor_make(enum test_order order, quash_dtype dtype,
                                                  size_t outer, size_t middle, size_t dim) {
    struct test_tensor tensor;
    const size_t pad = order == TEST_PADDED ? 3 : 0;
    const int64_t pitch = (int64_t)(dim + pad);
    const int64_t block =
        (int64_t)(middle > 0 ? middle : 1) * pitch + (order == TEST_PADDED ? 5 : 0);
    tensor.view = quash_array_view(NULL, dtype, 3, (int64_t)outer, (int64_t)middle, (int64_t)dim);
    tensor.view.stride[0] = order == TEST_MIDDLE_FIRST ? pitch : block;
    tensor.view.stride[1] = order == TEST_MIDDLE_FIRST ? (int64_t)outer * pitch : pitch;
    const size_t bytes = quash_dtype_bytes((int32_t)dtype);
    tensor.size = outer * (size_t)block * bytes + 1;
    tensor.memory = test_alloc(tensor.size);
    memset(tensor.memory, 0xFF, tensor.size);
    tensor.view.data = tensor.memory + (order == TEST_PADDED ? 1 : 0);
    if (order == TEST_REVERSED && outer > 0 && middle > 0) {
        const size_t last = (outer - 1) * (size_t)block + (middle - 1) * (size_t)pitch;
        tensor.view.data = tensor.memory + last * bytes;
        tensor.view.stride[0] = -block;
        tensor.view.stride[1] = -pitch;
    }
    return tensor;
}

/* Stores rows [outer][middle][dim], and leaves in rows what the dtype made of them. */
static inline void test_tensor_put(struct test_tensor *tensor, float *rows) {
    const quash_array *const view = &tensor->view;
    for (int64_t row = 0; row < view->shape[0] * view->shape[1]; row++) {
        unsigned char *const target =
            quash_array_row(view, row / view->shape[1], row % view->shape[1]);
        for (int64_t i = 0; i < view->shape[2]; i++) {
            float *const x = rows + row * view->shape[2] + i;
            if (view->dtype == QUASH_F32) {
                memcpy(target + 4 * i, x, sizeof *x);
                continue;
            }
            const bool f16 = view->dtype == QUASH_F16;
            const uint16_t half = f16 ? quash_f32_to_f16(*x) : quash_f32_to_bf16(*x);
            memcpy(target + 2 * i, &half, sizeof half);
            *x = f16 ? quash_f16_to_f32(half) : quash_bf16_to_f32(half);
        }
    }
}

/* Reads one element. */
static inline float test_tensor_at(const struct test_tensor *tensor, size_t outer, size_t middle,
                                   size_t column) {
    const unsigned char *const row =
        quash_array_row(&tensor->view, (int64_t)outer, (int64_t)middle);
    float x;
    uint16_t half;
    if (tensor->view.dtype == QUASH_F32) {
        memcpy(&x, row + 4 * column, sizeof x);
        return x;
    }
    memcpy(&half, row + 2 * column, sizeof half);
    return tensor->view.dtype == QUASH_F16 ? quash_f16_to_f32(half) : quash_bf16_to_f32(half);
}

/* Whether all that the array does not cover still is 0xFF. Overwrites what it covers. */
static inline bool test_tensor_gaps_intact(struct test_tensor *tensor) {
    const quash_array *const view = &tensor->view;
    const size_t row_bytes = (size_t)view->shape[2] * quash_dtype_bytes(view->dtype);
    for (int64_t row = 0; row < view->shape[0] * view->shape[1]; row++) {
        memset(quash_array_row(view, row / view->shape[1], row % view->shape[1]), 0xFF, row_bytes);
    }
    for (size_t i = 0; i < tensor->size; i++) {
        if (tensor->memory[i] != 0xFF) {
            return false;
        }
    }
    return true;
}

#endif
