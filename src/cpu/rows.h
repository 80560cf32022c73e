/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h: encoding and decoding of many rows, split over the runner. Arguments are validated. */
#ifndef QUASH_CPU_ROWS_H
#define QUASH_CPU_ROWS_H

#include "base/context.h"
#include "codec/codec.h"

/* Rows that one task of the runner handles. */
#define QUASH_ROWS_PER_TASK 64

/* Tasks for `rows` rows, and the rows [*first, *end) of one. */
static inline int64_t quash_row_tasks(int64_t rows) {
    return (rows + QUASH_ROWS_PER_TASK - 1) / QUASH_ROWS_PER_TASK;
}

static inline void quash_rows_of_task(int64_t task, int64_t rows, int64_t *first, int64_t *end) {
    *first = task * QUASH_ROWS_PER_TASK;
    *end = *first + QUASH_ROWS_PER_TASK < rows ? *first + QUASH_ROWS_PER_TASK : rows;
}

/* Position of the first NaN or infinity of an array of 2 or 3 dimensions, in row-major order of the
 * leading ones: returns 0 when all elements are finite. Split over the runner. */
int quash_cpu_find_nonfinite(const quash_context *context, const quash_array *array,
                             int64_t position[3]);

quash_status quash_cpu_encode_rows(const quash_codec *codec, const quash_array *rows,
                                   uint8_t *codes);
quash_status quash_cpu_decode_rows(const quash_codec *codec, const uint8_t *codes,
                                   const quash_array *rows);

/* The same with unpacked codes U8 (n, dim) and binary32 scales. Codes and scales are valid; messages
 * count rows from `first`. */
quash_status quash_cpu_encode_codes(const quash_codec *codec, const quash_array *rows,
                                    int64_t first, const quash_array *codes, float *scales);
quash_status quash_cpu_decode_codes(const quash_codec *codec, const quash_array *codes,
                                    const float *scales, const quash_array *rows);

/* Rotates finite rows into out, or back. Errors: MEMORY. */
quash_status quash_cpu_rotate_rows(const quash_context *context,
                                   const struct quash_rotation *rotation, int inverse,
                                   const quash_array *rows, const quash_array *out);

#endif
