/* SPDX-License-Identifier: Apache-2.0 */
/* quantizer.c: encoding and decoding of one vector. The order of every rounding here is the exact
 * zone of doc/format.md; each product and quotient is rounded on its own. */
#include "codec/quantizer.h"

#include <math.h>

void quash_quantizer_init(struct quash_quantizer *quantizer, const struct quash_kernels *kernels,
                          const struct quash_rotation *rotation, int32_t bits, int32_t scale_policy,
                          int32_t search_level) {
    quantizer->kernels = kernels;
    quantizer->rotation = rotation;
    quantizer->codebook = quash_codebook_for(bits);
    quantizer->scale_policy = scale_policy;
    /* The raw norm does not follow the step: any but the first would add error. */
    quantizer->search = &quash_searches[scale_policy == QUASH_SCALE_RAW_NORM ? 0 : search_level];
    quantizer->root_dim = sqrtf((float)rotation->dim);
    for (int32_t f = 0; f < quantizer->search->count; f++) {
        for (int32_t t = 0; t < 7; t++) {
            quantizer->thresholds[f][t] =
                quantizer->codebook->thresholds[t] * quantizer->search->factors[f];
        }
    }
}

/* The scale of the vector divided by the power of two: norm is its length, fit is against the
 * vector stretched to length sqrt(dim). Policies: doc/numerics.md. */
static float policy_scale(const struct quash_quantizer *q, float norm, struct quash_fit fit) {
    const float step = q->codebook->step;
    const float raw = norm / q->root_dim;
    switch (q->scale_policy) {
    case QUASH_SCALE_NORM: return norm / (step * sqrtf((float)fit.squares));
    case QUASH_SCALE_UNBIASED: return raw * ((float)q->rotation->dim / (fit.dot * step));
    case QUASH_SCALE_RAW_NORM: return raw;
    default: return raw * (fit.dot / ((float)fit.squares * step));
    }
}

/* Whether a fits the vector better than b: the squared cosine, a.dot^2 / a.squares, is larger. */
static int fits_better(struct quash_fit a, struct quash_fit b) {
    return a.dot * a.dot * (float)b.squares > b.dot * b.dot * (float)a.squares;
}

struct quash_encoded quash_quantizer_encode(const struct quash_quantizer *quantizer, float *x,
                                            uint8_t *codes_a, uint8_t *codes_b) {
    const struct quash_kernels *const kernels = quantizer->kernels;
    const size_t dim = quantizer->rotation->dim;
    const float largest = kernels->max_abs(x, dim);
    const float power = largest > 0.0f ? quash_scaling_power(largest) : 1.0f;
    kernels->multiply(x, dim, 1.0f / power);
    quash_rotation_apply(quantizer->rotation, kernels, x);
    const float norm = sqrtf(kernels->sum_squares(x, dim));
    const float gain = norm > 0.0f ? quantizer->root_dim / norm : 0.0f;

    struct quash_levels levels = { quantizer->codebook->half, quantizer->codebook->values,
                                   quantizer->thresholds[0] };
    uint8_t *best = codes_a;
    uint8_t *trial = codes_b;
    struct quash_fit fit = kernels->quantize(&levels, x, dim, gain, best);
    for (int32_t f = 1; f < quantizer->search->count; f++) {
        levels.thresholds = quantizer->thresholds[f];
        const struct quash_fit other = kernels->quantize(&levels, x, dim, gain, trial);
        if (fits_better(other, fit)) {
            uint8_t *const previous = best;
            best = trial;
            trial = previous;
            fit = other;
        }
    }
    const float scale = norm > 0.0f ? policy_scale(quantizer, norm, fit) * power : 0.0f;
    return (struct quash_encoded){ best, scale };
}

void quash_quantizer_decode(const struct quash_quantizer *quantizer, const uint8_t *codes,
                            float scale, float *x) {
    const struct quash_kernels *const kernels = quantizer->kernels;
    const size_t dim = quantizer->rotation->dim;
    const float power = scale > 0.0f ? quash_scaling_power(scale) : 1.0f;
    const float gain = scale / power * quantizer->codebook->step;
    kernels->dequantize(quantizer->codebook->values, codes, dim, gain, x);
    quash_rotation_undo(quantizer->rotation, kernels, x);
    kernels->multiply(x, dim, power);
}
