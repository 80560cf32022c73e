/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_avx2.c: random signs and Hadamard butterflies, AVX2; the passes are in rotate_x86.h. Inside a
 * register a level is one shuffle and one fused multiply-add with +1 and -1, which rounds once, like
 * the sum and the difference of the reference. */
#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

#define LANES 8
#define BLOCK_REGISTERS 8

typedef __m256 vector;

static INLINE vector load(const float *x) {
    return _mm256_loadu_ps(x);
}

static INLINE void store(float *x, vector v) {
    _mm256_storeu_ps(x, v);
}

static INLINE vector add(vector a, vector b) {
    return _mm256_add_ps(a, b);
}

static INLINE vector subtract(vector a, vector b) {
    return _mm256_sub_ps(a, b);
}

static INLINE vector multiply(vector a, float factor) {
    return _mm256_mul_ps(a, _mm256_set1_ps(factor));
}

/* Flips eight elements by bits shift .. shift + 7 of a 32-bit word. */
static INLINE __m256 flip_f32x8(__m256 x, const uint8_t *word, size_t shift) {
    int32_t bits;
    memcpy(&bits, word, sizeof bits);
    const __m256i to_top = _mm256_sub_epi32(_mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24),
                                            _mm256_set1_epi32((int32_t)shift));
    const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32(bits), to_top);
    const __m256i sign = _mm256_and_si256(top, _mm256_set1_epi32(INT32_MIN));
    return _mm256_xor_ps(x, _mm256_castsi256_ps(sign));
}

/* The same for the i-th register of a transform: contiguous from a whole word, or `step` apart. */
static INLINE __m256 flip_register(__m256 x, const uint8_t *signs, size_t position, size_t step,
                                   size_t i) {
    if (step == LANES) {
        return flip_f32x8(x, signs + position / 8 + i / 4 * 4, i % 4 * 8);
    }
    return flip_f32x8(x, signs + (position + i * step) / 32 * 4, position % 32);
}

/* Strides 1, 2 and 4, inside a register. */
static INLINE __m256 levels_inside(__m256 x) {
    const __m256 odd1 = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
    const __m256 odd2 = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
    const __m256 odd4 = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
    x = _mm256_fmadd_ps(x, odd1, _mm256_permute_ps(x, 0xB1));
    x = _mm256_fmadd_ps(x, odd2, _mm256_permute_ps(x, 0x4E));
    return _mm256_fmadd_ps(x, odd4, _mm256_permute2f128_ps(x, x, 0x01));
}

#include "kernel/rotate_x86.h"

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
