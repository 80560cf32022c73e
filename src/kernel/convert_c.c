/* SPDX-License-Identifier: Apache-2.0 */
/* convert_c.c: element types to float and back, and the search for NaN and infinity, C reference. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernel/kernel.h"

static uint16_t read_u16(const void *source, size_t i) {
    uint16_t value;
    memcpy(&value, (const unsigned char *)source + i * sizeof value, sizeof value);
    return value;
}

static void write_u16(void *target, size_t i, uint16_t value) {
    memcpy((unsigned char *)target + i * sizeof value, &value, sizeof value);
}

void quash_load_f32_c(const void *source, size_t n, float *x) {
    memcpy(x, source, n * sizeof *x);
}

void quash_load_f16_c(const void *source, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) {
        x[i] = quash_f16_to_f32(read_u16(source, i));
    }
}

void quash_load_bf16_c(const void *source, size_t n, float *x) {
    for (size_t i = 0; i < n; i++) {
        x[i] = quash_bf16_to_f32(read_u16(source, i));
    }
}

void quash_load_i8_c(const void *source, size_t n, float *x) {
    const int8_t *const bytes = source;
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)bytes[i];
    }
}

void quash_load_u8_c(const void *source, size_t n, float *x) {
    const uint8_t *const bytes = source;
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)bytes[i];
    }
}

void quash_store_f32_c(const float *x, size_t n, void *target) {
    for (size_t i = 0; i < n; i++) {
        /* fminf and fmaxf would be calls */
        const float value = x[i] > FLT_MAX ? FLT_MAX : (x[i] < -FLT_MAX ? -FLT_MAX : x[i]);
        memcpy((unsigned char *)target + i * sizeof value, &value, sizeof value);
    }
}

void quash_store_f16_c(const float *x, size_t n, void *target) {
    for (size_t i = 0; i < n; i++) {
        const uint16_t half = quash_f32_to_f16(x[i]);
        const int overflowed = (half & 0x7FFFu) == 0x7C00u;
        write_u16(target, i, (uint16_t)(overflowed ? half - 1u : half));
    }
}

void quash_store_bf16_c(const float *x, size_t n, void *target) {
    for (size_t i = 0; i < n; i++) {
        const uint16_t upper = quash_f32_to_bf16(x[i]);
        const int overflowed = (upper & 0x7FFFu) == 0x7F80u;
        write_u16(target, i, (uint16_t)(overflowed ? upper - 1u : upper));
    }
}

size_t quash_find_nonfinite_f32_c(const void *source, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, (const unsigned char *)source + i * sizeof bits, sizeof bits);
        if ((bits & 0x7F800000u) == 0x7F800000u) {
            return i;
        }
    }
    return n;
}

size_t quash_find_nonfinite_f16_c(const void *source, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if ((read_u16(source, i) & 0x7C00u) == 0x7C00u) {
            return i;
        }
    }
    return n;
}

size_t quash_find_nonfinite_bf16_c(const void *source, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if ((read_u16(source, i) & 0x7F80u) == 0x7F80u) {
            return i;
        }
    }
    return n;
}
