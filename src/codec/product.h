/* SPDX-License-Identifier: Apache-2.0 */
/* product.h: what the public quash_product holds (arXiv 2504.19874, Algorithm 2). */
#ifndef QUASH_CODEC_PRODUCT_H
#define QUASH_CODEC_PRODUCT_H

#include <quash/product.h>

#include "base/context.h"
#include "codec/quantizer.h"

struct quash_product {
    const quash_context *context;
    quash_product_params params;
    struct quash_rotation rotation;
    struct quash_quantizer quantizer; /* of bits - 1 bits; not set up at bits = 1 */
    float root_dim;
    float expected_residual; /* root of E|r|^2 */
    float sign_weight;       /* sqrt(pi/2)/dim */
    float *matrix;           /* S, [dim][dim] */
    size_t size;             /* of this block, signs and matrix included */
};

/* Validated params. Errors: MEMORY. */
quash_status quash_product_make(quash_product **out, const quash_context *context,
                                const quash_product_params *params);
/* Accepts NULL. */
void quash_product_destroy(quash_product *product);

/* Level of a code, for a direction of length 1: 0 when there is no bit for it. */
static inline float quash_product_level(const struct quash_product *product, uint8_t code) {
    if (product->params.bits == 1) {
        return 0.0f;
    }
    const struct quash_codebook *const codebook = product->quantizer.codebook;
    return codebook->step * (float)codebook->values[code] / product->root_dim;
}

#endif
