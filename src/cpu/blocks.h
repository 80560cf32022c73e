/* SPDX-License-Identifier: Apache-2.0 */
/* blocks.h: operations on the rows of an index: prepare, encode, search. Arguments are validated.
 *
 * With any centre c, <q, x> = <q-c, x-c> + <c, x-c> + <q, c>, and |q-x|^2 = |x-c|^2 - 2 <q-c, x-c>
 * + |q-c|^2. Rows are coded as x-c with an unbiased scale; the addend of a row is <c, x-c> (ip,
 * cosine) or |x-c|^2 (L2). Rows are ranked by a key that leaves out what depends on the query
 * alone:
 *   ip, cosine  key = scale * t + addend         score = key + <q, c>
 *   L2          key = 2 * (scale * t) - addend   distance = max(0, |q-c|^2 - key)
 * where t = unit * (integer dot product of codes and query digits). */
#ifndef QUASH_CPU_BLOCKS_H
#define QUASH_CPU_BLOCKS_H

#include <quash/index.h>

#include "base/context.h"
#include "codec/block.h"
#include "codec/quantizer.h"

/* Rows of an index, as a store holds them: either `count` raw rows, or coded ones in blocks. */
struct quash_blocks {
    const quash_context *context;
    const struct quash_quantizer *quantizer;
    const struct quash_block_layout *layout;
    int32_t metric;
    size_t dim;
    const float *centre; /* [dim]; NULL: rows are raw */
    const float *raw;    /* [count][dim] */
    uint8_t *const *blocks;
    int64_t count;
};

/* Square of the longest row, query or centre: with 2^60 no score, key or sum leaves binary32. */
#define QUASH_ROW_SQUARES_MAX 0x1p120f

/* Writes rows (n, dim) as binary32 to out [n][dim]; normalised under cosine. Errors: ARGUMENT (a
 * zero row under cosine, else one longer than 2^60, naming `name` and row), MEMORY. */
quash_status quash_cpu_prepare_rows(const quash_context *context, int32_t metric,
                                    const quash_array *rows, const char *name, float *out);

/* Codes n prepared rows [n][dim] into the places count .. count + n - 1, whose blocks exist.
 * Errors: MEMORY. */
quash_status quash_cpu_encode_blocks(const struct quash_blocks *blocks, const float *rows,
                                     int64_t n);

/* The k best rows for each prepared query [n][dim], best first, into scores and ids [n][k]; what is
 * missing is id -1. Errors: MEMORY. */
quash_status quash_cpu_search(const struct quash_blocks *blocks, const float *queries, int64_t n,
                              int64_t k, float *scores, int64_t *ids);

#endif
