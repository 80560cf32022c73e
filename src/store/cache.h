/* SPDX-License-Identifier: Apache-2.0 */
/* cache.h: the owning cache: pages of tiles, and their growth. */
#ifndef QUASH_STORE_CACHE_H
#define QUASH_STORE_CACHE_H

#include <quash/cache.h>

#include "cpu/tiles.h"

/* A cache holds at most this many tokens, so that positions fit 32 bits. */
#define QUASH_CACHE_TOKENS_MAX ((int64_t)INT32_MAX - 63)

struct quash_cache {
    const quash_context *context;
    quash_cache_params params;
    struct quash_tile_layout layout;
    struct quash_rotation rotation; /* of keys and values */
    struct quash_quantizer keys;
    struct quash_quantizer values;
    uint8_t **pages; /* each the kv_heads tiles of 64 tokens */
    int64_t page_count;
    int64_t page_capacity; /* of the list */
    int64_t tokens;
    size_t size; /* of this block, the signs behind the struct included */
};

/* Validated params. Errors: MEMORY. */
quash_status quash_cache_make(quash_cache **out, const quash_context *context,
                              const quash_cache_params *params);
void quash_cache_destroy(quash_cache *cache);

/* Appends n >= 1 tokens. Errors: as quash_cpu_append. All or nothing. */
quash_status quash_cache_push(quash_cache *cache, const quash_array *keys,
                              const quash_array *values);

/* Frees the pages from `keep` on. */
void quash_cache_drop_pages(quash_cache *cache, int64_t keep);

/* The view that operations work on. */
struct quash_tiles quash_cache_tiles(const quash_cache *cache);

#endif
