/* SPDX-License-Identifier: Apache-2.0 */
/* product_rows.h: operations of the inner-product quantizer. Arguments are validated. */
#ifndef QUASH_CPU_PRODUCT_ROWS_H
#define QUASH_CPU_PRODUCT_ROWS_H

#include "codec/product.h"

/* Where encoding puts n rows. */
struct quash_product_codes {
    const quash_array *codes; /* U8 (n, dim) */
    const quash_array *signs; /* U8 (n, dim) */
    float *norms;
    float *residual_norms; /* or NULL */
};

/* The same to be read. */
struct quash_product_input {
    const quash_array *codes;
    const quash_array *signs;
    const float *norms;
    const float *residual_norms;
};

/* Messages count rows from `first`. Errors: ARGUMENT (a norm beyond binary32), MEMORY. */
quash_status quash_cpu_product_encode(const quash_product *product, const quash_array *rows,
                                      int64_t first, const struct quash_product_codes *out);

/* dots[i] = estimate. Errors: MEMORY. */
quash_status quash_cpu_product_dot(const quash_product *product,
                                   const struct quash_product_input *in, const quash_array *queries,
                                   float *dots);

#endif
