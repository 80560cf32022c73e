/* SPDX-License-Identifier: Apache-2.0 */
/* attend_rows.h: what the parts of attention share. attend.c cuts a call into tasks (up to 32 rows
 * over one range of tokens) and merges; attend_float.c and attend_digits.c walk the
 * tiles of a range in the arithmetic their names say. */
#ifndef QUASH_CPU_ATTEND_ROWS_H
#define QUASH_CPU_ATTEND_ROWS_H

#include <stdbool.h>

#include "base/arena.h"
#include "cpu/attend_mean.h"
#include "cpu/tiles.h"
#include "kernel/digits.h"

/* Places for rows of queries, and what the rows have seen so far. Each of the `heads` KV heads in a
 * row has as many; those that are used come first. */
struct attend_rows {
    int64_t kv_head; /* the first */
    size_t heads;
    size_t places;                    /* of each head */
    size_t count[ATTEND_HEADS_MAX];   /* rows of each head */
    float scale;                      /* of scores */
    int64_t visible[ATTEND_ROWS_MAX]; /* tokens each row sees, from token 0 on */
    double largest[ATTEND_ROWS_MAX];  /* what sum and out are relative to, as a score */
    double sum[ATTEND_ROWS_MAX];      /* of exp(score - largest) */
    float *q;                         /* [rows][key_dims], rotated, zero-padded */
    float *out;                       /* [rows][value_dims], rotated, in value steps */
};

static inline bool attend_row_used(const struct attend_rows *rows, size_t row) {
    const size_t head = row / rows->places;
    return head < rows->heads && row % rows->places < rows->count[head];
}

/* Scratch of the walks. */
struct attend_scratch {
    float (*scores)[QUASH_TILE_TOKENS]; /* [rows]; float: then weights, in place */
    uint8_t *digits;                    /* [blocks] as query_digits makes them */
    int32_t *bias;                      /* [rows] */
    int16_t *unit_bias;                 /* [blocks][key_dims/32][QUASH_DIGIT_ROWS][2] */
    struct quash_softmax_row *softmax;  /* [rows] */
    struct quash_weight_digits *weights;
    struct attend_mean *mean;
};

/* Walks pages first .. last - 1 (at least one; each holds a token that some row sees). Rows have seen
 * nothing: largest is -infinity, sum and out are 0. Sets those of the rows used. Float takes rows of
 * one head. */
void quash_attend_float(const struct quash_tiles *tiles, int64_t first, int64_t last,
                        struct attend_rows *rows, const struct attend_scratch *scratch);
void quash_attend_digits(const struct quash_tiles *tiles, enum quash_digit_mode mode, int64_t first,
                         int64_t last, struct attend_rows *rows,
                         const struct attend_scratch *scratch);

#endif
