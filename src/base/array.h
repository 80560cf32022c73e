/* SPDX-License-Identifier: Apache-2.0 */
/* array.h: checks on the caller's arrays, and reaching a row of them. */
#ifndef QUASH_BASE_ARRAY_H
#define QUASH_BASE_ARRAY_H

#include <quash/base.h>

/* Which dtypes a call accepts. */
enum quash_dtype_set { QUASH_FLOATS, QUASH_ANY_DTYPE };

/* Checks pointer, dtype, ndim, the sizes (expected[i] < 0: any size) and that the last dimension is
 * contiguous. `name` is the argument's name in messages. An array without elements may have a NULL
 * pointer. Errors: ARGUMENT. */
quash_status quash_array_check(const quash_array *array, const char *name,
                               enum quash_dtype_set dtypes, int32_t ndim, const int64_t *expected);

/* Elements of an array that is written must not overlap. Errors: ARGUMENT. */
quash_status quash_array_check_overlap(const quash_array *array, const char *name);

/* quash_array_check for an array that is written: floating point, elements must not overlap. */
quash_status quash_array_check_output(const quash_array *array, const char *name, int32_t ndim,
                                      const int64_t *expected);

size_t quash_dtype_bytes(int32_t dtype);

/* Address of element (i, j) of the leading dimensions; j is ignored for 2-dimensional arrays. */
static inline void *quash_array_row(const quash_array *array, int64_t i, int64_t j) {
    const int64_t offset =
        i * array->stride[0] + (array->ndim > 2 ? j * array->stride[1] : (int64_t)0);
    return (unsigned char *)array->data + offset * (int64_t)quash_dtype_bytes(array->dtype);
}

#endif
