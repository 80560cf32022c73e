/* SPDX-License-Identifier: Apache-2.0 */
/* attend_mean.c: the mean term of attention. Slow pairs, which turn by a radian or so over half a
 * tile, share a few polynomials; fast ones are terms of their own. How many polynomials pay follows
 * from the pairs: each more costs what a fast pair costs. */
#include "cpu/attend_mean.h"

#include <assert.h>
#include <string.h>

void quash_attend_mean_carve(struct attend_mean *mean, struct quash_arena *arena,
                             const struct quash_tile_layout *layout) {
    const size_t dims = layout->key_dims;
    for (size_t h = 0; h < ATTEND_BLOCKS; h++) {
        mean->head[h].list = quash_arena_take(arena, dims / 2, sizeof *mean->head[h].list);
        mean->head[h].even = quash_arena_take(arena, dims / 2 * QUASH_MEAN_OFFSETS, sizeof(float));
        mean->head[h].odd = quash_arena_take(arena, dims / 2 * QUASH_MEAN_OFFSETS, sizeof(float));
    }
    mean->a = quash_arena_take(arena, ATTEND_ROWS_MAX * dims / 2, sizeof(float));
    mean->b = quash_arena_take(arena, ATTEND_ROWS_MAX * dims / 2, sizeof(float));
    mean->coefficients =
        quash_arena_take(arena, ATTEND_ROWS_MAX * dims * QUASH_MEAN_TILES, sizeof(float));
}

/* The number of polynomials with the fewest terms; at least one where something is constant. */
static size_t choose_polynomials(const struct quash_key_stats *stats, const uint8_t *needed) {
    size_t best = 0;
    size_t fewest = SIZE_MAX;
    for (size_t k = 2 * stats->rope->pairs < stats->dim ? 1 : 0; k <= QUASH_MEAN_POLYNOMIALS; k++) {
        size_t terms = k;
        for (size_t i = 0; i < stats->pair_count; i++) {
            terms += needed[stats->pairs[i]] > k;
        }
        if (terms < fewest) {
            best = k;
            fewest = terms;
        }
    }
    return best;
}

static void start_head(struct attend_mean_head *head, const struct quash_key_stats *stats,
                       bool exact) {
    const struct quash_rope *const rope = stats->rope;
    const uint8_t *const needed = exact ? rope->terms_exact : rope->terms_fast;
    const size_t polynomials = choose_polynomials(stats, needed);
    size_t count = 0;
    for (size_t i = 0; i < stats->pair_count; i++) {
        if (needed[stats->pairs[i]] <= polynomials) {
            head->list[count++] = stats->pairs[i];
        }
    }
    head->pairs = (struct quash_mean_pairs){
        .list = head->list,
        .count = stats->pair_count,
        .slow = count,
        .polynomials = polynomials,
        .cos = rope->centre_cos,
        .sin = rope->centre_sin,
        .stride = (size_t)rope->tiles,
        .even = rope->even,
        .odd = rope->odd,
    };
    head->terms = stats->has_mean ? quash_mean_terms(&head->pairs) : 0;
    const size_t basis = polynomials * QUASH_MEAN_OFFSETS;
    memcpy(head->even, rope->even_basis, basis * sizeof *head->even);
    memcpy(head->odd, rope->odd_basis, basis * sizeof *head->odd);
    for (size_t i = 0; i < stats->pair_count; i++) {
        const size_t pair = stats->pairs[i];
        if (needed[pair] > polynomials) {
            const size_t at = (polynomials + count - head->pairs.slow) * QUASH_MEAN_OFFSETS;
            memcpy(head->even + at, rope->offset_cos + pair * QUASH_MEAN_OFFSETS,
                   QUASH_MEAN_OFFSETS * sizeof *head->even);
            memcpy(head->odd + at, rope->offset_sin + pair * QUASH_MEAN_OFFSETS,
                   QUASH_MEAN_OFFSETS * sizeof *head->odd);
            head->list[count++] = (uint16_t)pair;
        }
    }
}

void quash_attend_mean_start(struct attend_mean *mean, const struct quash_tiles *tiles,
                             int64_t kv_head, size_t heads, bool exact) {
    for (size_t h = 0; h < heads && kv_head + (int64_t)h < tiles->kv_heads; h++) {
        start_head(&mean->head[h], &tiles->stats[kv_head + (int64_t)h], exact);
    }
    for (size_t b = 0; b < ATTEND_BLOCKS; b++) {
        mean->batch[b] = -1;
    }
}

void quash_attend_mean_load(struct attend_mean *mean, const struct quash_tiles *tiles,
                            int64_t kv_head, size_t head, size_t row, float *query) {
    const struct quash_key_stats *const stats = &tiles->stats[kv_head];
    const size_t at = row * tiles->layout->key_dims / 2;
    mean->constant[row] =
        quash_key_stats_mean_term(stats, mean->head[head].list, query, mean->a + at, mean->b + at);
    quash_key_stats_scale_query(stats, query);
}

void quash_attend_mean_multiply(struct attend_mean *mean, const struct quash_tiles *tiles,
                                size_t head, size_t row, float factor) {
    const size_t at = row * tiles->layout->key_dims / 2;
    mean->constant[row] *= factor;
    for (size_t i = 0; i < mean->head[head].pairs.count; i++) {
        mean->a[at + i] *= factor;
        mean->b[at + i] *= factor;
    }
}

void quash_attend_mean_add(struct attend_mean *mean, const struct quash_tiles *tiles, size_t head,
                           int64_t page, size_t first, size_t rows, float (*scores)[64]) {
    const struct attend_mean_head *const terms = &mean->head[head];
    const struct quash_kernels *const kernels = tiles->keys->kernels;
    const size_t dims = tiles->layout->key_dims;
    const size_t width = quash_mean_width(&terms->pairs);
    const size_t tile_stride = QUASH_DIGIT_ROWS * width;
    const size_t block = first / QUASH_DIGIT_ROWS;
    const int64_t batch = page / QUASH_MEAN_TILES;
    float *const coefficients =
        mean->coefficients + block * QUASH_DIGIT_ROWS * dims * QUASH_MEAN_TILES;
    assert(rows <= QUASH_DIGIT_ROWS && page < tiles->stats->rope->tiles);
    if (terms->terms == 0) {
        return;
    }
    if (mean->batch[block] != batch) {
        struct quash_mean_pairs pairs = terms->pairs;
        pairs.cos += batch * QUASH_MEAN_TILES;
        pairs.sin += batch * QUASH_MEAN_TILES;
        for (size_t r = 0; r < rows; r++) {
            const size_t at = (first + r) * dims / 2;
            kernels->mean_coefficients(&pairs, mean->a + at, mean->b + at,
                                       mean->constant[first + r], coefficients + r * width,
                                       tile_stride);
        }
        mean->batch[block] = batch;
    }
    kernels->mean_term(terms->even, terms->odd, terms->terms,
                       coefficients + (size_t)page % QUASH_MEAN_TILES * tile_stride, width, rows,
                       scores);
}
