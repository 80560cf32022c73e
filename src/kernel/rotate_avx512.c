/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_avx512.c: random signs and Hadamard butterflies, AVX-512; the plan of rotate_avx2.c with
 * twice the lanes and registers: strides 1 to 128 in the first pass. */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

#define LANES 16
#define BLOCK_REGISTERS 16
#define INLINE static inline __attribute__((always_inline))

/* What a pass does to each register before (signs) and after its levels. */
struct pass {
    const uint8_t *signs_before; /* of the window; NULL: none */
    const uint8_t *signs_after;  /* likewise */
    float factor;                /* used where `last` is set */
    int last;
};

/* Flips the 16 elements at `position` of the window, a multiple of 16. */
INLINE __m512 flip_f32x16(__m512 x, const uint8_t *signs, size_t position) {
    __mmask16 bits;
    memcpy(&bits, signs + position / 8, sizeof bits);
    return _mm512_mask_xor_ps(x, bits, x, _mm512_set1_ps(-0.0f));
}

/* Strides 1, 2, 4 and 8, inside a register: each lane gets its partner plus or minus itself. */
INLINE __m512 levels_inside_f32x16(__m512 x) {
    const __m512 odd1 = _mm512_setr_ps(1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1, 1, -1);
    const __m512 odd2 = _mm512_setr_ps(1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1, 1, 1, -1, -1);
    const __m512 odd4 = _mm512_setr_ps(1, 1, 1, 1, -1, -1, -1, -1, 1, 1, 1, 1, -1, -1, -1, -1);
    const __m512 odd8 = _mm512_setr_ps(1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1, -1);
    x = _mm512_fmadd_ps(x, odd1, _mm512_permute_ps(x, 0xB1));
    x = _mm512_fmadd_ps(x, odd2, _mm512_permute_ps(x, 0x4E));
    x = _mm512_fmadd_ps(x, odd4, _mm512_shuffle_f32x4(x, x, 0xB1));
    return _mm512_fmadd_ps(x, odd8, _mm512_shuffle_f32x4(x, x, 0x4E));
}

/* One level between registers `stride` apart; constants, so that it unrolls. */
INLINE void level_across_f32x16(__m512 *r, size_t count, size_t stride) {
    for (size_t k = 0; k < count / 2; k++) {
        const size_t i = k / stride * 2 * stride + k % stride;
        const __m512 a = r[i];
        const __m512 b = r[i + stride];
        r[i] = _mm512_add_ps(a, b);
        r[i + stride] = _mm512_sub_ps(a, b);
    }
}

INLINE void levels_across_f32x16(__m512 *r, size_t count) {
    if (count > 1) {
        level_across_f32x16(r, count, 1);
    }
    if (count > 2) {
        level_across_f32x16(r, count, 2);
    }
    if (count > 4) {
        level_across_f32x16(r, count, 4);
    }
    if (count > 8) {
        level_across_f32x16(r, count, 8);
    }
}

/* `count` registers, `step` elements apart, from `position` of the window x. */
INLINE void transform(float *x, size_t position, size_t step, size_t count, int inside,
                      const struct pass *pass) {
    __m512 r[BLOCK_REGISTERS];
    for (size_t i = 0; i < count; i++) {
        r[i] = _mm512_loadu_ps(x + position + i * step);
        if (pass->signs_before != NULL) {
            r[i] = flip_f32x16(r[i], pass->signs_before, position + i * step);
        }
        if (inside) {
            r[i] = levels_inside_f32x16(r[i]);
        }
    }
    levels_across_f32x16(r, count);
    for (size_t i = 0; i < count; i++) {
        if (pass->last) {
            r[i] = _mm512_mul_ps(r[i], _mm512_set1_ps(pass->factor));
        }
        if (pass->signs_after != NULL) {
            r[i] = flip_f32x16(r[i], pass->signs_after, position + i * step);
        }
        _mm512_storeu_ps(x + position + i * step, r[i]);
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
    case 8: first_pass(x, width, 8, &pass); break;
    default: first_pass(x, width, 16, &pass); break;
    }
    size_t stride = first;
    for (; width / stride > 16; stride *= 16) {
        const struct pass middle = { NULL, NULL, 0.0f, 0 };
        later_pass(x, width, stride, 16, &middle);
    }
    const struct pass last = { NULL, after, factor, 1 };
    switch (width / stride) {
    case 16: later_pass(x, width, stride, 16, &last); break;
    case 8: later_pass(x, width, stride, 8, &last); break;
    case 4: later_pass(x, width, stride, 4, &last); break;
    case 2: later_pass(x, width, stride, 2, &last); break;
    default: break;
    }
}

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
