/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_c.c: largest magnitude, sum of squares and multiplication by a number, C reference. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

float quash_max_abs_c(const float *x, size_t n) {
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++) {
        const float magnitude = fabsf(x[i]);
        largest = magnitude > largest ? magnitude : largest;
    }
    return largest;
}

float quash_sum_squares_c(const float *x, size_t n) {
    float lanes[QUASH_LANES] = { 0.0f };
    for (size_t i = 0; i < n; i++) {
        lanes[i % QUASH_LANES] += x[i] * x[i];
    }
    return quash_sum_lanes(lanes);
}

void quash_multiply_c(float *x, size_t n, float factor) {
    for (size_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}
