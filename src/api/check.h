/* SPDX-License-Identifier: Apache-2.0 */
/* check.h: argument checks that the create functions share. */
#ifndef QUASH_API_CHECK_H
#define QUASH_API_CHECK_H

#include <quash/base.h>

#include "base/array.h"

/* A parameter that must lie in [low, high]. Errors: ARGUMENT, naming it. */
quash_status quash_check_range(const char *name, int64_t value, int64_t low, int64_t high);

/* The three pointers of a create function, and params->struct_size. Errors: ARGUMENT. */
quash_status quash_check_create(const void *out, const void *context, const void *params,
                                uint32_t struct_size, size_t expected_size);

/* A matrix (rows, columns) to be read, finite; a size < 0: any. Errors: ARGUMENT, naming the
 * first NaN or infinity. */
quash_status quash_check_rows(const quash_context *context, const quash_array *array,
                              const char *name, enum quash_dtype_set dtypes, int64_t rows,
                              int64_t columns);

/* A matrix (rows, columns) of U8, such as unpacked codes, to be read, or written. Errors:
 * ARGUMENT. */
quash_status quash_check_bytes(const quash_array *array, const char *name, int64_t rows,
                               int64_t columns);
quash_status quash_check_bytes_output(const quash_array *array, const char *name, int64_t rows,
                                      int64_t columns);

/* A pointer to `count` elements: not NULL unless count is 0. Errors: ARGUMENT. */
quash_status quash_check_pointer(const char *name, const void *pointer, int64_t count);

/* Codes (n, dim) must be below 2^bits. Errors: ARGUMENT, naming row and column. */
quash_status quash_check_codes(const quash_array *codes, int32_t bits);

/* Scales and norms must be finite and >= 0. Errors: ARGUMENT, naming the position. */
quash_status quash_check_scales(const char *name, const float *scales, int64_t count);

#endif
