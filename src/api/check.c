/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: argument checks that the create functions share. */
#include "api/check.h"

#include "base/half.h"
#include "base/status.h"
#include "cpu/rows.h"

quash_status quash_check_range(const char *name, int64_t value, int64_t low, int64_t high) {
    if (value < low || value > high) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s is %lld, expected %lld..%lld", name,
                          (long long)value, (long long)low, (long long)high);
    }
    return QUASH_OK;
}

quash_status quash_check_create(const void *out, const void *context, const void *params,
                                uint32_t struct_size, size_t expected_size) {
    if (out == NULL || context == NULL || params == NULL) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s is NULL",
                          out == NULL ? "out" : (context == NULL ? "context" : "params"));
    }
    if (struct_size != expected_size) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "params: struct_size is %u, expected %zu",
                          struct_size, expected_size);
    }
    return QUASH_OK;
}

quash_status quash_check_rows(const quash_context *context, const quash_array *array,
                              const char *name, enum quash_dtype_set dtypes, int64_t rows,
                              int64_t columns) {
    const int64_t expected[2] = { rows, columns };
    QUASH_TRY(quash_array_check(array, name, dtypes, 2, expected));
    int64_t at[3];
    if (quash_cpu_find_nonfinite(context, array, at)) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s: NaN or infinity in row %lld, column %lld",
                          name, (long long)at[0], (long long)at[2]);
    }
    return QUASH_OK;
}

quash_status quash_check_bytes(const quash_array *array, const char *name, int64_t rows,
                               int64_t columns) {
    const int64_t expected[2] = { rows, columns };
    QUASH_TRY(quash_array_check(array, name, QUASH_ANY_DTYPE, 2, expected));
    if (array->dtype != QUASH_U8) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s has dtype %d, expected U8", name,
                          (int)array->dtype);
    }
    return QUASH_OK;
}

quash_status quash_check_bytes_output(const quash_array *array, const char *name, int64_t rows,
                                      int64_t columns) {
    QUASH_TRY(quash_check_bytes(array, name, rows, columns));
    return quash_array_check_overlap(array, name);
}

quash_status quash_check_pointer(const char *name, const void *pointer, int64_t count) {
    if (pointer == NULL && count > 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT, "%s is NULL", name);
    }
    return QUASH_OK;
}

quash_status quash_check_codes(const quash_array *codes, int32_t bits) {
    for (int64_t row = 0; row < codes->shape[0]; row++) {
        const uint8_t *const values = quash_array_row(codes, row, 0);
        for (int64_t i = 0; i < codes->shape[1]; i++) {
            if (values[i] >> bits != 0) {
                return quash_fail(QUASH_ERROR_ARGUMENT,
                                  "codes: %u in row %lld, column %lld, expected below %d",
                                  values[i], (long long)row, (long long)i, 1 << bits);
            }
        }
    }
    return QUASH_OK;
}

quash_status quash_check_scales(const char *name, const float *scales, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (!quash_is_scale(scales[i])) {
            return quash_fail(QUASH_ERROR_ARGUMENT, "%s: %g at position %lld, expected 0 or more",
                              name, (double)scales[i], (long long)i);
        }
    }
    return QUASH_OK;
}
