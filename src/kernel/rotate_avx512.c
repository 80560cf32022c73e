/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_avx512.c: random signs and Hadamard butterflies, AVX-512; the passes are in rotate_x86.h. */
#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

#define LANES 16
#define BLOCK_REGISTERS 16

typedef __m512 vector;

static INLINE vector load(const float *x) {
    return _mm512_loadu_ps(x);
}

static INLINE void store(float *x, vector v) {
    _mm512_storeu_ps(x, v);
}

static INLINE vector add(vector a, vector b) {
    return _mm512_add_ps(a, b);
}

static INLINE vector subtract(vector a, vector b) {
    return _mm512_sub_ps(a, b);
}

static INLINE vector multiply(vector a, float factor) {
    return _mm512_mul_ps(a, _mm512_set1_ps(factor));
}

/* The signs of the i-th register of a transform; position and step are multiples of 16. */
static INLINE __m512 flip_register(__m512 x, const uint8_t *signs, size_t position, size_t step,
                                   size_t i) {
    __mmask16 bits;
    memcpy(&bits, signs + (position + i * step) / 8, sizeof bits);
    return _mm512_mask_xor_ps(x, bits, x, _mm512_set1_ps(-0.0f));
}

/* Strides 1, 2, 4 and 8, inside a register: each lane gets its partner plus or minus itself. */
static INLINE __m512 levels_inside(__m512 x) {
    const __m512 odd1 = _mm512_setr_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1);
    const __m512 odd2 = _mm512_setr_ps(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1);
    const __m512 odd4 = _mm512_setr_ps(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1);
    const __m512 odd8 = _mm512_setr_ps(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
    x = _mm512_fmadd_ps(x, odd1, _mm512_permute_ps(x, 0xB1));
    x = _mm512_fmadd_ps(x, odd2, _mm512_permute_ps(x, 0x4E));
    x = _mm512_fmadd_ps(x, odd4, _mm512_shuffle_f32x4(x, x, 0xB1));
    return _mm512_fmadd_ps(x, odd8, _mm512_shuffle_f32x4(x, x, 0x4E));
}

#include "kernel/rotate_x86.h"

void quash_rotate_avx512(float *x, size_t width, const uint8_t *signs, float factor) {
    assert(width > 0 && (width & (width - 1)) == 0);
    if (width < LANES) {
        quash_rotate_c(x, width, signs, factor);
    } else {
        hadamard(x, width, signs, NULL, factor);
    }
}

void quash_unrotate_avx512(float *x, size_t width, const uint8_t *signs, float factor) {
    assert(width > 0 && (width & (width - 1)) == 0);
    if (width < LANES) {
        quash_unrotate_c(x, width, signs, factor);
    } else {
        hadamard(x, width, NULL, signs, factor);
    }
}
