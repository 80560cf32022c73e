/* SPDX-License-Identifier: Apache-2.0 */
/* tool.c: errors, the clock, conversions, and the search for a name the user may have meant. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "tool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int tool_fail(struct tool_error *error, int code, const char *format, ...) {
    if (error->code != TOOL_OK) {
        return error->code;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    error->code = code;
    return code;
}

int tool_fail_errno(struct tool_error *error, const char *name, const char *what, int number) {
    return tool_fail(error, TOOL_FAILED, "%s: %s: %s", name, what, strerror(number));
}

int tool_fail_memory(struct tool_error *error, const char *name) {
    return tool_fail(error, TOOL_FAILED, "%s: out of memory", name);
}

int tool_fail_library(struct tool_error *error, const char *name, quash_status status,
                      int argument_code) {
    int code = TOOL_FAILED;
    if (status == QUASH_ERROR_ARGUMENT) {
        code = argument_code;
    } else if (status == QUASH_ERROR_FORMAT || status == QUASH_ERROR_VERSION) {
        code = TOOL_DAMAGED;
    }
    const char *message = quash_last_message();
    if (*message == '\0') {
        message = quash_status_string(status);
    }
    return tool_fail(error, code, "%s%s%s", name, *name != '\0' ? ": " : "", message);
}

int tool_context(quash_context **out, int threads, struct tool_error *error) {
    quash_context_params params = QUASH_CONTEXT_PARAMS_INIT;
    params.threads = threads;
    const quash_status status = quash_context_create(out, &params);
    if (status != QUASH_OK) {
        return tool_fail_library(error, "", status, TOOL_USAGE);
    }
    return TOOL_OK;
}

double tool_seconds(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        return 0.0;
    }
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

size_t tool_dtype_bytes(quash_dtype dtype) {
    switch (dtype) {
    case QUASH_F32: return 4;
    case QUASH_F16:
    case QUASH_BF16: return 2;
    case QUASH_I8:
    case QUASH_U8: return 1;
    }
    return 0;
}

const char *tool_dtype_name(quash_dtype dtype) {
    switch (dtype) {
    case QUASH_F32: return "f32";
    case QUASH_F16: return "f16";
    case QUASH_BF16: return "bf16";
    case QUASH_I8: return "i8";
    case QUASH_U8: return "u8";
    }
    return "unknown";
}

static float f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A subnormal binary16 is a multiple of 2^-24, which binary32 holds as a normal number. */
static float f16_to_f32(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 31u;
    const uint32_t mantissa = half & 0x3ffu;
    if (exponent == 0) {
        const float magnitude = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -magnitude : magnitude;
    }
    const uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
    return f32_from_bits(sign | wide << 23 | mantissa << 13);
}

void tool_to_f32(float *out, const void *data, quash_dtype dtype, size_t count) {
    const unsigned char *bytes = data;
    for (size_t i = 0; i < count; i++) {
        uint16_t half;
        switch (dtype) {
        case QUASH_F32: memcpy(&out[i], bytes + 4 * i, sizeof out[i]); break;
        case QUASH_F16:
            memcpy(&half, bytes + 2 * i, sizeof half);
            out[i] = f16_to_f32(half);
            break;
        case QUASH_BF16:
            memcpy(&half, bytes + 2 * i, sizeof half);
            out[i] = f32_from_bits((uint32_t)half << 16);
            break;
        case QUASH_I8: out[i] = (float)(bytes[i] < 128 ? bytes[i] : (int)bytes[i] - 256); break;
        case QUASH_U8: out[i] = (float)bytes[i]; break;
        }
    }
}

bool tool_find_nonfinite(const void *data, quash_dtype dtype, int64_t rows, int64_t dim,
                         int64_t *row, int64_t *column) {
    const unsigned char *bytes = data;
    const size_t count = (size_t)rows * (size_t)dim;
    if (dtype != QUASH_F32 && dtype != QUASH_F16) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        bool finite;
        if (dtype == QUASH_F32) {
            uint32_t bits;
            memcpy(&bits, bytes + 4 * i, sizeof bits);
            finite = (bits & 0x7f800000u) != 0x7f800000u;
        } else {
            uint16_t bits;
            memcpy(&bits, bytes + 2 * i, sizeof bits);
            finite = (bits & 0x7c00u) != 0x7c00u;
        }
        if (!finite) {
            *row = (int64_t)(i / (size_t)dim);
            *column = (int64_t)(i % (size_t)dim);
            return true;
        }
    }
    return false;
}

int tool_check_finite(const char *name, const void *data, quash_dtype dtype, int64_t first,
                      int64_t rows, int64_t dim, struct tool_error *error) {
    int64_t row;
    int64_t column;
    if (!tool_find_nonfinite(data, dtype, rows, dim, &row, &column)) {
        return TOOL_OK;
    }
    const size_t size = tool_dtype_bytes(dtype);
    float value;
    tool_to_f32(&value, (const char *)data + size * (size_t)(row * dim + column), dtype, 1);
    return tool_fail(error, TOOL_DATA,
                     "%s: row %lld, column %lld: found %s, expected a finite number", name,
                     (long long)(first + row), (long long)column,
                     isnan(value) ? "NaN"
                     : value < 0  ? "-infinity"
                                  : "infinity");
}

/* Levenshtein distance; words longer than the table are never near. */
static size_t edit_distance(const char *a, const char *b) {
    enum { LONGEST = 40 };
    size_t row[LONGEST + 1];
    const size_t length = strlen(b);
    if (length > LONGEST || strlen(a) > LONGEST) {
        return LONGEST;
    }
    for (size_t j = 0; j <= length; j++) {
        row[j] = j;
    }
    for (size_t i = 0; a[i] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < length; j++) {
            size_t best = diagonal + (a[i] != b[j]);
            best = row[j] + 1 < best ? row[j] + 1 : best;
            best = row[j + 1] + 1 < best ? row[j + 1] + 1 : best;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[length];
}

const char *tool_nearest(const char *word, const char *const *candidates, size_t count) {
    const char *nearest = NULL;
    size_t best = strlen(word) / 2 < 3 ? strlen(word) / 2 : 3;
    for (size_t i = 0; i < count; i++) {
        const size_t distance = edit_distance(word, candidates[i]);
        if (distance <= best && (nearest == NULL || distance < best)) {
            nearest = candidates[i];
            best = distance;
        }
    }
    return nearest;
}
