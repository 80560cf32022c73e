/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_avx2.c: random signs and Hadamard butterflies, AVX2.
 *
 * Levels run in stride order, several of them per pass over memory: a first pass does strides 1 to
 * 32 on blocks of eight registers, later ones do three, two or one level on registers `stride`
 * apart. Inside a register a level is one shuffle and one fused multiply-add with +1 and -1, which
 * rounds once, like the sum and the difference of the reference. */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

#define LANES 8
#define BLOCK_REGISTERS 8
#define INLINE static inline __attribute__((always_inline))

/* What a pass does to each register before (signs) and after its levels. */
struct pass {
    const uint8_t *signs_before; /* of the window; NULL: none */
    const uint8_t *signs_after;  /* likewise */
    float factor;                /* used where `last` is set */
    int last;
};

/* Flips eight elements by bits shift .. shift + 7 of a 32-bit word. */
INLINE __m256 flip_f32x8(__m256 x, const uint8_t *word, size_t shift) {
    int32_t bits;
    memcpy(&bits, word, sizeof bits);
    const __m256i to_top = _mm256_sub_epi32(_mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24),
                                            _mm256_set1_epi32((int32_t)shift));
    const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32(bits), to_top);
    const __m256i sign = _mm256_and_si256(top, _mm256_set1_epi32(INT32_MIN));
    return _mm256_xor_ps(x, _mm256_castsi256_ps(sign));
}

/* The same for the i-th register of a transform: contiguous from a whole word, or `step` apart. */
INLINE __m256 flip_register_f32x8(__m256 x, const uint8_t *signs, size_t position, size_t step,
                                  size_t i) {
    if (step == LANES) {
        return flip_f32x8(x, signs + position / 8 + i / 4 * 4, i % 4 * 8);
    }
    return flip_f32x8(x, signs + (position + i * step) / 32 * 4, position % 32);
}

/* Strides 1, 2 and 4, inside a register. */
INLINE __m256 levels_inside_f32x8(__m256 x) {
    const __m256 odd1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
    const __m256 odd2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
    const __m256 odd4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    x = _mm256_fmadd_ps(x, odd1, _mm256_permute_ps(x, 0xB1));
    x = _mm256_fmadd_ps(x, odd2, _mm256_permute_ps(x, 0x4E));
    return _mm256_fmadd_ps(x, odd4, _mm256_permute2f128_ps(x, x, 0x01));
}

/* One level between registers `stride` apart; constants, so that it unrolls. */
INLINE void level_across_f32x8(__m256 *r, size_t count, size_t stride) {
    for (size_t k = 0; k < count / 2; k++) {
        const size_t i = k / stride * 2 * stride + k % stride;
        const __m256 a = r[i];
        const __m256 b = r[i + stride];
        r[i] = _mm256_add_ps(a, b);
        r[i + stride] = _mm256_sub_ps(a, b);
    }
}

INLINE void levels_across_f32x8(__m256 *r, size_t count) {
    level_across_f32x8(r, count, 1);
    if (count > 2) {
        level_across_f32x8(r, count, 2);
    }
    if (count > 4) {
        level_across_f32x8(r, count, 4);
    }
}

/* `count` registers, `step` elements apart, from `position` of the window x. */
INLINE void transform(float *x, size_t position, size_t step, size_t count, int inside,
                      const struct pass *pass) {
    __m256 r[BLOCK_REGISTERS];
    for (size_t i = 0; i < count; i++) {
        r[i] = _mm256_loadu_ps(x + position + i * step);
        if (pass->signs_before != NULL) {
            r[i] = flip_register_f32x8(r[i], pass->signs_before, position, step, i);
        }
        if (inside) {
            r[i] = levels_inside_f32x8(r[i]);
        }
    }
    levels_across_f32x8(r, count);
    for (size_t i = 0; i < count; i++) {
        if (pass->last) {
            r[i] = _mm256_mul_ps(r[i], _mm256_set1_ps(pass->factor));
        }
        if (pass->signs_after != NULL) {
            r[i] = flip_register_f32x8(r[i], pass->signs_after, position, step, i);
        }
        _mm256_storeu_ps(x + position + i * step, r[i]);
    }
}

/* Levels of strides below LANES * count on every block of the window. */
INLINE void first_pass(float *x, size_t width, size_t count, const struct pass *pass) {
    for (size_t i = 0; i < width; i += LANES * count) {
        transform(x, i, LANES, count, 1, pass);
    }
}

/* Levels stride, 2*stride, ... below count*stride. */
INLINE void later_pass(float *x, size_t width, size_t stride, size_t count,
                       const struct pass *pass) {
    for (size_t start = 0; start < width; start += stride * count) {
        for (size_t i = start; i < start + stride; i += LANES) {
            transform(x, i, stride, count, 0, pass);
        }
    }
}

/* All levels; signs before them or after them. width is at least LANES. */
INLINE void hadamard(float *x, size_t width, const uint8_t *before, const uint8_t *after,
                     float factor) {
    const size_t first = width < LANES * BLOCK_REGISTERS ? width : LANES * BLOCK_REGISTERS;
    const int single = first == width;
    const struct pass pass = { before, single ? after : NULL, factor, single };
    switch (first / LANES) {
    case 1: first_pass(x, width, 1, &pass); break;
    case 2: first_pass(x, width, 2, &pass); break;
    case 4: first_pass(x, width, 4, &pass); break;
    default: first_pass(x, width, 8, &pass); break;
    }
    size_t stride = first;
    for (; width / stride > 8; stride *= 8) {
        const struct pass middle = { NULL, NULL, 0.0f, 0 };
        later_pass(x, width, stride, 8, &middle);
    }
    const struct pass last = { NULL, after, factor, 1 };
    switch (width / stride) {
    case 8: later_pass(x, width, stride, 8, &last); break;
    case 4: later_pass(x, width, stride, 4, &last); break;
    case 2: later_pass(x, width, stride, 2, &last); break;
    default: break;
    }
}

void quash_rotate_avx2(float *x, size_t width, const uint8_t *signs, float factor) {
    assert(width > 0 && (width & (width - 1)) == 0);
    if (width < LANES) {
        quash_rotate_c(x, width, signs, factor);
    } else {
        hadamard(x, width, signs, NULL, factor);
    }
}

void quash_unrotate_avx2(float *x, size_t width, const uint8_t *signs, float factor) {
    assert(width > 0 && (width & (width - 1)) == 0);
    if (width < LANES) {
        quash_unrotate_c(x, width, signs, factor);
    } else {
        hadamard(x, width, NULL, signs, factor);
    }
}

void quash_half_butterfly_avx2(float *x, size_t n) {
    const float factor = 0.70710678f; /* 1/sqrt(2) */
    const __m256 factors = _mm256_set1_ps(factor);
    float *const high = x + (n - n / 2);
    size_t i = 0;
    for (; i + LANES <= n / 2; i += LANES) {
        const __m256 a = _mm256_loadu_ps(x + i);
        const __m256 b = _mm256_loadu_ps(high + i);
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_add_ps(a, b), factors));
        _mm256_storeu_ps(high + i, _mm256_mul_ps(_mm256_sub_ps(a, b), factors));
    }
    for (; i < n / 2; i++) {
        const float a = x[i];
        const float b = high[i];
        x[i] = (a + b) * factor;
        high[i] = (a - b) * factor;
    }
}
