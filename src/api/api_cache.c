/* SPDX-License-Identifier: Apache-2.0 */
/* api_cache.c: the public cache: validation, then src/store and src/cpu. */
#include "api/check.h"
#include "base/array.h"
#include "base/half.h"
#include "base/status.h"
#include "cpu/rows.h"
#include "store/cache.h"

static quash_status check_params(const quash_cache_params *params) {
    QUASH_TRY(quash_check_range("kv_heads", params->kv_heads, 1, QUASH_KV_HEADS_MAX));
    QUASH_TRY(quash_check_range("head_dim", params->head_dim, 8, QUASH_HEAD_DIM_MAX));
    if (params->head_dim % 8 != 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "head_dim is %d, expected a multiple of 8",
                          (int)params->head_dim);
    }
    QUASH_TRY(quash_check_range("key_bits", params->key_bits, 2, 4));
    QUASH_TRY(quash_check_range("value_bits", params->value_bits, 2, 4));
    return quash_check_range("search_level", params->search_level, 0, 2);
}

quash_status quash_cache_create(quash_cache **out, quash_context *context,
                                const quash_cache_params *params) {
    QUASH_TRY(quash_check_create(out, context, params, params == NULL ? 0 : params->struct_size,
                                 sizeof *params));
    QUASH_TRY(check_params(params));
    return quash_cache_make(out, context, params);
}

void quash_cache_free(quash_cache *cache) {
    if (cache != NULL) {
        quash_cache_destroy(cache);
    }
}

int64_t quash_cache_tokens(const quash_cache *cache) {
    return cache->tokens;
}

void quash_cache_reset(quash_cache *cache) {
    quash_cache_drop_pages(cache, 0);
    cache->tokens = 0;
}

static quash_status check_finite(const quash_context *context, const quash_array *array,
                                 const char *name, const char *second) {
    int64_t at[3];
    if (quash_cpu_find_nonfinite(context, array, at)) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "%s: NaN or infinity in head %lld, %s %lld, column %lld", name,
                          (long long)at[0], second, (long long)at[1], (long long)at[2]);
    }
    return QUASH_OK;
}

quash_status quash_cache_append(quash_cache *cache, const quash_array *keys,
                                const quash_array *values) {
    int64_t expected[3] = { cache->params.kv_heads, -1, cache->params.head_dim };
    QUASH_TRY(quash_array_check(keys, "keys", QUASH_FLOATS, 3, expected));
    expected[1] = keys->shape[1];
    QUASH_TRY(quash_array_check(values, "values", QUASH_FLOATS, 3, expected));
    if (keys->shape[1] > QUASH_CACHE_TOKENS_MAX - cache->tokens) {
        return quash_fail(
            QUASH_ERROR_CAPACITY, "%lld tokens beyond the %lld held exceed the limit of %lld",
            (long long)keys->shape[1], (long long)cache->tokens, (long long)QUASH_CACHE_TOKENS_MAX);
    }
    if (keys->shape[1] == 0) {
        return QUASH_OK;
    }
    QUASH_TRY(check_finite(cache->context, keys, "keys", "token"));
    QUASH_TRY(check_finite(cache->context, values, "values", "token"));
    return quash_cache_push(cache, keys, values);
}

size_t quash_cache_attend_workspace(const quash_cache *cache) {
    return quash_cpu_attend_workspace(cache->context, &cache->layout, false);
}

/* Shapes of queries, out and lse. */
static quash_status check_attend_arrays(const quash_cache *cache, const quash_array *queries,
                                        const quash_array *out, const quash_array *lse) {
    const int64_t kv_heads = cache->params.kv_heads;
    int64_t expected[3] = { -1, -1, cache->params.head_dim };
    QUASH_TRY(quash_array_check(queries, "queries", QUASH_FLOATS, 3, expected));
    const int64_t heads = queries->shape[0];
    if (heads == 0 || heads % kv_heads != 0 || heads / kv_heads > QUASH_GROUP_MAX) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "queries has %lld heads, expected 1..%d times the %lld KV heads",
                          (long long)heads, QUASH_GROUP_MAX, (long long)kv_heads);
    }
    expected[0] = heads;
    expected[1] = queries->shape[1];
    QUASH_TRY(quash_array_check_output(out, "out", 3, expected));
    if (lse == NULL) {
        return QUASH_OK;
    }
    QUASH_TRY(quash_array_check_output(lse, "lse", 2, expected));
    if (lse->dtype != QUASH_F32) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "lse has dtype %d, expected F32", (int)lse->dtype);
    }
    return QUASH_OK;
}

static quash_status check_attend(const quash_cache *cache, const quash_attend_params *params,
                                 const quash_array *queries) {
    if (!quash_is_scale(params->scale)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "scale is %g, expected 0 (default) or more",
                          (double)params->scale);
    }
    QUASH_TRY(quash_check_range("mode", params->mode, QUASH_ATTEND_FAST, QUASH_ATTEND_FLOAT));
    const int64_t q_len = queries->shape[1];
    if (cache->tokens == 0 || (params->causal && q_len > cache->tokens)) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "queries has q_len %lld, the cache %lld tokens: query 0 sees none",
                          (long long)q_len, (long long)cache->tokens);
    }
    return check_finite(cache->context, queries, "queries", "position");
}

quash_status quash_cache_attend(const quash_cache *cache, const quash_attend_params *params,
                                const quash_array *queries, const quash_array *out,
                                const quash_array *lse, void *workspace, size_t workspace_bytes) {
    if (params == NULL || params->struct_size != sizeof *params) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "params: struct_size is %u, expected %zu",
                          params == NULL ? 0u : params->struct_size, sizeof *params);
    }
    QUASH_TRY(check_attend_arrays(cache, queries, out, lse));
    if (queries->shape[1] == 0) {
        return QUASH_OK;
    }
    QUASH_TRY(check_attend(cache, params, queries));
    const struct quash_tiles tiles = quash_cache_tiles(cache);
    const size_t needed = quash_cache_attend_workspace(cache);
    if (workspace != NULL) {
        if ((uintptr_t)workspace % QUASH_ALIGNMENT != 0) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "workspace is not aligned to %zu bytes",
                              QUASH_ALIGNMENT);
        }
        if (workspace_bytes < needed) {
            return quash_fail(QUASH_ERROR_CAPACITY, "workspace_bytes is %zu, expected %zu",
                              workspace_bytes, needed);
        }
        return quash_cpu_attend(&tiles, params, queries, out, lse, workspace);
    }
    QUASH_TRY(
        quash_alloc(&cache->context->allocator, needed, "the workspace of attend", &workspace));
    const quash_status status = quash_cpu_attend(&tiles, params, queries, out, lse, workspace);
    quash_release(&cache->context->allocator, workspace, needed);
    return status;
}

/* A range that lies inside the cache; array may be NULL. */
static quash_status check_decode(const quash_cache *cache, int64_t first, const quash_array *array,
                                 const char *name) {
    if (array == NULL) {
        return QUASH_OK;
    }
    const int64_t expected[3] = { cache->params.kv_heads, -1, cache->params.head_dim };
    QUASH_TRY(quash_array_check_output(array, name, 3, expected));
    if (first < 0 || first > cache->tokens || array->shape[1] > cache->tokens - first) {
        return quash_fail(
            QUASH_ERROR_ARGUMENT, "first is %lld and %s has %lld tokens, the cache holds %lld",
            (long long)first, name, (long long)array->shape[1], (long long)cache->tokens);
    }
    return QUASH_OK;
}

quash_status quash_cache_decode(const quash_cache *cache, int64_t first, const quash_array *keys,
                                const quash_array *values) {
    QUASH_TRY(check_decode(cache, first, keys, "keys"));
    QUASH_TRY(check_decode(cache, first, values, "values"));
    const struct quash_tiles tiles = quash_cache_tiles(cache);
    if (keys != NULL) {
        QUASH_TRY(quash_cpu_decode_tiles(&tiles, 1, first, keys));
    }
    if (values != NULL) {
        QUASH_TRY(quash_cpu_decode_tiles(&tiles, 0, first, values));
    }
    return QUASH_OK;
}

quash_cache_bytes quash_cache_get_bytes(const quash_cache *cache) {
    const struct quash_tile_layout *const layout = &cache->layout;
    const int64_t tiles = cache->page_count * cache->params.kv_heads;
    quash_cache_bytes bytes;
    bytes.key_codes = tiles * (int64_t)layout->values;
    bytes.value_codes = tiles * (int64_t)(layout->key_scales - layout->values);
    bytes.scales = tiles * (int64_t)(layout->bytes - layout->key_scales);
    bytes.tables = (int64_t)cache->size + cache->page_capacity * (int64_t)sizeof *cache->pages;
    bytes.total = bytes.key_codes + bytes.value_codes + bytes.scales + bytes.tables;
    return bytes;
}
