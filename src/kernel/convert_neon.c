/* SPDX-License-Identifier: Apache-2.0 */
/* convert_neon.c: element types to float and back, and the search for NaN and infinity, NEON.
 * Arrays of elements may lie anywhere, so they are read and written as bytes. Loading binary32 is a
 * copy and has no variant. */
#include <float.h>

#include "kernel/kernel.h"
#include "kernel/neon.h"

static inline uint16x8_t load_u16x8(const uint8_t *bytes) {
    return vreinterpretq_u16_u8(vld1q_u8(bytes));
}

/* ---- To float ------------------------------------------------------------------------------ */

/* The conversion sets bit 22, the quiet bit, of every NaN; the reference keeps it. */
void quash_load_f16_neon(const void *source, size_t n, float *x) {
    const uint8_t *const bytes = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x8_t halves = load_u16x8(bytes + 2 * i);
        const float16x8_t values = vreinterpretq_f16_u16(halves);
        const uint16x8_t magnitude = vandq_u16(halves, vdupq_n_u16(0x7FFF));
        const uint16x8_t nan = vcgtq_u16(magnitude, vdupq_n_u16(0x7C00));
        const uint16x8_t made_quiet = vbicq_u16(vandq_u16(nan, vdupq_n_u16(0x0200)), halves);
        const uint32x4_t low = vreinterpretq_u32_f32(vcvt_f32_f16(vget_low_f16(values)));
        const uint32x4_t high = vreinterpretq_u32_f32(vcvt_high_f32_f16(values));
        const uint32x4_t undo_low = vshll_n_u16(vget_low_u16(made_quiet), 13);
        const uint32x4_t undo_high = vshll_high_n_u16(made_quiet, 13);
        vst1q_f32(x + i, vreinterpretq_f32_u32(vbicq_u32(low, undo_low)));
        vst1q_f32(x + i + 4, vreinterpretq_f32_u32(vbicq_u32(high, undo_high)));
    }
    quash_load_f16_c(bytes + 2 * i, n - i, x + i);
}

void quash_load_bf16_neon(const void *source, size_t n, float *x) {
    const uint8_t *const bytes = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint16x8_t upper = load_u16x8(bytes + 2 * i);
        vst1q_f32(x + i, vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(upper), 16)));
        vst1q_f32(x + i + 4, vreinterpretq_f32_u32(vshll_high_n_u16(upper, 16)));
    }
    quash_load_bf16_c(bytes + 2 * i, n - i, x + i);
}

void quash_load_i8_neon(const void *source, size_t n, float *x) {
    const int8_t *const bytes = source;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const float32x4x4_t floats = quash_widen_s8x16(vld1q_s8(bytes + i));
        vst1q_f32(x + i, floats.val[0]);
        vst1q_f32(x + i + 4, floats.val[1]);
        vst1q_f32(x + i + 8, floats.val[2]);
        vst1q_f32(x + i + 12, floats.val[3]);
    }
    quash_load_i8_c(bytes + i, n - i, x + i);
}

void quash_load_u8_neon(const void *source, size_t n, float *x) {
    const uint8_t *const bytes = source;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8x16_t sixteen = vld1q_u8(bytes + i);
        const uint16x8_t low = vmovl_u8(vget_low_u8(sixteen));
        const uint16x8_t high = vmovl_high_u8(sixteen);
        vst1q_f32(x + i, vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))));
        vst1q_f32(x + i + 4, vcvtq_f32_u32(vmovl_high_u16(low)));
        vst1q_f32(x + i + 8, vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))));
        vst1q_f32(x + i + 12, vcvtq_f32_u32(vmovl_high_u16(high)));
    }
    quash_load_u8_c(bytes + i, n - i, x + i);
}

/* ---- From float ---------------------------------------------------------------------------- */

void quash_store_f32_neon(const float *x, size_t n, void *target) {
    const float32x4_t largest = vdupq_n_f32(FLT_MAX);
    const float32x4_t smallest = vdupq_n_f32(-FLT_MAX);
    uint8_t *const bytes = target;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        const float32x4_t value = vminq_f32(vmaxq_f32(vld1q_f32(x + i), smallest), largest);
        vst1q_u8(bytes + 4 * i, vreinterpretq_u8_f32(value));
    }
    quash_store_f32_c(x + i, n - i, bytes + 4 * i);
}

/* Writes halves, or upper halves of floats; infinity becomes the number before it. */
static inline void store_saturated(uint8_t *bytes, uint16x8_t values, uint16_t infinity) {
    const uint16x8_t magnitude = vandq_u16(values, vdupq_n_u16(0x7FFF));
    const uint16x8_t infinite = vceqq_u16(magnitude, vdupq_n_u16(infinity)); /* all ones: - 1 */
    vst1q_u8(bytes, vreinterpretq_u8_u16(vaddq_u16(values, infinite)));
}

void quash_store_f16_neon(const float *x, size_t n, void *target) {
    uint8_t *const bytes = target;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const float16x4_t low = vcvt_f16_f32(vld1q_f32(x + i));
        const float16x8_t values = vcvt_high_f16_f32(low, vld1q_f32(x + i + 4));
        store_saturated(bytes + 2 * i, vreinterpretq_u16_f16(values), 0x7C00);
    }
    quash_store_f16_c(x + i, n - i, bytes + 2 * i);
}

/* Bits that round to the nearest, ties to even, when the lower 16 are cut off. */
static inline uint32x4_t round_to_upper_half(float32x4_t value) {
    const uint32x4_t bits = vreinterpretq_u32_f32(value);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    return vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd);
}

void quash_store_bf16_neon(const float *x, size_t n, void *target) {
    uint8_t *const bytes = target;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint32x4_t low = round_to_upper_half(vld1q_f32(x + i));
        const uint32x4_t high = round_to_upper_half(vld1q_f32(x + i + 4));
        store_saturated(bytes + 2 * i, vshrn_high_n_u32(vshrn_n_u32(low, 16), high, 16), 0x7F80);
    }
    quash_store_bf16_c(x + i, n - i, bytes + 2 * i);
}

/* ---- NaN and infinity: whole blocks that are finite, then the reference finds the place ------ */

static inline uint32x4_t magnitude_u32x4(const uint8_t *bytes) {
    return vandq_u32(vreinterpretq_u32_u8(vld1q_u8(bytes)), vdupq_n_u32(0x7FFFFFFF));
}

static inline uint16x8_t magnitude_u16x8(const uint8_t *bytes) {
    return vandq_u16(load_u16x8(bytes), vdupq_n_u16(0x7FFF));
}

size_t quash_find_nonfinite_f32_neon(const void *source, size_t n) {
    const uint8_t *const bytes = source;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const uint8_t *const at = bytes + 4 * i;
        const uint32x4_t a = vmaxq_u32(magnitude_u32x4(at), magnitude_u32x4(at + 16));
        const uint32x4_t b = vmaxq_u32(magnitude_u32x4(at + 32), magnitude_u32x4(at + 48));
        if (vmaxvq_u32(vmaxq_u32(a, b)) >= 0x7F800000u) {
            break;
        }
    }
    return i + quash_find_nonfinite_f32_c(bytes + 4 * i, n - i);
}

/* Elements of 16 bits, to the first block of 32 that is not finite. */
static inline size_t finite_blocks(const uint8_t *bytes, size_t n, uint16_t infinity) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const uint8_t *const at = bytes + 2 * i;
        const uint16x8_t a = vmaxq_u16(magnitude_u16x8(at), magnitude_u16x8(at + 16));
        const uint16x8_t b = vmaxq_u16(magnitude_u16x8(at + 32), magnitude_u16x8(at + 48));
        if (vmaxvq_u16(vmaxq_u16(a, b)) >= infinity) {
            break;
        }
    }
    return i;
}

size_t quash_find_nonfinite_f16_neon(const void *source, size_t n) {
    const uint8_t *const bytes = source;
    const size_t i = finite_blocks(bytes, n, 0x7C00);
    return i + quash_find_nonfinite_f16_c(bytes + 2 * i, n - i);
}

size_t quash_find_nonfinite_bf16_neon(const void *source, size_t n) {
    const uint8_t *const bytes = source;
    const size_t i = finite_blocks(bytes, n, 0x7F80);
    return i + quash_find_nonfinite_bf16_c(bytes + 2 * i, n - i);
}
