/* SPDX-License-Identifier: Apache-2.0 */
/* check.c: argument checks that the create functions share. */
#include "api/check.h"

#include "base/status.h"

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
