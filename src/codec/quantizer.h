/* SPDX-License-Identifier: Apache-2.0 */
/* quantizer.h: one vector to codes and a scale, and back: rotation, codebook, scale search and
 * scale policy bound together. Rows, cache tiles and index blocks only arrange its output. */
#ifndef QUASH_CODEC_QUANTIZER_H
#define QUASH_CODEC_QUANTIZER_H

#include <math.h>

#include <quash/codec.h>

#include "codec/codebook.h"
#include "codec/rotation.h"
#include "kernel/kernel.h"

struct quash_quantizer {
    const struct quash_kernels *kernels;
    const struct quash_rotation *rotation; /* may be shared: keys and values of a cache */
    const struct quash_codebook *codebook;
    int32_t scale_policy;
    const struct quash_search *search;
    float root_dim;                                /* sqrt(dim) */
    float thresholds[QUASH_SEARCH_FACTORS_MAX][7]; /* of the codebook, times each factor */
};

/* The power of two that brings magnitude (finite, > 0) near 1, so that squares neither overflow nor
 * vanish. Its inverse is exact too. */
static inline float quash_scaling_power(float magnitude) {
    int exponent;
    (void)frexpf(magnitude, &exponent);
    exponent = exponent < -126 ? -126 : (exponent > 126 ? 126 : exponent);
    return ldexpf(1.0f, exponent);
}

/* The rotation is borrowed. */
void quash_quantizer_init(struct quash_quantizer *quantizer, const struct quash_kernels *kernels,
                          const struct quash_rotation *rotation, int32_t bits, int32_t scale_policy,
                          int32_t search_level);

/* What encoding of one vector needs: 2 * dim bytes of codes beside the vector itself. */
struct quash_encoded {
    const uint8_t *codes; /* dim of them, in one of the two scratch buffers */
    float scale;          /* >= 0; 0 for a zero vector; infinite if binary32 cannot hold it */
};

/* Encodes x (dim finite numbers, overwritten). codes_a and codes_b are scratch of dim bytes each.
 * Exact zone (doc/format.md, "Encoding a vector"). */
struct quash_encoded quash_quantizer_encode(const struct quash_quantizer *quantizer, float *x,
                                            uint8_t *codes_a, uint8_t *codes_b);

/* Decodes dim codes and a finite scale >= 0 into x. Coordinates beyond binary32 come out infinite
 * (the store kernels make them the largest finite number). Exact zone. */
void quash_quantizer_decode(const struct quash_quantizer *quantizer, const uint8_t *codes,
                            float scale, float *x);

#endif
