/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c: memory of the owning cache. Pages hold 64 tokens of every KV head, are zeroed when they
 * are allocated and never move, so that growing copies nothing but the list of pages. */
#include "store/cache.h"

#include "base/runner.h"
#include "base/status.h"

#define FIRST_LIST_CAPACITY 16

static size_t page_bytes(const quash_cache *cache) {
    return cache->layout.bytes * (size_t)cache->params.kv_heads;
}

static size_t list_bytes(int64_t capacity) {
    return (size_t)capacity * sizeof(uint8_t *);
}

/* Runs under quash_run: thresholds are products of the exact zone. */
static void init_task(void *state, int64_t index, int32_t worker) {
    (void)index;
    (void)worker;
    quash_cache *const cache = state;
    const quash_cache_params *const params = &cache->params;
    const struct quash_kernels *const kernels = cache->context->kernels;
    uint8_t *const signs = (uint8_t *)cache + quash_round_up(sizeof *cache, QUASH_ALIGNMENT);
    quash_rotation_init(&cache->rotation, (size_t)params->head_dim, 1, params->seed, signs);
    quash_quantizer_init(&cache->keys, kernels, &cache->rotation, params->key_bits,
                         QUASH_SCALE_NORM, params->search_level);
    quash_quantizer_init(&cache->values, kernels, &cache->rotation, params->value_bits,
                         QUASH_SCALE_UNBIASED, params->search_level);
}

quash_status quash_cache_make(quash_cache **out, const quash_context *context,
                              const quash_cache_params *params) {
    const size_t size = quash_round_up(sizeof(quash_cache), QUASH_ALIGNMENT) +
                        quash_rotation_sign_bytes((size_t)params->head_dim, 1);
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the cache", &memory));
    memset(memory, 0, size);
    quash_cache *const cache = memory;
    cache->context = context;
    cache->params = *params;
    cache->layout =
        quash_tile_layout_of((size_t)params->head_dim, params->key_bits, params->value_bits);
    cache->size = size;
    quash_run(&quash_serial_runner, init_task, cache, 1);
    *out = cache;
    return QUASH_OK;
}

void quash_cache_drop_pages(quash_cache *cache, int64_t keep) {
    while (cache->page_count > keep) {
        cache->page_count--;
        quash_release(&cache->context->allocator, cache->pages[cache->page_count],
                      page_bytes(cache));
    }
}

void quash_cache_destroy(quash_cache *cache) {
    quash_cache_drop_pages(cache, 0);
    quash_release(&cache->context->allocator, cache->pages, list_bytes(cache->page_capacity));
    quash_release(&cache->context->allocator, cache, cache->size);
}

/* Makes the list long enough for `needed` pages, doubling it. */
static quash_status grow_list(quash_cache *cache, int64_t needed) {
    if (needed <= cache->page_capacity) {
        return QUASH_OK;
    }
    int64_t capacity = cache->page_capacity > 0 ? cache->page_capacity : FIRST_LIST_CAPACITY;
    while (capacity < needed) {
        capacity *= 2;
    }
    void *memory;
    QUASH_TRY(quash_alloc(&cache->context->allocator, list_bytes(capacity), "the list of pages",
                          &memory));
    if (cache->page_count > 0) {
        memcpy(memory, cache->pages, list_bytes(cache->page_count));
    }
    quash_release(&cache->context->allocator, cache->pages, list_bytes(cache->page_capacity));
    cache->pages = memory;
    cache->page_capacity = capacity;
    return QUASH_OK;
}

static quash_status add_pages(quash_cache *cache, int64_t needed) {
    QUASH_TRY(grow_list(cache, needed));
    while (cache->page_count < needed) {
        void *page;
        QUASH_TRY(
            quash_alloc(&cache->context->allocator, page_bytes(cache), "a cache page", &page));
        memset(page, 0, page_bytes(cache));
        cache->pages[cache->page_count++] = page;
    }
    return QUASH_OK;
}

struct quash_tiles quash_cache_tiles(const quash_cache *cache) {
    return (struct quash_tiles){ .context = cache->context,
                                 .layout = &cache->layout,
                                 .keys = &cache->keys,
                                 .values = &cache->values,
                                 .kv_heads = cache->params.kv_heads,
                                 .pages = cache->pages,
                                 .tokens = cache->tokens };
}

quash_status quash_cache_push(quash_cache *cache, const quash_array *keys,
                              const quash_array *values) {
    const int64_t tokens = cache->tokens + keys->shape[1];
    const int64_t pages_before = cache->page_count;
    quash_status status = add_pages(cache, (tokens + QUASH_TILE_TOKENS - 1) / QUASH_TILE_TOKENS);
    if (status == QUASH_OK) {
        const struct quash_tiles tiles = quash_cache_tiles(cache);
        status = quash_cpu_append(&tiles, keys, values);
    }
    if (status != QUASH_OK) {
        quash_cache_drop_pages(cache, pages_before);
        return status;
    }
    cache->tokens = tokens;
    return QUASH_OK;
}
