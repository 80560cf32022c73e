/* SPDX-License-Identifier: Apache-2.0 */
/* rope.h: tables of a rotary position embedding (doc/numerics.md, "Key statistics"). A position is
 * the centre of a tile of 64, 64a + 31.5, and an offset from it, -31.5 .. 31.5: R_t is the product
 * of two rotations from two tables, and cosines are even and sines odd in the offset, so that 32
 * offsets stand for 64 tokens. Nothing is advanced by recurrence.
 *
 * Exact zone: sine and cosine are computed here, in integers and correctly rounded operations, and
 * rounded to binary32, so that all machines have the same tables whatever their libm. */
#ifndef QUASH_CODEC_ROPE_H
#define QUASH_CODEC_ROPE_H

#include <quash/rope.h>

#include "kernel/mean.h"

struct quash_rope {
    size_t pairs;       /* rotary_dim / 2 */
    size_t pair_stride; /* from a pair's first coordinate to the next pair's */
    size_t pair_apart;  /* from a pair's first coordinate to its second */
    int64_t tiles;      /* rounded up to 16 */

    const float *centre_cos; /* [pairs][tiles] at the centre of each tile */
    const float *centre_sin;
    const float *offset_cos; /* [pairs][32] at offset j + .5 */
    const float *offset_sin;

    /* Slow pairs as polynomials of the offset: cos(w x) is about the sum over k of even[k] *
     * T_2k(x / 31.5), sin(w x) that of odd[k] * T_2k+1(x / 31.5), over the first terms_fast[i]
     * (error of both at most QUASH_ROPE_FAST_ERROR) or terms_exact[i] of QUASH_MEAN_POLYNOMIALS
     * terms; a count above that: the pair is too fast. */
    const float *even; /* [pairs][QUASH_MEAN_POLYNOMIALS] */
    const float *odd;
    const uint8_t *terms_fast;  /* [pairs] */
    const uint8_t *terms_exact; /* [pairs] */
    const float *even_basis;    /* [QUASH_MEAN_POLYNOMIALS][32]: T_2k at offset j + .5 */
    const float *odd_basis;
};

#define QUASH_ROPE_FAST_ERROR 5e-5
#define QUASH_ROPE_EXACT_ERROR 2e-7

/* Bytes of the tables: 8 * pairs * max_position/64, about. */
size_t quash_rope_bytes(const quash_rope_params *params);

/* Makes the tables of valid params in memory (quash_rope_bytes, aligned to 64), which stays in use.
 * Under quash_run. */
void quash_rope_init(struct quash_rope *rope, const quash_rope_params *params, void *memory);

/* The coordinates that pair i turns. */
static inline size_t quash_rope_x(const struct quash_rope *rope, size_t pair) {
    return pair * rope->pair_stride;
}
static inline size_t quash_rope_y(const struct quash_rope *rope, size_t pair) {
    return pair * rope->pair_stride + rope->pair_apart;
}

#endif
