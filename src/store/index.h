/* SPDX-License-Identifier: Apache-2.0 */
/* index.h: the owning index: raw rows until the centre is known, then blocks of coded rows. */
#ifndef QUASH_STORE_INDEX_H
#define QUASH_STORE_INDEX_H

#include <quash/index.h>

#include "cpu/blocks.h"

struct quash_index {
    const quash_context *context;
    quash_index_params params;
    struct quash_rotation rotation;
    struct quash_quantizer quantizer;
    struct quash_block_layout layout;
    float *centre; /* [dim], behind the struct */
    int frozen;    /* centre is known, rows are coded */
    float *raw;    /* [raw_capacity][dim] until then */
    int64_t raw_capacity;
    uint8_t **blocks;
    int64_t block_count;
    int64_t block_capacity; /* of the list */
    int64_t count;
    size_t size; /* of this block, centre and signs included */
};

/* Validated params. Errors: MEMORY. */
quash_status quash_index_make(quash_index **out, const quash_context *context,
                              const quash_index_params *params);
void quash_index_destroy(quash_index *index);

/* Appends n >= 1 finite rows. Errors: ARGUMENT, MEMORY, as quash_index_add. All or nothing. */
quash_status quash_index_push(quash_index *index, const quash_array *rows);

/* The view that operations work on. */
struct quash_blocks quash_index_blocks(const quash_index *index);

#endif
