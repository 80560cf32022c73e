/* SPDX-License-Identifier: Apache-2.0 */
/* product.c: memory of an inner-product quantizer, and its Gaussian matrix: Box-Muller on words of
 * the counter generator, stream 64 + row. Not part of the exact zone: log and cos are libm's. */
#include "codec/product.h"

#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/runner.h"
#include "base/status.h"

/* Streams below belong to the steps of the rotation. */
#define MATRIX_STREAM 64

/* A number in (0, 1]. */
static double uniform(uint64_t word) {
    return ((double)(word >> 11) + 1.0) * 0x1p-53;
}

/* Row `row` of S. */
static void matrix_task(void *state, int64_t row, int32_t worker) {
    (void)worker;
    const quash_product *const product = state;
    const size_t dim = product->rotation.dim;
    const uint64_t key = quash_rng_key(product->params.seed, MATRIX_STREAM + (uint64_t)row);
    float *const out = product->matrix + (size_t)row * dim;
    for (size_t i = 0; i < dim; i += 2) {
        const double radius = sqrt(-2.0 * log(uniform(quash_rng_word(key, i))));
        const double angle = 6.283185307179586 * uniform(quash_rng_word(key, i + 1));
        out[i] = (float)(radius * cos(angle));
        if (i + 1 < dim) {
            out[i + 1] = (float)(radius * sin(angle));
        }
    }
}

/* Runs under quash_run: thresholds are products of the exact zone. */
static void init_task(void *state, int64_t index, int32_t worker) {
    (void)index;
    (void)worker;
    quash_product *const product = state;
    const quash_product_params *const params = &product->params;
    uint8_t *const signs =
        (uint8_t *)product->matrix + (size_t)params->dim * (size_t)params->dim * sizeof(float);
    quash_rotation_init(&product->rotation, (size_t)params->dim, 2, params->seed, signs);
    if (params->bits > 1) {
        quash_quantizer_init(&product->quantizer, product->context->kernels, &product->rotation,
                             params->bits - 1, QUASH_SCALE_RAW_NORM, 0);
    }
    product->root_dim = sqrtf((float)params->dim);
    product->sign_weight = (float)(sqrt(1.5707963267948966) / params->dim);
    /* In one dimension the level's error is |1 - step|, which the density does not cover. */
    const int32_t density_dim = params->dim > 1 ? params->dim : 2;
    product->expected_residual = (float)sqrt(quash_codebook_error(density_dim, params->bits - 1));
}

quash_status quash_product_make(quash_product **out, const quash_context *context,
                                const quash_product_params *params) {
    const size_t dim = (size_t)params->dim;
    const size_t head = quash_round_up(sizeof(quash_product), QUASH_ALIGNMENT);
    const size_t size = head + dim * dim * sizeof(float) + quash_rotation_sign_bytes(dim, 2);
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the inner-product quantizer", &memory));
    quash_product *const product = memory;
    product->context = context;
    product->params = *params;
    product->matrix = (float *)(void *)((uint8_t *)memory + head);
    product->size = size;
    quash_run(&quash_serial_runner, init_task, product, 1);
    quash_run(&context->runner, matrix_task, product, params->dim);
    *out = product;
    return QUASH_OK;
}

void quash_product_destroy(quash_product *product) {
    if (product != NULL) {
        quash_release(&product->context->allocator, product, product->size);
    }
}
