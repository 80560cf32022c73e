/* SPDX-License-Identifier: Apache-2.0 */
/* codebook.h: the frozen integer codebooks (doc/format.md, "Levels") and the Lloyd-Max solver. */
#ifndef QUASH_CODEC_CODEBOOK_H
#define QUASH_CODEC_CODEBOOK_H

#include <quash/codec.h>

/* Levels of one bit width: symmetric, level of code i = step * values[i]. Codes ascend with the
 * level, so the top bit of a code is 1 for the upper (positive) half. */
struct quash_codebook {
    int32_t bits;
    int32_t half; /* 2^(bits-1) positive levels */
    float step;
    int8_t values[16];   /* |value| <= 63 */
    float thresholds[7]; /* between the positive levels, ascending; half - 1 of them */
};

extern const struct quash_codebook quash_codebooks[4];

static inline const struct quash_codebook *quash_codebook_for(int32_t bits) {
    return &quash_codebooks[bits - 1];
}

/* Mean squared error of the frozen levels of `bits` (0: no level, error 1) for a coordinate of
 * variance 1 of a random direction in dim dimensions, dim 0 or 2..QUASH_DIM_MAX as in
 * quash_codebook_solve. */
double quash_codebook_error(int32_t dim, int32_t bits);

/* Scale search (numerics, section 3): step sizes tried at each level, the first being 1. */
#define QUASH_SEARCH_FACTORS_MAX 5

struct quash_search {
    int32_t count;
    float factors[QUASH_SEARCH_FACTORS_MAX];
};

extern const struct quash_search quash_searches[3];

#endif
