/* SPDX-License-Identifier: Apache-2.0 */
/* mean.h: the mean term of attention as kernels see it: per row of queries and tile a function of
 * the token's offset x from the centre of the tile, -31.5 .. 31.5, which is a sum of terms, each an
 * even function of x times a coefficient and an odd one times another. The functions are tables
 * over x = .5, 1.5, .. 31.5: cos(w x) and sin(w x) of fast pairs, and a few polynomials, which
 * serve all slow pairs together. Coefficients are made for 16 tiles at a time, one per lane. */
#ifndef QUASH_KERNEL_MEAN_H
#define QUASH_KERNEL_MEAN_H

#include <stddef.h>
#include <stdint.h>

#define QUASH_MEAN_POLYNOMIALS 8 /* of each parity, at most */
#define QUASH_MEAN_TILES 16      /* in a batch of coefficients */
#define QUASH_MEAN_OFFSETS 32

/* The pairs of a mean: fast ones are terms of their own, the slow ones go into polynomials. */
struct quash_mean_pairs {
    const uint16_t *list; /* [count], the slow ones first */
    size_t count;
    size_t slow;
    size_t polynomials; /* at most QUASH_MEAN_POLYNOMIALS; at least 1 where there are slow pairs */
    /* Of pair p at tile t of a batch: cos[p * stride + t], its rotation at the centre; and at
     * polynomial k: even[p * QUASH_MEAN_POLYNOMIALS + k]. */
    const float *cos;
    const float *sin;
    size_t stride;
    const float *even;
    const float *odd;
};

/* Terms: the polynomials, then the fast pairs. */
static inline size_t quash_mean_terms(const struct quash_mean_pairs *pairs) {
    return pairs->polynomials + pairs->count - pairs->slow;
}

/* Floats of the coefficients of a row at a tile, zeros behind them included. */
static inline size_t quash_mean_width(const struct quash_mean_pairs *pairs) {
    return (2 * quash_mean_terms(pairs) + 15) / 16 * 16;
}

/* x[i] *= factors[i], exact zone. Not in the table: compiled at -O3, as kernels are, it is fast
 * enough everywhere. */
void quash_multiply_each(float *x, const float *factors, size_t n);

#endif
