/* SPDX-License-Identifier: Apache-2.0 */
/* tiles.h: operations on the tiles of a cache: append, attend, decode. Arguments are validated. */
#ifndef QUASH_CPU_TILES_H
#define QUASH_CPU_TILES_H

#include <stdbool.h>

#include <quash/cache.h>

#include "base/context.h"
#include "codec/key_stats.h"
#include "codec/quantizer.h"
#include "codec/tile.h"

/* Tiles of one layer, as a store holds them: page p is the kv_heads tiles of tokens 64p .. 64p+63,
 * head after head. */
struct quash_tiles {
    const quash_context *context;
    const struct quash_tile_layout *layout;
    const struct quash_quantizer *keys; /* both share one rotation */
    const struct quash_quantizer *values;
    int32_t kv_heads;
    uint8_t *const *pages;
    int64_t tokens; /* held; token 0 has position 0 */
    /* [kv_heads], on one rope, whose max_position is at least tokens; NULL: none. Keys are coded
     * and decoded by them, and attention takes them into account. */
    const struct quash_key_stats *stats;
};

/* Encodes keys and values (kv_heads, n, head_dim) into the slots tokens .. tokens + n - 1, whose
 * pages exist. Errors: ARGUMENT (a scale beyond binary16, naming head and token: the slots are
 * empty again), MEMORY. */
quash_status quash_cpu_append(const struct quash_tiles *tiles, const quash_array *keys,
                              const quash_array *values);

/* Attention of queries over the tokens; workspace of quash_cpu_attend_workspace bytes. Every query
 * sees at least one token. Errors: ARGUMENT (scores beyond binary32: out is then unspecified). */
quash_status quash_cpu_attend(const struct quash_tiles *tiles, const quash_attend_params *params,
                              const quash_array *queries, const quash_array *out,
                              const quash_array *lse, void *workspace);
/* stats: whether the tiles have any. */
size_t quash_cpu_attend_workspace(const quash_context *context,
                                  const struct quash_tile_layout *layout, bool stats);

/* Decodes the keys (key != 0) or the values of tokens first .. into out (kv_heads, n, head_dim).
 * Errors: MEMORY. */
quash_status quash_cpu_decode_tiles(const struct quash_tiles *tiles, int key, int64_t first,
                                    const quash_array *out);

static inline uint8_t *quash_tiles_at(const struct quash_tiles *tiles, int64_t page, int64_t head) {
    return tiles->pages[page] + (size_t)head * tiles->layout->bytes;
}

#endif
