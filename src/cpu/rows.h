/* SPDX-License-Identifier: Apache-2.0 */
/* rows.h: encoding and decoding of many rows, split over the runner. Arguments are validated. */
#ifndef QUASH_CPU_ROWS_H
#define QUASH_CPU_ROWS_H

#include "base/context.h"
#include "codec/codec.h"

/* Rows that one task of the runner handles. */
#define QUASH_ROWS_PER_TASK 64

/* Position of the first NaN or infinity of an array of 2 or 3 dimensions, in row-major order of the
 * leading ones: returns 0 when all elements are finite. Split over the runner. */
int quash_cpu_find_nonfinite(const quash_context *context, const quash_array *array,
                             int64_t position[3]);

quash_status quash_cpu_encode_rows(const quash_codec *codec, const quash_array *rows,
                                   uint8_t *codes);
quash_status quash_cpu_decode_rows(const quash_codec *codec, const uint8_t *codes,
                                   const quash_array *rows);

#endif
