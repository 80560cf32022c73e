/* SPDX-License-Identifier: Apache-2.0 */
/* product_support.h: what tests of the inner-product quantizer and of mixed precision share: calls
 * that must succeed, on buffers of the right size. */
#ifndef QUASH_TESTS_PRODUCT_SUPPORT_H
#define QUASH_TESTS_PRODUCT_SUPPORT_H

#include <quash/mixed.h>
#include <quash/product.h>

#include "support.h"

static inline quash_product_params test_product_params(size_t dim, int32_t bits, uint64_t seed) {
    quash_product_params params = QUASH_PRODUCT_PARAMS_INIT;
    params.dim = (int32_t)dim;
    params.bits = bits;
    params.seed = seed;
    return params;
}

static inline quash_product *test_product(quash_context *context, size_t dim, int32_t bits,
                                          uint64_t seed) {
    const quash_product_params params = test_product_params(dim, bits, seed);
    quash_product *product = NULL;
    if (!CHECK_EQ(quash_product_create(&product, context, &params), QUASH_OK)) {
        printf("%s\n", quash_last_message());
        exit(1);
    }
    return product;
}

static inline quash_mixed *test_mixed(quash_context *context, const quash_mixed_params *params) {
    quash_mixed *mixed = NULL;
    if (!CHECK_EQ(quash_mixed_create(&mixed, context, params), QUASH_OK)) {
        printf("%s\n", quash_last_message());
        exit(1);
    }
    return mixed;
}

static inline quash_array test_floats(const float *data, size_t rows, size_t dim) {
    return quash_array_view(data, QUASH_F32, 2, (int64_t)rows, (int64_t)dim, 0);
}

static inline quash_array test_bytes(const uint8_t *data, size_t rows, size_t dim) {
    return quash_array_view(data, QUASH_U8, 2, (int64_t)rows, (int64_t)dim, 0);
}

/* Encoded rows: of a product, or, with two norms a row, of a mixed one. */
struct test_codes {
    size_t rows;
    size_t dim;
    uint8_t *codes;
    uint8_t *signs;
    float *norms; /* or scales */
    float *residual_norms;
};

static inline struct test_codes test_codes_new(size_t rows, size_t dim) {
    const struct test_codes c = { rows,
                                  dim,
                                  test_alloc(rows * dim),
                                  test_alloc(rows * dim),
                                  test_alloc(2 * rows * sizeof(float)),
                                  test_alloc(2 * rows * sizeof(float)) };
    memset(c.codes, 0x5A, rows * dim);
    memset(c.signs, 0x5A, rows * dim);
    for (size_t i = 0; i < 2 * rows; i++) {
        c.norms[i] = -7.0f;
        c.residual_norms[i] = -7.0f;
    }
    return c;
}

static inline void test_codes_free(const struct test_codes *c) {
    free(c->codes);
    free(c->signs);
    free(c->norms);
    free(c->residual_norms);
}

static inline bool test_codes_equal(const struct test_codes *a, const struct test_codes *b) {
    return memcmp(a->codes, b->codes, a->rows * a->dim) == 0 &&
           memcmp(a->signs, b->signs, a->rows * a->dim) == 0 &&
           memcmp(a->norms, b->norms, 2 * a->rows * sizeof(float)) == 0 &&
           memcmp(a->residual_norms, b->residual_norms, 2 * a->rows * sizeof(float)) == 0;
}

static inline void test_product_encode(const quash_product *product, const float *x,
                                       const struct test_codes *c) {
    const quash_array rows = test_floats(x, c->rows, c->dim);
    const quash_array codes = test_bytes(c->codes, c->rows, c->dim);
    const quash_array signs = test_bytes(c->signs, c->rows, c->dim);
    CHECK_EQ(quash_product_encode(product, &rows, &codes, &signs, c->norms, c->residual_norms),
             QUASH_OK);
}

/* query_stride 0: the same (rotated) query for every row; dim: one for each. */
static inline void test_product_dot(const quash_product *product, const struct test_codes *c,
                                    const float *residual_norms, const float *queries,
                                    size_t query_stride, float *dots) {
    quash_array q = test_floats(queries, c->rows, c->dim);
    const quash_array codes = test_bytes(c->codes, c->rows, c->dim);
    const quash_array signs = test_bytes(c->signs, c->rows, c->dim);
    q.stride[0] = (int64_t)query_stride;
    CHECK_EQ(quash_product_dot(product, &codes, &signs, c->norms, residual_norms, &q, dots),
             QUASH_OK);
}

static inline void test_product_rotate(const quash_product *product, const float *x, size_t rows,
                                       size_t dim, float *rotated) {
    const quash_array in = test_floats(x, rows, dim);
    const quash_array out = test_floats(rotated, rows, dim);
    CHECK_EQ(quash_product_rotate(product, 0, &in, &out), QUASH_OK);
}

/* Level of a code for a direction of length 1, by the public table. bits = 0: no level. */
static inline double test_level(size_t dim, int32_t bits, uint8_t code) {
    int8_t levels[16] = { 0 };
    float step = 0.0f;
    (void)quash_codebook_levels(bits, levels, &step);
    return (double)step * levels[code] / sqrt((double)dim);
}

/* What the levels miss of the direction of a rotated vector x. */
static inline void test_residual(const float *x, const uint8_t *codes, size_t dim, int32_t bits,
                                 double *residual) {
    const double length = sqrt(test_dot(x, x, dim));
    for (size_t i = 0; i < dim; i++) {
        residual[i] = (double)x[i] / length - test_level(dim, bits, codes[i]);
    }
}

#endif
