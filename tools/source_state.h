/* SPDX-License-Identifier: Apache-2.0 */
/* source_state.h: a file of rows that is being read: what source.c and the readers of the formats,
 * which it calls, both know. Others include source.h. */
#ifndef TOOL_SOURCE_STATE_H
#define TOOL_SOURCE_STATE_H

#include "input.h"

enum source_format { SOURCE_NPY = 0, SOURCE_FVECS = 1, SOURCE_BVECS = 2 };

struct source {
    struct input input;
    enum source_format format;
    quash_dtype dtype; /* of the rows that source_read gives */
    bool from_f64;     /* the file holds binary64, converted on reading */
    int32_t ndim;      /* 1..4 */
    int64_t shape[4];  /* as in the file; .fvecs and .bvecs: (rows, dim) */
    int64_t rows;      /* product of all sizes but the last; -1: unknown until the end */
    int64_t dim;       /* 1..QUASH_DIM_MAX */
    int64_t rows_read;
    unsigned char *spare; /* of .fvecs, .bvecs and binary64: bytes as they are in the file */
    size_t spare_bytes;
    bool have_row_start; /* .fvecs, .bvecs: the dim of the next row has been read */
};

/* Bytes of one row as source_read gives it. */
static inline size_t source_row_bytes(const struct source *source) {
    return (size_t)source->dim * tool_dtype_bytes(source->dtype);
}

#endif
