/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_neon.c: random signs and Hadamard butterflies, NEON. The strides go up as in the
 * reference, several of them in one pass over the window: 1 to 16 in the first pass, three more in
 * each further one. Signs come with the first pass (rotate), the factor, or factor and signs
 * (unrotate), with the last. */
#include <assert.h>

#include "kernel/kernel.h"
#include "kernel/neon.h"

#define FIRST_PASS 32 /* elements that the first pass holds in registers */

/* What the last pass does to its results. */
struct ending {
    float factor;
    const uint8_t *signs; /* or NULL */
};

/* Negates the elements i .. i + 3 whose sign bit is set; i is a multiple of 4. */
static inline float32x4_t flip(float32x4_t x, const uint8_t *signs, size_t i) {
    static const int32_t to_sign_bit[4] = { 31, 30, 29, 28 };
    const uint32x4_t bits = vdupq_n_u32((uint32_t)signs[i / 8] >> i % 8);
    const uint32x4_t shifted = vshlq_u32(bits, vld1q_s32(to_sign_bit));
    const uint32x4_t sign = vandq_u32(shifted, vdupq_n_u32(0x80000000u));
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), sign));
}

QUASH_FORCE_INLINE float32x4_t take(const float *x, size_t i, const uint8_t *signs) {
    const float32x4_t four = vld1q_f32(x + i);
    return signs != NULL ? flip(four, signs, i) : four;
}

QUASH_FORCE_INLINE void put(float *x, size_t i, float32x4_t four, const struct ending *ending) {
    if (ending != NULL) {
        four = vmulq_n_f32(four, ending->factor);
        if (ending->signs != NULL) {
            four = flip(four, ending->signs, i);
        }
    }
    vst1q_f32(x + i, four);
}

/* ---- Butterflies of whole registers ------------------------------------------------------- */

static inline void butterfly(float32x4_t *a, float32x4_t *b) {
    const float32x4_t sum = vaddq_f32(*a, *b);
    *b = vsubq_f32(*a, *b);
    *a = sum;
}

static inline void butterflies_of_4(float32x4_t *a, float32x4_t *b, float32x4_t *c,
                                    float32x4_t *d) {
    butterfly(a, b);
    butterfly(c, d);
    butterfly(a, c);
    butterfly(b, d);
}

static inline void butterflies_of_8(float32x4_t v[8]) {
    butterflies_of_4(&v[0], &v[1], &v[2], &v[3]);
    butterflies_of_4(&v[4], &v[5], &v[6], &v[7]);
    butterfly(&v[0], &v[4]);
    butterfly(&v[1], &v[5]);
    butterfly(&v[2], &v[6]);
    butterfly(&v[3], &v[7]);
}

static inline float32x4_t low_halves(float32x4_t a, float32x4_t b) {
    return vreinterpretq_f32_f64(vzip1q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

static inline float32x4_t high_halves(float32x4_t a, float32x4_t b) {
    return vreinterpretq_f32_f64(vzip2q_f64(vreinterpretq_f64_f32(a), vreinterpretq_f64_f32(b)));
}

/* Strides 1 and 2 inside two registers, which are unwoven so that both sides of a butterfly share a
 * register, and woven back. */
static inline void butterflies_inside(float32x4_t *a, float32x4_t *b) {
    float32x4_t even = vtrn1q_f32(*a, *b); /* a0 b0 a2 b2 */
    float32x4_t odd = vtrn2q_f32(*a, *b);  /* a1 b1 a3 b3 */
    butterfly(&even, &odd);
    float32x4_t low = low_halves(even, odd);   /* a0 b0 a1 b1 */
    float32x4_t high = high_halves(even, odd); /* a2 b2 a3 b3 */
    butterfly(&low, &high);
    *a = vuzp1q_f32(low, high);
    *b = vuzp2q_f32(low, high);
}

/* ---- Passes over the window --------------------------------------------------------------- */

QUASH_FORCE_INLINE void load_8(const float *x, size_t i, size_t stride, const uint8_t *signs,
                               float32x4_t v[8]) {
    v[0] = take(x, i, signs);
    v[1] = take(x, i + stride, signs);
    v[2] = take(x, i + 2 * stride, signs);
    v[3] = take(x, i + 3 * stride, signs);
    v[4] = take(x, i + 4 * stride, signs);
    v[5] = take(x, i + 5 * stride, signs);
    v[6] = take(x, i + 6 * stride, signs);
    v[7] = take(x, i + 7 * stride, signs);
}

QUASH_FORCE_INLINE void store_8(float *x, size_t i, size_t stride, const float32x4_t v[8],
                                const struct ending *ending) {
    put(x, i, v[0], ending);
    put(x, i + stride, v[1], ending);
    put(x, i + 2 * stride, v[2], ending);
    put(x, i + 3 * stride, v[3], ending);
    put(x, i + 4 * stride, v[4], ending);
    put(x, i + 5 * stride, v[5], ending);
    put(x, i + 6 * stride, v[6], ending);
    put(x, i + 7 * stride, v[7], ending);
}

/* Strides 1, 2, 4, 8 and 16. */
QUASH_FORCE_INLINE void first_pass(float *x, size_t width, const uint8_t *signs,
                                   const struct ending *ending) {
    for (size_t i = 0; i < width; i += FIRST_PASS) {
        float32x4_t v[8];
        load_8(x, i, 4, signs, v);
        butterflies_inside(&v[0], &v[1]);
        butterflies_inside(&v[2], &v[3]);
        butterflies_inside(&v[4], &v[5]);
        butterflies_inside(&v[6], &v[7]);
        butterflies_of_8(v);
        store_8(x, i, 4, v, ending);
    }
}

/* Strides stride, 2 * stride and 4 * stride. */
QUASH_FORCE_INLINE void pass_of_8(float *x, size_t width, size_t stride,
                                  const struct ending *ending) {
    for (size_t start = 0; start < width; start += 8 * stride) {
        for (size_t i = start; i < start + stride; i += 4) {
            float32x4_t v[8];
            load_8(x, i, stride, NULL, v);
            butterflies_of_8(v);
            store_8(x, i, stride, v, ending);
        }
    }
}

/* The last two strides. */
QUASH_FORCE_INLINE void last_pass_of_4(float *x, size_t stride, const struct ending *ending) {
    for (size_t i = 0; i < stride; i += 4) {
        float32x4_t a = vld1q_f32(x + i);
        float32x4_t b = vld1q_f32(x + i + stride);
        float32x4_t c = vld1q_f32(x + i + 2 * stride);
        float32x4_t d = vld1q_f32(x + i + 3 * stride);
        butterflies_of_4(&a, &b, &c, &d);
        put(x, i, a, ending);
        put(x, i + stride, b, ending);
        put(x, i + 2 * stride, c, ending);
        put(x, i + 3 * stride, d, ending);
    }
}

/* The last stride. */
QUASH_FORCE_INLINE void last_pass_of_2(float *x, size_t stride, const struct ending *ending) {
    for (size_t i = 0; i < stride; i += 4) {
        float32x4_t a = vld1q_f32(x + i);
        float32x4_t b = vld1q_f32(x + i + stride);
        butterfly(&a, &b);
        put(x, i, a, ending);
        put(x, i + stride, b, ending);
    }
}

QUASH_FORCE_INLINE void hadamard(float *x, size_t width, const uint8_t *signs,
                                 const struct ending *ending) {
    assert(width >= FIRST_PASS && (width & (width - 1)) == 0);
    if (width == FIRST_PASS) {
        first_pass(x, width, signs, ending);
        return;
    }
    first_pass(x, width, signs, NULL);
    size_t stride = FIRST_PASS;
    for (; width / stride > 8; stride *= 8) {
        pass_of_8(x, width, stride, NULL);
    }
    switch (width / stride) {
    case 2: last_pass_of_2(x, stride, ending); break;
    case 4: last_pass_of_4(x, stride, ending); break;
    default: pass_of_8(x, width, stride, ending); break;
    }
}

void quash_rotate_neon(float *x, size_t width, const uint8_t *signs, float factor) {
    if (width < FIRST_PASS) {
        quash_rotate_c(x, width, signs, factor);
        return;
    }
    const struct ending ending = { factor, NULL };
    hadamard(x, width, signs, &ending);
}

void quash_unrotate_neon(float *x, size_t width, const uint8_t *signs, float factor) {
    if (width < FIRST_PASS) {
        quash_unrotate_c(x, width, signs, factor);
        return;
    }
    const struct ending ending = { factor, signs };
    hadamard(x, width, NULL, &ending);
}

void quash_half_butterfly_neon(float *x, size_t n) {
    const float factor = 0.70710678f; /* 1/sqrt(2) */
    const size_t upper = n - n / 2;
    size_t i = 0;
    for (; i + 4 <= n / 2; i += 4) {
        float32x4_t a = vld1q_f32(x + i);
        float32x4_t b = vld1q_f32(x + i + upper);
        butterfly(&a, &b);
        vst1q_f32(x + i, vmulq_n_f32(a, factor));
        vst1q_f32(x + i + upper, vmulq_n_f32(b, factor));
    }
    for (; i < n / 2; i++) {
        const float a = x[i];
        const float b = x[i + upper];
        x[i] = (a + b) * factor;
        x[i + upper] = (a - b) * factor;
    }
}
