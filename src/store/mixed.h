/* SPDX-License-Identifier: Apache-2.0 */
/* mixed.h: what the public quash_mixed holds: two groups of channels, each with a quantizer. */
#ifndef QUASH_STORE_MIXED_H
#define QUASH_STORE_MIXED_H

#include <quash/mixed.h>

#include "codec/codec.h"
#include "codec/product.h"

struct quash_channel_group {
    int32_t count;
    int32_t *channels;      /* [count], ascending */
    quash_codec *codec;     /* NULL without channels, or with product */
    quash_product *product; /* NULL without channels, or without product */
};

struct quash_mixed {
    const quash_context *context;
    quash_mixed_params params;
    struct quash_channel_group groups[2]; /* outliers, regular */
    size_t size;                          /* of this block, channels included */
};

/* Validated params; is_outlier has dim flags. Errors: MEMORY. */
quash_status quash_mixed_make(quash_mixed **out, const quash_context *context,
                              const quash_mixed_params *params);
void quash_mixed_destroy(quash_mixed *mixed);

/* What a call moves through the groups; unused pointers are NULL. */
struct quash_mixed_arrays {
    const quash_array *rows; /* input or output (n, dim) */
    const quash_array *out;  /* of a rotation */
    const quash_array *codes;
    const quash_array *signs;
    float *scales; /* (n, 2): scales or norms that are written */
    float *residual_norms;
    const float *scales_in; /* (n, 2): that are read */
    const float *residual_norms_in;
    float *dots;
};

enum quash_mixed_operation {
    QUASH_MIXED_ENCODE,
    QUASH_MIXED_DECODE,
    QUASH_MIXED_PRODUCT_ENCODE,
    QUASH_MIXED_PRODUCT_DOT,
    QUASH_MIXED_ROTATE,
    QUASH_MIXED_UNROTATE
};

/* Runs the operation on both groups. Errors: ARGUMENT (a scale beyond binary32), MEMORY. */
quash_status quash_mixed_run(const quash_mixed *mixed, enum quash_mixed_operation operation,
                             const struct quash_mixed_arrays *arrays);

#endif
