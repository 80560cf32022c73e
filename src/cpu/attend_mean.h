/* SPDX-License-Identifier: Apache-2.0 */
/* attend_mean.h: key statistics at attention (doc/numerics.md, "Key statistics"): queries are
 * divided by the pair scale, and the scores of coded tokens get what the mean of the keys adds to
 * them. */
#ifndef QUASH_CPU_ATTEND_MEAN_H
#define QUASH_CPU_ATTEND_MEAN_H

#include <stdbool.h>

#include "base/arena.h"
#include "cpu/tiles.h"
#include "kernel/kernel.h"

/* Rows of queries in a task: up to QUASH_TILE_ROWS_MAX of one KV head, or 4 of each of 8. */
#define ATTEND_HEADS_MAX 8
#define ATTEND_BLOCKS ATTEND_HEADS_MAX
#define ATTEND_ROWS_MAX ((size_t)ATTEND_BLOCKS * QUASH_DIGIT_ROWS)

/* The terms of the mean of one KV head of a walk. */
struct attend_mean_head {
    struct quash_mean_pairs pairs; /* at batch 0 */
    uint16_t *list;
    size_t terms; /* 0: no mean */
    float *even;  /* [terms][32] */
    float *odd;
};

/* Scratch of a walk. Rows are places of attend_rows. */
struct attend_mean {
    struct attend_mean_head head[ATTEND_BLOCKS]; /* of the walk */
    float *a;                                    /* [rows][key_dims/2] */
    float *b;
    float *coefficients; /* [16 tiles][QUASH_DIGIT_ROWS][width] of a batch, for each block */
    float constant[ATTEND_ROWS_MAX];
    int64_t batch[ATTEND_BLOCKS]; /* that a block has coefficients of; -1: none */
};

void quash_attend_mean_carve(struct attend_mean *mean, struct quash_arena *arena,
                             const struct quash_tile_layout *layout);

/* For tiles with stats: the terms of the heads kv_head .. (at most kv_heads - 1), for the error
 * bound of a mode. */
void quash_attend_mean_start(struct attend_mean *mean, const struct quash_tiles *tiles,
                             int64_t kv_head, size_t heads, bool exact);

/* Takes the mean term of a row's query, as the model made it; divides the query by the scale. */
void quash_attend_mean_load(struct attend_mean *mean, const struct quash_tiles *tiles,
                            int64_t kv_head, size_t head, size_t row, float *query);

/* The mean terms of a row will be multiplied by factor. */
void quash_attend_mean_multiply(struct attend_mean *mean, const struct quash_tiles *tiles,
                                size_t head, size_t row, float factor);

/* Adds the terms of rows first .. first + rows - 1 (of one head and one block of
 * QUASH_DIGIT_ROWS) at a page to scores. */
void quash_attend_mean_add(struct attend_mean *mean, const struct quash_tiles *tiles, size_t head,
                           int64_t page, size_t first, size_t rows, float (*scores)[64]);

#endif
