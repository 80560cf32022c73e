/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_neon.c: largest magnitude, sum of squares and multiplication by a number, NEON. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/neon.h"

float quash_max_abs_neon(const float *x, size_t n) {
    float32x4x4_t largest = quash_zero_f32x16();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        largest.val[0] = vmaxq_f32(largest.val[0], vabsq_f32(vld1q_f32(x + i)));
        largest.val[1] = vmaxq_f32(largest.val[1], vabsq_f32(vld1q_f32(x + i + 4)));
        largest.val[2] = vmaxq_f32(largest.val[2], vabsq_f32(vld1q_f32(x + i + 8)));
        largest.val[3] = vmaxq_f32(largest.val[3], vabsq_f32(vld1q_f32(x + i + 12)));
    }
    const float32x4_t low = vmaxq_f32(largest.val[0], largest.val[1]);
    const float32x4_t high = vmaxq_f32(largest.val[2], largest.val[3]);
    float all = vmaxvq_f32(vmaxq_f32(low, high));
    for (; i < n; i++) {
        const float magnitude = fabsf(x[i]);
        all = magnitude > all ? magnitude : all;
    }
    return all;
}

static inline float32x4_t add_squares(float32x4_t lanes, const float *x) {
    const float32x4_t four = vld1q_f32(x);
    return vaddq_f32(lanes, vmulq_f32(four, four));
}

static inline void add_squares_f32x16(float32x4x4_t *lanes, const float *x) {
    lanes->val[0] = add_squares(lanes->val[0], x);
    lanes->val[1] = add_squares(lanes->val[1], x + 4);
    lanes->val[2] = add_squares(lanes->val[2], x + 8);
    lanes->val[3] = add_squares(lanes->val[3], x + 12);
}

float quash_sum_squares_neon(const float *x, size_t n) {
    float32x4x4_t lanes = quash_zero_f32x16();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        add_squares_f32x16(&lanes, x + i);
    }
    if (i < n) {
        float tail[16] = { 0.0f }; /* a lane is never -0, so adding 0 keeps its bits */
        memcpy(tail, x + i, (n - i) * sizeof *x);
        add_squares_f32x16(&lanes, tail);
    }
    return quash_sum_f32x16(lanes);
}

void quash_multiply_neon(float *x, size_t n, float factor) {
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float32x4_t a = vmulq_n_f32(vld1q_f32(x + i), factor);
        const float32x4_t b = vmulq_n_f32(vld1q_f32(x + i + 4), factor);
        vst1q_f32(x + i, a);
        vst1q_f32(x + i + 4, b);
    }
    for (; i < n; i++) {
        x[i] *= factor;
    }
}
