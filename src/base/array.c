/* SPDX-License-Identifier: Apache-2.0 */
/* array.c: array views and their validation. */
#include "base/array.h"

#include "base/status.h"

quash_array quash_array_view(const void *data, quash_dtype dtype, int32_t ndim, int64_t size0,
                             int64_t size1, int64_t size2) {
    union {
        const void *in;
        void *out;
    } pointer = { data }; /* one struct serves inputs and outputs; inputs are never written */
    quash_array array = { pointer.out, (int32_t)dtype, ndim, { size0, size1, size2, 1 }, { 0 } };
    int64_t stride = 1;
    for (int32_t i = 3; i >= 0; i--) {
        if (i >= ndim) {
            array.shape[i] = 1;
            continue;
        }
        array.stride[i] = stride;
        stride *= array.shape[i] > 0 ? array.shape[i] : 1;
    }
    return array;
}

size_t quash_dtype_bytes(int32_t dtype) {
    switch (dtype) {
    case QUASH_F32: return 4;
    case QUASH_F16:
    case QUASH_BF16: return 2;
    default: return 1;
    }
}

quash_status quash_array_check(const quash_array *array, const char *name,
                               enum quash_dtype_set dtypes, int32_t ndim, const int64_t *expected) {
    if (array == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s is NULL", name);
    }
    if (array->dtype < QUASH_F32 || array->dtype > QUASH_U8) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s has dtype %d, which is no quash_dtype", name,
                          (int)array->dtype);
    }
    if (dtypes == QUASH_FLOATS && array->dtype > QUASH_BF16) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "%s has an integer dtype, expected F32, F16 or BF16", name);
    }
    if (array->ndim != ndim) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s has %d dimensions, expected %d", name,
                          (int)array->ndim, (int)ndim);
    }
    int64_t elements = 1;
    for (int32_t i = 0; i < ndim; i++) {
        const int64_t size = array->shape[i];
        if (expected[i] >= 0 && size != expected[i]) {
            return quash_fail(QUASH_ERROR_ARGUMENT,
                              "%s has size %lld in dimension %d, expected %lld", name,
                              (long long)size, (int)i, (long long)expected[i]);
        }
        if (size < 0) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "%s has size %lld in dimension %d", name,
                              (long long)size, (int)i);
        }
        if (size > 0 && elements > INT64_MAX / 16 / size) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "%s has more elements than memory can hold",
                              name);
        }
        elements *= size;
    }
    if (elements > 0 && array->data == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s has a NULL data pointer", name);
    }
    for (int32_t i = 0; i < ndim; i++) {
        const int64_t limit = INT64_MAX / 16 / (array->shape[i] > 0 ? array->shape[i] : 1);
        if (array->stride[i] > limit || array->stride[i] < -limit) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "%s has stride %lld in dimension %d", name,
                              (long long)array->stride[i], (int)i);
        }
    }
    if (array->shape[ndim - 1] > 1 && array->stride[ndim - 1] != 1) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "%s has stride %lld in its last dimension, expected 1", name,
                          (long long)array->stride[ndim - 1]);
    }
    return QUASH_OK;
}

static int64_t magnitude(int64_t stride) {
    return stride < 0 ? -stride : stride;
}

/* Dimensions nest when, from the smallest stride up, each steps over all that lies inside it. Every
 * view made by slicing and transposing nests. */
static int elements_overlap(const quash_array *array) {
    for (int32_t i = 0; i < array->ndim; i++) {
        if (array->shape[i] == 0) {
            return 0;
        }
    }
    int64_t reach = 0; /* offset of the last element so far */
    int used[4] = { 0 };
    for (int32_t round = 0; round < array->ndim; round++) {
        int32_t next = -1;
        for (int32_t i = 0; i < array->ndim; i++) {
            if (!used[i] &&
                (next < 0 || magnitude(array->stride[i]) < magnitude(array->stride[next]))) {
                next = i;
            }
        }
        used[next] = 1;
        if (array->shape[next] <= 1) {
            continue;
        }
        if (magnitude(array->stride[next]) <= reach) {
            return 1;
        }
        reach += magnitude(array->stride[next]) * (array->shape[next] - 1);
    }
    return 0;
}

quash_status quash_array_check_overlap(const quash_array *array, const char *name) {
    if (elements_overlap(array)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s has strides by which its elements overlap",
                          name);
    }
    return QUASH_OK;
}

quash_status quash_array_check_output(const quash_array *array, const char *name, int32_t ndim,
                                      const int64_t *expected) {
    QUASH_TRY(quash_array_check(array, name, QUASH_FLOATS, ndim, expected));
    return quash_array_check_overlap(array, name);
}
