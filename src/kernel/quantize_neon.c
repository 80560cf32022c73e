/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_neon.c: coordinates to codes and back, NEON, 16 at a time. */
#include "kernel/kernel.h"
#include "kernel/neon.h"

/* struct quash_levels in registers. */
struct levels {
    int32_t half;
    int8x16_t integers;
    float32x4_t thresholds[7]; /* each in all lanes */
};

static inline struct levels load_levels(const struct quash_levels *levels) {
    const float *const t = levels->thresholds;
    return (struct levels){ levels->half,
                            vld1q_s8(levels->integers),
                            { vdupq_n_f32(t[0]), vdupq_n_f32(t[1]), vdupq_n_f32(t[2]),
                              vdupq_n_f32(t[3]), vdupq_n_f32(t[4]), vdupq_n_f32(t[5]),
                              vdupq_n_f32(t[6]) } };
}

/* Adds 1 where threshold <= |u|; thresholds are positive. */
static inline uint32x4_t count(uint32x4_t above, float32x4_t u, float32x4_t threshold) {
    return vsubq_u32(above, vcageq_f32(u, threshold)); /* less all ones: + 1 */
}

/* The thresholds <= |u|, all bits inverted for u < 0: half + this is the code. */
static inline uint32x4_t signed_count(const struct levels *levels, float32x4_t u) {
    const float32x4_t *const t = levels->thresholds;
    uint32x4_t above = vdupq_n_u32(0);
    if (levels->half > 1) {
        above = count(above, u, t[0]);
    }
    if (levels->half > 2) {
        above = count(count(above, u, t[1]), u, t[2]);
    }
    if (levels->half > 4) {
        above = count(count(above, u, t[3]), u, t[4]);
        above = count(count(above, u, t[5]), u, t[6]);
    }
    return veorq_u32(above, vcltzq_f32(u));
}

static inline float32x4_t add_products(float32x4_t lanes, float32x4_t u, float32x4_t integers) {
    return vaddq_f32(lanes, vmulq_f32(u, integers));
}

/* Codes of 16 coordinates; adds to the lanes and squares of the fit. */
static inline uint8x16_t quantize_16(const struct levels *levels, float32x4x4_t u,
                                     float32x4x4_t *lanes, int32x4_t *squares) {
    const uint8x16_t counts =
        quash_narrow_u32x16(signed_count(levels, u.val[0]), signed_count(levels, u.val[1]),
                            signed_count(levels, u.val[2]), signed_count(levels, u.val[3]));
    const uint8x16_t codes = vaddq_u8(counts, vdupq_n_u8((uint8_t)levels->half));
    const int8x16_t integers = vqtbl1q_s8(levels->integers, codes);
    const int8x8_t low = vget_low_s8(integers);
    *squares = vpadalq_s16(*squares, vmull_s8(low, low));
    *squares = vpadalq_s16(*squares, vmull_high_s8(integers, integers));
    const float32x4x4_t floats = quash_widen_s8x16(integers);
    lanes->val[0] = add_products(lanes->val[0], u.val[0], floats.val[0]);
    lanes->val[1] = add_products(lanes->val[1], u.val[1], floats.val[1]);
    lanes->val[2] = add_products(lanes->val[2], u.val[2], floats.val[2]);
    lanes->val[3] = add_products(lanes->val[3], u.val[3], floats.val[3]);
    return codes;
}

struct quash_fit quash_quantize_neon(const struct quash_levels *levels, const float *x, size_t n,
                                     float gain, uint8_t *codes) {
    const struct levels held = load_levels(levels);
    float32x4x4_t lanes = quash_zero_f32x16();
    int32x4_t squares = vdupq_n_s32(0);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const float32x4x4_t u = {
            { vmulq_n_f32(vld1q_f32(x + i), gain), vmulq_n_f32(vld1q_f32(x + i + 4), gain),
              vmulq_n_f32(vld1q_f32(x + i + 8), gain), vmulq_n_f32(vld1q_f32(x + i + 12), gain) }
        };
        vst1q_u8(codes + i, quantize_16(&held, u, &lanes, &squares));
    }
    int32_t padding = 0; /* squares of the places beyond n */
    if (i < n) {
        float tail[16] = { 0.0f }; /* a lane is never -0, so adding 0 keeps its bits */
        uint8_t tail_codes[16];
        for (size_t j = 0; j < n - i; j++) {
            tail[j] = x[i + j] * gain;
        }
        const float32x4x4_t u = { { vld1q_f32(tail), vld1q_f32(tail + 4), vld1q_f32(tail + 8),
                                    vld1q_f32(tail + 12) } };
        vst1q_u8(tail_codes, quantize_16(&held, u, &lanes, &squares));
        memcpy(codes + i, tail_codes, n - i);
        const int32_t smallest = levels->integers[levels->half];
        padding = (int32_t)(16 - (n - i)) * smallest * smallest;
    }
    return (struct quash_fit){ quash_sum_f32x16(lanes), vaddvq_s32(squares) - padding };
}

static inline void dequantize_16(int8x16_t integers, const uint8_t *codes, float gain, float *x) {
    const float32x4x4_t floats = quash_widen_s8x16(vqtbl1q_s8(integers, vld1q_u8(codes)));
    vst1q_f32(x, vmulq_n_f32(floats.val[0], gain));
    vst1q_f32(x + 4, vmulq_n_f32(floats.val[1], gain));
    vst1q_f32(x + 8, vmulq_n_f32(floats.val[2], gain));
    vst1q_f32(x + 12, vmulq_n_f32(floats.val[3], gain));
}

void quash_dequantize_neon(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                           float *x) {
    const int8x16_t table = vld1q_s8(integers);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        dequantize_16(table, codes + i, gain, x + i);
    }
    for (; i < n; i++) {
        x[i] = gain * (float)integers[codes[i]];
    }
}
