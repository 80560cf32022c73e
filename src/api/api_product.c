/* SPDX-License-Identifier: Apache-2.0 */
/* api_product.c: the public inner-product quantizer: validation, then src/cpu. */
#include <string.h>

#include "api/check.h"
#include "base/array.h"
#include "base/status.h"
#include "codec/product.h"
#include "cpu/product_rows.h"
#include "cpu/rows.h"

quash_status quash_product_create(quash_product **out, quash_context *context,
                                  const quash_product_params *params) {
    QUASH_TRY(quash_check_create(out, context, params, params == NULL ? 0 : params->struct_size,
                                 sizeof *params));
    QUASH_TRY(quash_check_range("dim", params->dim, 1, QUASH_PRODUCT_DIM_MAX));
    QUASH_TRY(quash_check_range("bits", params->bits, 1, 4));
    return quash_product_make(out, context, params);
}

void quash_product_free(quash_product *product) {
    quash_product_destroy(product);
}

quash_status quash_product_encode(const quash_product *product, const quash_array *rows,
                                  const quash_array *codes, const quash_array *signs, float *norms,
                                  float *residual_norms) {
    const int64_t dim = product->params.dim;
    QUASH_TRY(quash_check_rows(product->context, rows, "rows", QUASH_ANY_DTYPE, -1, dim));
    const int64_t n = rows->shape[0];
    QUASH_TRY(quash_check_bytes_output(codes, "codes", n, dim));
    QUASH_TRY(quash_check_bytes_output(signs, "signs", n, dim));
    QUASH_TRY(quash_check_pointer("norms", norms, n));
    const struct quash_product_codes out = { codes, signs, norms, residual_norms };
    return quash_cpu_product_encode(product, rows, 0, &out);
}

quash_status quash_product_dot(const quash_product *product, const quash_array *codes,
                               const quash_array *signs, const float *norms,
                               const float *residual_norms, const quash_array *queries,
                               float *dots) {
    const int64_t dim = product->params.dim;
    QUASH_TRY(quash_check_rows(product->context, queries, "queries", QUASH_FLOATS, -1, dim));
    const int64_t n = queries->shape[0];
    QUASH_TRY(quash_check_bytes(codes, "codes", n, dim));
    QUASH_TRY(quash_check_bytes(signs, "signs", n, dim));
    QUASH_TRY(quash_check_codes(codes, product->params.bits - 1));
    QUASH_TRY(quash_check_pointer("norms", norms, n));
    QUASH_TRY(quash_check_scales("norms", norms, n));
    if (residual_norms != NULL) {
        QUASH_TRY(quash_check_scales("residual_norms", residual_norms, n));
    }
    QUASH_TRY(quash_check_pointer("dots", dots, n));
    const struct quash_product_input in = { codes, signs, norms, residual_norms };
    return quash_cpu_product_dot(product, &in, queries, dots);
}

quash_status quash_product_rotate(const quash_product *product, int32_t inverse,
                                  const quash_array *rows, const quash_array *out) {
    const int64_t dim = product->params.dim;
    QUASH_TRY(quash_check_rows(product->context, rows, "rows", QUASH_ANY_DTYPE, -1, dim));
    const int64_t expected[2] = { rows->shape[0], dim };
    QUASH_TRY(quash_array_check_output(out, "out", 2, expected));
    return quash_cpu_rotate_rows(product->context, &product->rotation, inverse, rows, out);
}

void quash_product_matrix(const quash_product *product, float *matrix) {
    const size_t dim = product->rotation.dim;
    memcpy(matrix, product->matrix, dim * dim * sizeof *matrix);
}
