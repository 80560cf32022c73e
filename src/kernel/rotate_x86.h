/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_x86.h: signs and Hadamard butterflies of a window, for AVX2 and AVX-512. Levels run in stride
 * order, several of them per pass over memory: a first pass does the small strides on blocks of
 * adjacent registers, later ones do up to log2(BLOCK_REGISTERS) levels on registers `stride` apart.
 *
 * The file that includes this defines LANES, BLOCK_REGISTERS (8 or 16), the type `vector` of LANES
 * floats, and on it: load, store, add, subtract, multiply, levels_inside (the strides below LANES)
 * and flip_register (the signs of the i-th register of a transform). */
#ifndef QUASH_KERNEL_ROTATE_X86_H
#define QUASH_KERNEL_ROTATE_X86_H

#include <stddef.h>
#include <stdint.h>

#include "kernel/simd_x86.h"

/* What a pass does to each register before (signs) and after its levels. */
struct pass {
    const uint8_t *signs_before; /* of the window; NULL: none */
    const uint8_t *signs_after;  /* likewise */
    float factor;                /* used where `last` is set */
    int last;
};

/* One level between registers `stride` apart; constants, so that it unrolls. */
static INLINE void level_across(vector *r, size_t count, size_t stride) {
    for (size_t k = 0; k < count / 2; k++) {
        const size_t i = k / stride * 2 * stride + k % stride;
        const vector a = r[i];
        const vector b = r[i + stride];
        r[i] = add(a, b);
        r[i + stride] = subtract(a, b);
    }
}

static INLINE void levels_across(vector *r, size_t count) {
    if (count > 1) {
        level_across(r, count, 1);
    }
    if (count > 2) {
        level_across(r, count, 2);
    }
    if (count > 4) {
        level_across(r, count, 4);
    }
    if (count > 8) {
        level_across(r, count, 8);
    }
}

/* `count` registers, `step` elements apart, from `position` of the window x. */
static INLINE void transform(float *x, size_t position, size_t step, size_t count, int inside,
                             const struct pass *pass) {
    vector r[BLOCK_REGISTERS];
    for (size_t i = 0; i < count; i++) {
        r[i] = load(x + position + i * step);
        if (pass->signs_before != NULL) {
            r[i] = flip_register(r[i], pass->signs_before, position, step, i);
        }
        if (inside) {
            r[i] = levels_inside(r[i]);
        }
    }
    levels_across(r, count);
    for (size_t i = 0; i < count; i++) {
        if (pass->last) {
            r[i] = multiply(r[i], pass->factor);
        }
        if (pass->signs_after != NULL) {
            r[i] = flip_register(r[i], pass->signs_after, position, step, i);
        }
        store(x + position + i * step, r[i]);
    }
}

/* Levels of strides below LANES * count on every block of the window. */
static INLINE void first_pass(float *x, size_t width, size_t count, const struct pass *pass) {
    for (size_t i = 0; i < width; i += LANES * count) {
        transform(x, i, LANES, count, 1, pass);
    }
}

/* Levels stride, 2*stride, ... below count*stride. */
static INLINE void later_pass(float *x, size_t width, size_t stride, size_t count,
                              const struct pass *pass) {
    for (size_t start = 0; start < width; start += stride * count) {
        for (size_t i = start; i < start + stride; i += LANES) {
            transform(x, i, stride, count, 0, pass);
        }
    }
}

/* All levels; signs before them or after them. width is at least LANES. */
static INLINE void hadamard(float *x, size_t width, const uint8_t *before, const uint8_t *after,
                            float factor) {
    const size_t first = width < LANES * BLOCK_REGISTERS ? width : LANES * BLOCK_REGISTERS;
    const int single = first == width;
    const struct pass pass = { before, single ? after : NULL, factor, single };
    switch (first / LANES) {
    case 1: first_pass(x, width, 1, &pass); break;
    case 2: first_pass(x, width, 2, &pass); break;
    case 4: first_pass(x, width, 4, &pass); break;
    case 8: first_pass(x, width, 8, &pass); break;
    default: first_pass(x, width, BLOCK_REGISTERS, &pass); break;
    }
    size_t stride = first;
    for (; width / stride > BLOCK_REGISTERS; stride *= BLOCK_REGISTERS) {
        const struct pass middle = { NULL, NULL, 0.0f, 0 };
        later_pass(x, width, stride, BLOCK_REGISTERS, &middle);
    }
    const struct pass last = { NULL, after, factor, 1 };
    switch (width / stride) {
    case 1: break;
    case 2: later_pass(x, width, stride, 2, &last); break;
    case 4: later_pass(x, width, stride, 4, &last); break;
    case 8: later_pass(x, width, stride, 8, &last); break;
    default: later_pass(x, width, stride, BLOCK_REGISTERS, &last); break;
    }
}

#endif
