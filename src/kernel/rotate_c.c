/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_c.c: random signs and Hadamard butterflies, C reference. */
#include <assert.h>

#include "kernel/kernel.h"

static void flip_signs(float *x, size_t width, const uint8_t *signs) {
    for (size_t i = 0; i < width; i++) {
        x[i] = (signs[i / 8] >> i % 8 & 1) != 0 ? -x[i] : x[i];
    }
}

static void hadamard(float *x, size_t width, float factor) {
    assert(width > 0 && (width & (width - 1)) == 0);
    for (size_t stride = 1; stride < width; stride *= 2) {
        for (size_t start = 0; start < width; start += 2 * stride) {
            for (size_t i = start; i < start + stride; i++) {
                const float a = x[i];
                const float b = x[i + stride];
                x[i] = a + b;
                x[i + stride] = a - b;
            }
        }
    }
    for (size_t i = 0; i < width; i++) {
        x[i] *= factor;
    }
}

void quash_rotate_c(float *x, size_t width, const uint8_t *signs, float factor) {
    flip_signs(x, width, signs);
    hadamard(x, width, factor);
}

void quash_unrotate_c(float *x, size_t width, const uint8_t *signs, float factor) {
    hadamard(x, width, factor);
    flip_signs(x, width, signs);
}

void quash_half_butterfly_c(float *x, size_t n) {
    const float factor = 0.70710678f; /* 1/sqrt(2) */
    const size_t upper = n - n / 2;
    for (size_t i = 0; i < n / 2; i++) {
        const float a = x[i];
        const float b = x[i + upper];
        x[i] = (a + b) * factor;
        x[i + upper] = (a - b) * factor;
    }
}
