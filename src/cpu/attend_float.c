/* SPDX-License-Identifier: Apache-2.0 */
/* attend_float.c: attention on codes in plain float, the reference that the digit modes are
 * measured against: an online softmax (Milakov and Gimelshein 2018) over the tiles. */
#include <assert.h>
#include <math.h>

#include "base/half.h"
#include "cpu/attend_rows.h"

/* Turns the scores of a row into weights of the values, and updates its softmax. Tokens at or
 * beyond `valid` get weight 0. */
static void softmax_row(struct attend_rows *rows, size_t r, float *scores, size_t valid,
                        const float *value_scales, size_t value_dims) {
    float largest = (float)rows->largest[r];
    for (size_t t = 0; t < valid; t++) {
        largest = fmaxf(largest, scores[t]);
    }
    const float shrink = expf((float)rows->largest[r] - largest); /* 0 at the first tile */
    float sum = 0.0f;
    for (size_t t = 0; t < valid; t++) {
        const float p = expf(scores[t] - largest);
        sum += p;
        scores[t] = p * value_scales[t];
    }
    for (size_t t = valid; t < QUASH_TILE_TOKENS; t++) {
        scores[t] = 0.0f;
    }
    rows->sum[r] = rows->sum[r] * (double)shrink + (double)sum;
    rows->largest[r] = (double)largest;
    if (shrink != 1.0f) {
        float *const out = rows->out + r * value_dims;
        for (size_t i = 0; i < value_dims; i++) {
            out[i] *= shrink;
        }
    }
}

static void attend_tile(const struct quash_tiles *tiles, int64_t page, struct attend_rows *rows,
                        const struct attend_scratch *scratch) {
    float(*const scores)[QUASH_TILE_TOKENS] = scratch->scores;
    const struct quash_tile_layout *const layout = tiles->layout;
    const struct quash_kernels *const kernels = tiles->keys->kernels;
    const uint8_t *const tile = quash_tiles_at(tiles, page, rows->kv_head);
    float key_scales[QUASH_TILE_TOKENS];
    float value_scales[QUASH_TILE_TOKENS];
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        key_scales[t] = quash_f16_at(tile + layout->key_scales, t) *
                        (tiles->keys->codebook->step * rows->scale);
        value_scales[t] = quash_f16_at(tile + layout->value_scales, t);
    }
    kernels->tile_scores[layout->key_bits - 2](tiles->keys->codebook->values, tile,
                                               layout->key_dims, rows->q, layout->key_dims,
                                               rows->count[0], scores);
    for (size_t r = 0; r < rows->count[0]; r++) {
        for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
            scores[r][t] *= key_scales[t];
        }
    }
    for (size_t r = 0; tiles->stats != NULL && r < rows->count[0]; r += QUASH_DIGIT_ROWS) {
        const size_t left = rows->count[0] - r;
        quash_attend_mean_add(scratch->mean, tiles, 0, page, r,
                              left < QUASH_DIGIT_ROWS ? left : (size_t)QUASH_DIGIT_ROWS,
                              scores + r);
    }
    for (size_t r = 0; r < rows->count[0]; r++) {
        const int64_t seen = rows->visible[r] - page * QUASH_TILE_TOKENS;
        if (seen > 0) {
            softmax_row(rows, r, scores[r],
                        seen < QUASH_TILE_TOKENS ? (size_t)seen : (size_t)QUASH_TILE_TOKENS,
                        value_scales, layout->value_dims);
        } else {
            memset(scores[r], 0, sizeof scores[r]);
        }
    }
    kernels->tile_accumulate[layout->value_bits - 2](
        tiles->values->codebook->values, tile + layout->values, layout->value_dims,
        (const float(*)[QUASH_TILE_TOKENS])scores, rows->count[0], rows->out, layout->value_dims);
}

void quash_attend_float(const struct quash_tiles *tiles, int64_t first, int64_t last,
                        struct attend_rows *rows, const struct attend_scratch *scratch) {
    assert(rows->heads == 1);
    for (size_t r = 0; r < rows->count[0]; r++) {
        if (tiles->stats != NULL) {
            quash_attend_mean_multiply(scratch->mean, tiles, 0, r, rows->scale);
        }
    }
    for (int64_t page = first; page < last; page++) {
        attend_tile(tiles, page, rows, scratch);
    }
}
