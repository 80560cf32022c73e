/* SPDX-License-Identifier: Apache-2.0 */
/* mixed.h: mixed precision (arXiv 2504.19874, section 4.2): some channels, the outliers, get more
 * bits. They are chosen BEFORE the rotation, after which all channels are alike; each of the two
 * groups has a rotation, levels and a scale of its own. Compiles alone as C11 and as C++17.
 *
 * The inner-product variant (product) estimates each group on its own, and its variance falls with
 * the channels of the group, so a small group of large channels dominates where queries have the
 * same outliers: 16 of 128 channels ten times as large, at 2.25 bits, give 1.4 times the error of the
 * uniform inner-product quantizer at that rate, and .42 times it for queries of any direction. All
 * bits as levels have .08 to .3 times it in both cases (doc/numerics.md). Take product only where
 * the estimate must be unbiased and queries do not share the outliers.
 *
 *     quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
 *     status = quash_mixed_preset_params(&params, QUASH_MIXED_2_25, 128);
 *     int32_t outliers[128];
 *     status = quash_outlier_channels(context, &sample, params.outlier_count, outliers);
 *     params.outliers = outliers;
 *     status = quash_mixed_create(&mixed, context, &params);
 */
#ifndef QUASH_MIXED_H
#define QUASH_MIXED_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct quash_mixed_params {
    uint32_t struct_size;
    int32_t dim;             /* 1..QUASH_DIM_MAX; product: 1..QUASH_PRODUCT_DIM_MAX (product.h) */
    int32_t outlier_bits;    /* 1..4, >= regular_bits; product: 1..3, a sign bit comes on top */
    int32_t regular_bits;    /* likewise */
    const int32_t *outliers; /* outlier_count different channels in [0, dim), any order; copied */
    int32_t outlier_count;   /* 0..dim; 0: every channel is regular */
    int32_t scale_policy;    /* a quash_scale_policy (codec.h), for each group; product: ignored */
    int32_t search_level;    /* 0..2 (codec.h); product: ignored */
    int32_t product;         /* not 0: each group by the inner-product quantizer (product.h) */
    uint64_t seed;
} quash_mixed_params;

#define QUASH_MIXED_PARAMS_INIT                                                                    \
    { sizeof(quash_mixed_params), 0, 3, 2, NULL, 0, 0, 0, 0, 42 }

/* The paper's rates, in bits per coordinate: which share of the channels has which bits. */
typedef enum quash_mixed_preset {
    QUASH_MIXED_2_25 = 0, /* a quarter 3, the others 2; dim a multiple of 4 */
    QUASH_MIXED_2_5 = 1,  /* half 3, half 2; dim even */
    QUASH_MIXED_3_5 = 2   /* half 4, half 3; dim even */
} quash_mixed_preset;

/* Writes dim, outlier_bits, regular_bits and outlier_count; the other fields stay, and outliers is
 * for the caller to fill. With params->product set, the rate counts the sign bit: both groups have
 * one bit of levels less, and quash_mixed_bits is the rate either way.
 * Errors: ARGUMENT (params->struct_size; preset; a dim out of range or that does not divide). */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_preset_params(quash_mixed_params *params,
                                                                  int32_t preset, int32_t dim);

/* Immutable after creation: any number of threads may use one. */
typedef struct quash_mixed quash_mixed;

/* Writes the `count` channels of largest mean square over the rows (n, dim) of a sample, ascending,
 * to channels. Ties: the lower channel.
 * Errors: ARGUMENT (shape, dtype, strides; count not 0..dim; no rows; NaN or infinity), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_outlier_channels(quash_context *context,
                                                               const quash_array *rows,
                                                               int32_t count, int32_t *channels);

/* Errors: ARGUMENT (a field out of range, a channel out of range or twice, named), MEMORY. */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_create(quash_mixed **out,
                                                           quash_context *context,
                                                           const quash_mixed_params *params);
QUASH_API void quash_mixed_free(quash_mixed *mixed);

/* Bits per coordinate, sign bits included, scales not. */
QUASH_API double quash_mixed_bits(const quash_mixed *mixed);

/* Encodes rows (n, dim) into codes U8 (n, dim), where code i is of channel i, and scales (n, 2):
 * of the outlier group, then of the regular one; a group without channels has scale 0. Two scales
 * of 2 bytes add 32/dim bits. Not for product.
 * Errors, of this and the calls below: as quash_encode_codes, UNSUPPORTED (product). Where a call
 * fails for MEMORY or a scale or norm beyond binary32, its outputs are unspecified. */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_encode(const quash_mixed *mixed,
                                                           const quash_array *rows,
                                                           const quash_array *codes, float *scales);

/* The inverse. Errors: as quash_decode_codes; UNSUPPORTED (product). */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_decode(const quash_mixed *mixed,
                                                           const quash_array *codes,
                                                           const float *scales,
                                                           const quash_array *rows);

/* As quash_product_encode, with norms (n, 2) and residual_norms (n, 2) or NULL; for product only.
 * Errors: as there; UNSUPPORTED (not product). */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_product_encode(
    const quash_mixed *mixed, const quash_array *rows, const quash_array *codes,
    const quash_array *signs, float *norms, float *residual_norms);

/* As quash_product_dot, the sum over both groups. Errors: as there; UNSUPPORTED (not product). */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_product_dot(
    const quash_mixed *mixed, const quash_array *codes, const quash_array *signs,
    const float *norms, const float *residual_norms, const quash_array *queries, float *dots);

/* Rotates each group of channels in its own rotation, in place of its channels, or back.
 * Errors: as quash_rotate. */
QUASH_API QUASH_MUST_CHECK quash_status quash_mixed_rotate(const quash_mixed *mixed,
                                                           int32_t inverse, const quash_array *rows,
                                                           const quash_array *out);

#ifdef __cplusplus
}
#endif

#endif
