/* SPDX-License-Identifier: Apache-2.0 */
/* block.h: a block of coded index rows (doc/format.md, "Index row"): the packed codes of 1,024
 * rows, then their 1,024 scales, then their 1,024 addends, binary32 each. A row's dims are rounded
 * up to 32 with code 0, which query digits of 0 make harmless.
 * bytes per row = ceil(dim/32) * 4 * bits + 8. */
#ifndef QUASH_CODEC_BLOCK_H
#define QUASH_CODEC_BLOCK_H

#include "base/alloc.h"
#include "codec/row.h"

#define QUASH_BLOCK_ROWS 1024

struct quash_block_layout {
    size_t dims;      /* dim rounded up to 32 */
    size_t row_codes; /* bytes of packed codes of a row */
    size_t scales;    /* byte offsets inside a block; codes start at 0 */
    size_t addends;
    size_t bytes;
};

static inline struct quash_block_layout quash_block_layout_of(size_t dim, int32_t bits) {
    struct quash_block_layout layout;
    layout.dims = quash_round_up(dim, 32);
    layout.row_codes = quash_packed_bytes(layout.dims, bits);
    layout.scales = QUASH_BLOCK_ROWS * layout.row_codes;
    layout.addends = layout.scales + QUASH_BLOCK_ROWS * sizeof(float);
    layout.bytes = layout.addends + QUASH_BLOCK_ROWS * sizeof(float);
    return layout;
}

static inline size_t quash_block_row_bytes(const struct quash_block_layout *layout) {
    return layout->row_codes + 2 * sizeof(float);
}

#endif
