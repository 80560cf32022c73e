/* SPDX-License-Identifier: Apache-2.0 */
/* theory.h: what the paper proves about these quantizers, to print beside what is measured.
 * Compiles alone as C11 and as C++17.
 *
 * The exact error of a scalar codebook is quash_codebook_solve (codec.h). All functions return NaN
 * for arguments out of range. */
#ifndef QUASH_THEORY_H
#define QUASH_THEORY_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Upper bound on E|x - decoded|^2 for |x| = 1 at bits (>= 0) per coordinate, any dim:
 * sqrt(3)*pi/2 * 4^-bits (paper, Theorem 1). */
QUASH_API double quash_theory_mse_bound(int32_t bits);

/* No quantizer of bits per coordinate does better than this for every x: 4^-bits (Theorem 3). */
QUASH_API double quash_theory_mse_lower_bound(int32_t bits);

/* Upper bound on E(estimate - <q, x>)^2 for |x| = |q| = 1 with the inner-product quantizer at bits
 * (>= 1) per coordinate: sqrt(3)*pi^2/dim * 4^-bits (Theorem 2). */
QUASH_API double quash_theory_product_bound(int32_t dim, int32_t bits);

/* Lower bound for every quantizer: 4^-bits / dim (Theorem 3). */
QUASH_API double quash_theory_product_lower_bound(int32_t dim, int32_t bits);

/* Variance of the inner-product quantizer for q uniform on the sphere and |x| = 1, at bits 1..4 and
 * dim 2..QUASH_DIM_MAX: (pi/2 - 1/dim) / dim * E[gamma^2], with E[gamma^2] the mean squared error
 * of this library's bits - 1 bit levels for a coordinate of a random direction (1 at bits = 1). */
QUASH_API double quash_theory_product_variance(int32_t dim, int32_t bits);

#ifdef __cplusplus
}
#endif

#endif
