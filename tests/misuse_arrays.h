/* SPDX-License-Identifier: Apache-2.0 */
/* misuse_arrays.h: what a call answers to every bad array, for tests of misuse. Each check changes
 * one member of an array of the call, makes the call, and puts the member back. `given` is the
 * pointer that the call passes on. */
#ifndef QUASH_TESTS_MISUSE_ARRAYS_H
#define QUASH_TESTS_MISUSE_ARRAYS_H

#include <stdarg.h>

#include "support.h"

struct bad_array {
    quash_status (*function)(void);
    quash_array *array;
    quash_array good;
    const char *name;
};

static inline void check_bad_array(const struct bad_array *bad, const char *format, ...) {
    char text[128];
    char message[192];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    (void)snprintf(message, sizeof message, "%s %s", bad->name, text);
    CHECK_FAILS(bad->function(), QUASH_ERROR_ARGUMENT, message);
    *bad->array = bad->good;
}

/* What is wrong for any array (rows, columns), the number of rows apart. */
static inline void check_bad_shapes(const struct bad_array *bad, const quash_array **given) {
    quash_array *const a = bad->array;
    const long long columns = (long long)bad->good.shape[1];
    *given = NULL;
    check_bad_array(bad, "is NULL");
    *given = a;
    a->data = NULL;
    check_bad_array(bad, "has a NULL data pointer");
    a->dtype = 5;
    check_bad_array(bad, "has dtype 5, which is no quash_dtype");
    a->dtype = -1;
    check_bad_array(bad, "has dtype -1, which is no quash_dtype");
    a->ndim = 1;
    check_bad_array(bad, "has 1 dimensions, expected 2");
    a->ndim = 3;
    check_bad_array(bad, "has 3 dimensions, expected 2");
    a->shape[1]++;
    check_bad_array(bad, "has size %lld in dimension 1, expected %lld", columns + 1, columns);
    a->shape[1] = 0;
    check_bad_array(bad, "has size 0 in dimension 1, expected %lld", columns);
    a->stride[1] = 2;
    check_bad_array(bad, "has stride 2 in its last dimension, expected 1");
    a->stride[0] = INT64_MAX;
    check_bad_array(bad, "has stride %lld in dimension 0", (long long)INT64_MAX);
}

static inline void check_bad_overlap(const struct bad_array *bad) {
    bad->array->stride[0] = 0;
    check_bad_array(bad, "has strides by which its elements overlap");
    bad->array->stride[0] = 1 - bad->good.shape[1];
    check_bad_array(bad, "has strides by which its elements overlap");
}

/* The array that says how many rows there are. */
static inline void check_bad_inputs(quash_status (*function)(void), quash_array *array,
                                    const quash_array **given, const char *name) {
    const struct bad_array bad = { function, array, *array, name };
    check_bad_shapes(&bad, given);
    array->shape[0] = -3;
    check_bad_array(&bad, "has size -3 in dimension 0");
    array->shape[0] = INT64_MAX / 8;
    check_bad_array(&bad, "has more elements than memory can hold");
}

/* An array that follows it. */
static inline void check_bad_rows(const struct bad_array *bad) {
    const long long rows = (long long)bad->good.shape[0];
    bad->array->shape[0]++;
    check_bad_array(bad, "has size %lld in dimension 0, expected %lld", rows + 1, rows);
    bad->array->shape[0] = -1;
    check_bad_array(bad, "has size -1 in dimension 0, expected %lld", rows);
}

/* Codes or signs. */
static inline void check_bad_bytes(quash_status (*function)(void), quash_array *array,
                                   const quash_array **given, const char *name, bool output) {
    const struct bad_array bad = { function, array, *array, name };
    check_bad_shapes(&bad, given);
    check_bad_rows(&bad);
    for (int32_t dtype = QUASH_F32; dtype <= QUASH_I8; dtype++) {
        array->dtype = dtype;
        check_bad_array(&bad, "has dtype %d, expected U8", (int)dtype);
    }
    if (output) {
        check_bad_overlap(&bad);
    }
}

/* A floating point array that is written. */
static inline void check_bad_outputs(quash_status (*function)(void), quash_array *array,
                                     const quash_array **given, const char *name) {
    const struct bad_array bad = { function, array, *array, name };
    check_bad_shapes(&bad, given);
    check_bad_rows(&bad);
    for (int32_t dtype = QUASH_I8; dtype <= QUASH_U8; dtype++) {
        array->dtype = dtype;
        check_bad_array(&bad, "has an integer dtype, expected F32, F16 or BF16");
    }
    check_bad_overlap(&bad);
}

#endif
