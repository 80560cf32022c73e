/* SPDX-License-Identifier: Apache-2.0 */
/* neon.h: what the NEON files share: the 16 lanes of a sum as four registers, and packed codes to
 * bytes, 32 at a time. */
#ifndef QUASH_KERNEL_NEON_H
#define QUASH_KERNEL_NEON_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

/* For functions whose arguments choose, at compile time, what they do. */
#define QUASH_FORCE_INLINE static inline __attribute__((always_inline))

/* ---- Sums over 16 lanes (kernel/lanes.h) --------------------------------------------------- */

static inline float32x4x4_t quash_zero_f32x16(void) {
    const float32x4_t zero = vdupq_n_f32(0.0f);
    return (float32x4x4_t){ { zero, zero, zero, zero } };
}

/* The order of quash_sum_lanes. */
static inline float quash_sum_f32x16(float32x4x4_t lanes) {
    const float32x4_t a = vaddq_f32(lanes.val[0], lanes.val[2]);
    const float32x4_t b = vaddq_f32(lanes.val[1], lanes.val[3]);
    const float32x4_t four = vaddq_f32(a, b);
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* ---- Bytes --------------------------------------------------------------------------------- */

/* The low bytes of 16 words. */
static inline uint8x16_t quash_narrow_u32x16(uint32x4_t a, uint32x4_t b, uint32x4_t c,
                                             uint32x4_t d) {
    const uint16x8_t ab = vuzp1q_u16(vreinterpretq_u16_u32(a), vreinterpretq_u16_u32(b));
    const uint16x8_t cd = vuzp1q_u16(vreinterpretq_u16_u32(c), vreinterpretq_u16_u32(d));
    return vuzp1q_u8(vreinterpretq_u8_u16(ab), vreinterpretq_u8_u16(cd));
}

static inline float32x4x4_t quash_widen_s8x16(int8x16_t bytes) {
    const int16x8_t low = vmovl_s8(vget_low_s8(bytes));
    const int16x8_t high = vmovl_high_s8(bytes);
    return (float32x4x4_t){
        { vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
          vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high)) }
    };
}

/* ---- Packed codes to bytes: 32 codes of a plane -------------------------------------------- */

/* Four bytes, repeated. */
static inline uint8x16_t quash_load_4_bytes(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return vreinterpretq_u8_u32(vdupq_n_u32(word));
}

/* From 4 bytes: all ones where the bit is set. */
static inline uint8x16x2_t quash_expand_mask(const uint8_t *plane) {
    static const uint8_t byte_of[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 };
    static const uint8_t bit_of[16] = { 1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128 };
    const uint8x16_t bytes = quash_load_4_bytes(plane);
    const uint8x16_t from = vld1q_u8(byte_of);
    const uint8x16_t bit = vld1q_u8(bit_of);
    const uint8x16_t next = vaddq_u8(from, vdupq_n_u8(2));
    return (uint8x16x2_t){ { vtstq_u8(vqtbl1q_u8(bytes, from), bit),
                             vtstq_u8(vqtbl1q_u8(bytes, next), bit) } };
}

/* From 4 bytes. */
static inline uint8x16x2_t quash_expand_1(const uint8_t *plane) {
    const uint8x16_t one = vdupq_n_u8(1);
    const uint8x16x2_t mask = quash_expand_mask(plane);
    return (uint8x16x2_t){ { vandq_u8(mask.val[0], one), vandq_u8(mask.val[1], one) } };
}

/* From 8 bytes. */
static inline uint8x16x2_t quash_expand_2(const uint8_t *plane) {
    static const uint8_t byte_of[16] = { 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3 };
    static const int8_t shift_of[16] = {
        0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6
    };
    const uint8x8_t half = vld1_u8(plane);
    const uint8x16_t bytes = vcombine_u8(half, half);
    const uint8x16_t from = vld1q_u8(byte_of);
    const uint8x16_t next = vaddq_u8(from, vdupq_n_u8(4));
    const int8x16_t shift = vld1q_s8(shift_of); /* negative: to the right */
    const uint8x16_t three = vdupq_n_u8(3);
    return (uint8x16x2_t){ { vandq_u8(vshlq_u8(vqtbl1q_u8(bytes, from), shift), three),
                             vandq_u8(vshlq_u8(vqtbl1q_u8(bytes, next), shift), three) } };
}

/* From 8 bytes of the low plane and 4 of the high one. */
static inline uint8x16x2_t quash_expand_3(const uint8_t *low_plane, const uint8_t *high_plane) {
    const uint8x16_t four = vdupq_n_u8(4);
    const uint8x16x2_t low = quash_expand_2(low_plane);
    const uint8x16x2_t high = quash_expand_mask(high_plane);
    return (uint8x16x2_t){ { vorrq_u8(low.val[0], vandq_u8(high.val[0], four)),
                             vorrq_u8(low.val[1], vandq_u8(high.val[1], four)) } };
}

/* From 16 bytes. */
static inline uint8x16x2_t quash_expand_4(const uint8_t *plane) {
    const uint8x16_t bytes = vld1q_u8(plane);
    const uint8x16_t even = vandq_u8(bytes, vdupq_n_u8(15));
    const uint8x16_t odd = vshrq_n_u8(bytes, 4);
    return (uint8x16x2_t){ { vzip1q_u8(even, odd), vzip2q_u8(even, odd) } };
}

/* `bits` is known at compile time; high_plane is for 3 bits only. */
QUASH_FORCE_INLINE uint8x16x2_t quash_expand(int32_t bits, const uint8_t *plane,
                                             const uint8_t *high_plane) {
    switch (bits) {
    case 1: return quash_expand_1(plane);
    case 2: return quash_expand_2(plane);
    case 4: return quash_expand_4(plane);
    default: return quash_expand_3(plane, high_plane);
    }
}

#endif
