/* SPDX-License-Identifier: Apache-2.0 */
/* attend_digits.c: attention on codes in integer arithmetic (doc/numerics.md, "Attention"): queries
 * are made digits once, then each tile goes through three kernels, in blocks of 4 rows. Tiles are
 * fetched ahead of their use in the order of their addresses, and heads that are neighbours in a
 * page are walked together: long contexts depend on both more than on arithmetic. */
#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "cpu/attend_rows.h"

#define LOG2_E 1.4426950408889634
#define LN_2 0.6931471805599453
#define UNIT_MIN 1e-30f /* any such score is 0 in effect */
#define AHEAD_BYTES ((size_t)24576)

struct walk {
    const struct quash_tiles *tiles;
    enum quash_digit_mode mode;
    struct attend_rows *rows;
    const struct attend_scratch *scratch;
    struct quash_query_digits blocks[ATTEND_BLOCKS];
};

static void make_digits(struct walk *walk) {
    const struct quash_tiles *const tiles = walk->tiles;
    const size_t key_dims = tiles->layout->key_dims;
    const struct attend_rows *const rows = walk->rows;
    const struct attend_scratch *const scratch = walk->scratch;
    const struct quash_digit_rule *const rule = &tiles->keys->kernels->digits[walk->mode].rule;
    const size_t bytes = quash_query_digit_bytes(rule, key_dims);
    const size_t unit_biases = key_dims / QUASH_UNIT_ELEMENTS * QUASH_DIGIT_ROWS * 2;
    memset(scratch->digits, 0, ATTEND_BLOCKS * bytes);
    memset(scratch->bias, 0, ATTEND_ROWS_MAX * sizeof *scratch->bias);
    memset(scratch->unit_bias, 0, ATTEND_BLOCKS * unit_biases * sizeof *scratch->unit_bias);
    for (size_t b = 0; b < ATTEND_BLOCKS; b++) {
        walk->blocks[b] = (struct quash_query_digits){ scratch->digits + b * bytes,
                                                       scratch->bias + b * QUASH_DIGIT_ROWS,
                                                       scratch->unit_bias + b * unit_biases };
    }
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        if (!attend_row_used(rows, r)) {
            continue;
        }
        const size_t b = r / QUASH_DIGIT_ROWS;
        const float size = tiles->keys->kernels->query_digits(
            rule, rows->q + r * key_dims, key_dims, r % QUASH_DIGIT_ROWS,
            scratch->digits + b * bytes, scratch->bias + b * QUASH_DIGIT_ROWS,
            rule->group_top > 0.0f ? scratch->unit_bias + b * unit_biases : NULL);
        const double unit =
            (double)size * (double)rows->scale * (double)tiles->keys->codebook->step * LOG2_E;
        struct quash_softmax_row *const softmax = &scratch->softmax[r];
        memset(softmax, 0, sizeof *softmax);
        softmax->unit = unit > (double)UNIT_MIN ? (float)unit : UNIT_MIN;
        softmax->reference = -FLT_MAX;
        if (tiles->stats != NULL) {
            quash_attend_mean_multiply(
                scratch->mean, tiles, r / rows->places, r,
                (float)((double)rows->scale * LOG2_E / (double)softmax->unit));
        }
    }
}

/* Softmax of the rows of a block of which not all see the whole tile. */
static void softmax_edge(const struct walk *walk, const uint8_t *value_scales, int64_t page,
                         size_t first_row, size_t rows) {
    const struct attend_scratch *const scratch = walk->scratch;
    const size_t value_dims = walk->tiles->layout->value_dims;
    for (size_t r = 0; r < rows; r++) {
        struct quash_softmax_row *const softmax = &scratch->softmax[first_row + r];
        const int64_t seen = walk->rows->visible[first_row + r] - page * QUASH_TILE_TOKENS;
        if (seen <= 0) {
            scratch->weights->weight[r] = 0.0f;
            continue; /* the digits may be any */
        }
        for (int64_t t = seen; t < QUASH_TILE_TOKENS; t++) {
            scratch->scores[r][t] = -fminf(QUASH_MASKED / softmax->unit, FLT_MAX);
        }
        walk->tiles->keys->kernels->digits[walk->mode].softmax(
            (const float(*)[64])scratch->scores, value_scales, r, 1, scratch->softmax + first_row,
            scratch->weights, walk->rows->out + first_row * value_dims, value_dims, value_dims);
    }
}

/* A tile of a head of the walk. */
static void attend_tile(const struct walk *walk, size_t head, const uint8_t *tile,
                        const uint8_t *ahead, int64_t page) {
    const struct quash_tiles *const tiles = walk->tiles;
    const struct quash_tile_layout *const layout = tiles->layout;
    const struct quash_kernels *const kernels = tiles->keys->kernels;
    const struct attend_scratch *const scratch = walk->scratch;
    const size_t begin = head * walk->rows->places;
    const size_t end = begin + walk->rows->count[head];
    for (size_t first = begin; first < end; first += QUASH_DIGIT_ROWS) {
        const size_t left = end - first;
        const size_t rows = left < QUASH_DIGIT_ROWS ? left : (size_t)QUASH_DIGIT_ROWS;
        float *const out = walk->rows->out + first * layout->value_dims;
        int64_t seen = INT64_MAX;
        int64_t most_seen = 0;
        for (size_t r = first; r < first + rows; r++) {
            const int64_t visible = walk->rows->visible[r] - page * QUASH_TILE_TOKENS;
            seen = visible < seen ? visible : seen;
            most_seen = visible > most_seen ? visible : most_seen;
        }
        if (most_seen == 0) {
            continue;
        }
        kernels->digits[walk->mode].scores[layout->key_bits - 2](
            tiles->keys->codebook->values, tile, layout->key_dims,
            &walk->blocks[first / QUASH_DIGIT_ROWS], rows, tile + layout->key_scales, ahead,
            scratch->scores);
        if (tiles->stats != NULL) {
            quash_attend_mean_add(scratch->mean, tiles, head, page, first, rows, scratch->scores);
        }
        if (seen >= QUASH_TILE_TOKENS) {
            kernels->digits[walk->mode].softmax((const float(*)[64])scratch->scores,
                                                tile + layout->value_scales, 0, rows,
                                                scratch->softmax + first, scratch->weights, out,
                                                layout->value_dims, layout->value_dims);
        } else {
            softmax_edge(walk, tile + layout->value_scales, page, first, rows);
        }
        for (size_t r = rows; r < QUASH_DIGIT_ROWS; r++) {
            scratch->weights->weight[r] = 0.0f;
        }
        kernels->digits[walk->mode].values[layout->value_bits - 2](
            tiles->values->codebook->values, tile + layout->values, layout->value_dims,
            scratch->weights, rows, ahead + layout->values, out, layout->value_dims);
        ahead = tile; /* fetched once */
    }
}

/* The first tiles of a range; the kernels fetch the others. */
static void fetch(const uint8_t *tile, size_t bytes) {
    for (size_t i = 0; i < bytes; i += 64) {
        __builtin_prefetch(tile + i, 0, 2);
    }
}

/* A place of the walk, which takes the tiles of a page's heads, page after page. */
struct place {
    int64_t page;
    size_t head;
};

static const uint8_t *tile_of(const struct walk *walk, struct place at) {
    return quash_tiles_at(walk->tiles, at.page, walk->rows->kv_head + (int64_t)at.head);
}

/* Steps on; stays at the last page there is. */
static struct place next_place(const struct walk *walk, struct place at, int64_t pages) {
    const bool wraps = at.head + 1 == walk->rows->heads;
    return (struct place){ wraps && at.page + 1 < pages ? at.page + 1 : at.page,
                           wraps ? 0 : at.head + 1 };
}

void quash_attend_digits(const struct quash_tiles *tiles, enum quash_digit_mode mode, int64_t first,
                         int64_t last, struct attend_rows *rows,
                         const struct attend_scratch *scratch) {
    struct walk walk = { .tiles = tiles, .mode = mode, .rows = rows, .scratch = scratch };
    const size_t distance = 1 + AHEAD_BYTES / tiles->layout->bytes;
    /* What is ahead of the last tiles is the start of the next range, often this thread's next. */
    const int64_t pages = (tiles->tokens + QUASH_TILE_TOKENS - 1) / QUASH_TILE_TOKENS;
    struct place ahead = { first, 0 };
    for (size_t i = 0; i < distance; i++) {
        fetch(tile_of(&walk, ahead), tiles->layout->bytes);
        ahead = next_place(&walk, ahead, pages);
    }
    make_digits(&walk);
    memset(scratch->weights, 0, sizeof *scratch->weights);
    for (int64_t page = first; page < last; page++) {
        for (size_t head = 0; head < rows->heads; head++) {
            attend_tile(&walk, head, tile_of(&walk, (struct place){ page, head }),
                        tile_of(&walk, ahead), page);
            ahead = next_place(&walk, ahead, pages);
        }
    }
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        const struct quash_softmax_row *const softmax = &scratch->softmax[r];
        if (!attend_row_used(rows, r)) {
            continue;
        }
        for (size_t i = 0; i < 16; i++) {
            rows->sum[r] += (double)softmax->lanes[i];
        }
        rows->largest[r] = (double)softmax->reference * LN_2;
    }
}
