/* SPDX-License-Identifier: Apache-2.0 */
/* tile.h: a cache tile (doc/format.md, "Cache tile"): keys and values of 64 tokens of one KV head.
 *   key units    [4][key_dims/32]    unit u of token block b: tokens 16b.., dims 32u..
 *   value units  [value_dims/16][2]  unit h of dim block b: dims 16b.., tokens 32h..
 *   key scales   64 binary16
 *   value scales 64 binary16
 * bytes = 64 * (key_dims*key_bits/8 + value_dims*value_bits/8 + 4), a multiple of 64. */
#ifndef QUASH_CODEC_TILE_H
#define QUASH_CODEC_TILE_H

#include <string.h>

#include "base/alloc.h"
#include "kernel/unit.h"

struct quash_tile_layout {
    int32_t key_bits;
    int32_t value_bits;
    size_t key_dims;   /* head_dim rounded up to 32 */
    size_t value_dims; /* head_dim rounded up to 16 */
    size_t values;     /* byte offsets inside a tile; key units start at 0 */
    size_t key_scales;
    size_t value_scales;
    size_t bytes;
};

static inline struct quash_tile_layout quash_tile_layout_of(size_t head_dim, int32_t key_bits,
                                                            int32_t value_bits) {
    struct quash_tile_layout layout;
    layout.key_bits = key_bits;
    layout.value_bits = value_bits;
    layout.key_dims = quash_round_up(head_dim, QUASH_UNIT_ELEMENTS);
    layout.value_dims = quash_round_up(head_dim, QUASH_UNIT_LANES);
    layout.values = QUASH_TILE_TOKENS * layout.key_dims * (size_t)key_bits / 8;
    layout.key_scales =
        layout.values + QUASH_TILE_TOKENS * layout.value_dims * (size_t)value_bits / 8;
    layout.value_scales = layout.key_scales + QUASH_TILE_TOKENS * sizeof(uint16_t);
    layout.bytes = layout.value_scales + QUASH_TILE_TOKENS * sizeof(uint16_t);
    return layout;
}

/* The unit that holds dimension `dim` of token `token` of a tile, and its lane and element
 * there. */
struct quash_tile_place {
    size_t offset; /* of the unit, from the start of the key or value units */
    size_t lane;
    size_t element;
};

static inline struct quash_tile_place quash_tile_key_place(const struct quash_tile_layout *layout,
                                                           size_t token, size_t dim) {
    const size_t unit = token / QUASH_UNIT_LANES * (layout->key_dims / QUASH_UNIT_ELEMENTS) +
                        dim / QUASH_UNIT_ELEMENTS;
    return (struct quash_tile_place){ unit * quash_unit_bytes(layout->key_bits),
                                      token % QUASH_UNIT_LANES, dim % QUASH_UNIT_ELEMENTS };
}

static inline struct quash_tile_place quash_tile_value_place(const struct quash_tile_layout *layout,
                                                             size_t token, size_t dim) {
    const size_t unit = dim / QUASH_UNIT_LANES * (QUASH_TILE_TOKENS / QUASH_UNIT_ELEMENTS) +
                        token / QUASH_UNIT_ELEMENTS;
    return (struct quash_tile_place){ unit * quash_unit_bytes(layout->value_bits),
                                      dim % QUASH_UNIT_LANES, token % QUASH_UNIT_ELEMENTS };
}

#endif
