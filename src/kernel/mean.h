/* SPDX-License-Identifier: Apache-2.0 */
/* mean.h: the mean term of attention as kernels see it: per row of queries and tile a function of
 * the token's offset x from the centre of the tile, -31.5 .. 31.5, which is a sum of terms, each an
 * even function of x times a coefficient and an odd one times another. The functions are tables over
 * x = .5, 1.5, .. 31.5: cos(w x) and sin(w x) of fast pairs, and a few polynomials, which serve all
 * slow pairs together. Coefficients are made for 16 tiles at a time, one per lane. */
#ifndef QUASH_KERNEL_MEAN_H
#define QUASH_KERNEL_MEAN_H

#include <stddef.h>
#include <stdint.h>

#define QUASH_MEAN_POLYNOMIALS 8 /* of each parity, at most */
#define QUASH_MEAN_TILES 16      /* in a batch of coefficients */
#define QUASH_MEAN_OFFSETS 32

/* A pair of the mean: its rotation at the centres of the tiles of a batch, and, unless it is fast,
 * how it adds to the polynomials. */
struct quash_mean_pair {
    const float *cos; /* [16] */
    const float *sin;
    const float *even; /* coefficients of the polynomials; not used where the pair is fast */
    const float *odd;
};

/* The functions of a term. */
struct quash_mean_basis {
    const float *even; /* [32] */
    const float *odd;
};

#endif
