/* SPDX-License-Identifier: Apache-2.0 */
/* product.h: the paper's inner-product quantizer (arXiv 2504.19874, Algorithm 2): bits - 1 bits per
 * coordinate for the direction u = x/|x|, plus the sign of each coordinate of S r, where r is what
 * those bits miss of u and S a dense dim x dim standard normal matrix:
 *
 *     <q, x> ~ |x| * (<q, u'> + sqrt(pi/2)/dim * |r| * <S q, sign(S r)>)      u' the decoded u
 *
 * Unbiased over S for every fixed q and x. It costs dim^2 operations per vector; at equal bits the
 * unbiased scale of codec.h has a smaller error (doc/numerics.md), so this is for comparison and
 * compatibility. Everything happens after the random rotation: S is applied to rotated vectors.
 * Compiles alone as C11 and as C++17.
 */
#ifndef QUASH_PRODUCT_H
#define QUASH_PRODUCT_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* S takes 4*dim^2 bytes. */
#define QUASH_PRODUCT_DIM_MAX 8192

typedef struct quash_product_params {
    uint32_t struct_size;
    int32_t dim;   /* 1..QUASH_PRODUCT_DIM_MAX */
    int32_t bits;  /* 1..4 in all: bits - 1 of the level, 1 of the sign */
    uint64_t seed; /* of the rotation and of S */
} quash_product_params;

#define QUASH_PRODUCT_PARAMS_INIT                                                                  \
    { sizeof(quash_product_params), 0, 3, 42 }

/* Immutable after creation: any number of threads may use one. */
typedef struct quash_product quash_product;

/* Errors: ARGUMENT (a field out of range, named), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_product_create(quash_product **out,
                                                             quash_context *context,
                                                             const quash_product_params *params);
QUASH_API void quash_product_free(quash_product *product);

/* Encodes rows (n, dim) of any dtype into
 *   codes  U8 (n, dim), in [0, 2^(bits-1))        signs  U8 (n, dim), 1 where (S r)_i >= 0, else 0
 *   norms  n numbers |x|                          residual_norms  n numbers |r|, or NULL
 * A zero row has norm 0 and residual norm 0. Split over the context's runner.
 * Errors: ARGUMENT (shape, dtype, strides; NaN or infinity, naming row and column; a norm beyond
 * binary32, naming the row: the outputs are then unspecified), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_product_encode(const quash_product *product,
                                                             const quash_array *rows,
                                                             const quash_array *codes,
                                                             const quash_array *signs, float *norms,
                                                             float *residual_norms);

/* Estimates n inner products: dots[i] of row i and of queries row i, both (n, dim); queries are
 * floating point, ROTATED (quash_product_rotate), and may repeat one row with stride 0, which costs
 * dim^2 once per 64 rows. residual_norms NULL: the root of its expected square for these bits is
 * used instead, which leaves a bias: a few per cent of |r| on average over rows. An estimate beyond
 * binary32 is infinite. Split over the context's runner.
 * Errors: ARGUMENT (shape, dtype, strides, NaN or infinity, a code out of range, a negative or
 * non-finite norm), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_product_dot(
    const quash_product *product, const quash_array *codes, const quash_array *signs,
    const float *norms, const float *residual_norms, const quash_array *queries, float *dots);

/* Rotates rows (n, dim) into out, or back. Errors: as quash_rotate. */
QUASH_API QUASH_MUST_CHECK quash_status quash_product_rotate(const quash_product *product,
                                                             int32_t inverse,
                                                             const quash_array *rows,
                                                             const quash_array *out);

/* Copies S, dim*dim numbers, row-major. */
QUASH_API void quash_product_matrix(const quash_product *product, float *matrix);

#ifdef __cplusplus
}
#endif

#endif
