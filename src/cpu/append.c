/* SPDX-License-Identifier: Apache-2.0 */
/* append.c: keys and values of new tokens into the tiles of a cache. A task is one tile, so that no
 * two tasks touch the same byte; codes share bytes with those of other tokens. */
#include <float.h>

#include "base/array.h"
#include "base/half.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/vector_scratch.h"
#include "cpu/first_failure.h"
#include "cpu/tiles.h"

struct append_job {
    const struct quash_tiles *tiles;
    const quash_array *keys;
    const quash_array *values;
    int64_t first_page;
    int64_t pages; /* touched */
    struct quash_scratch scratch;
    struct quash_first_failure overflow; /* head * n + token whose scale does not fit */
};

static void put_keys(const struct quash_tile_layout *layout, uint8_t *tile, size_t slot, size_t dim,
                     const uint8_t *codes, uint16_t scale) {
    for (size_t i = 0; i < dim; i++) {
        const struct quash_tile_place at = quash_tile_key_place(layout, slot, i);
        quash_unit_put(tile + at.offset, layout->key_bits, at.lane, at.element, codes[i]);
    }
    memcpy(tile + layout->key_scales + slot * sizeof scale, &scale, sizeof scale);
}

static void put_values(const struct quash_tile_layout *layout, uint8_t *tile, size_t slot,
                       size_t dim, const uint8_t *codes, uint16_t scale) {
    uint8_t *const units = tile + layout->values;
    for (size_t i = 0; i < dim; i++) {
        const struct quash_tile_place at = quash_tile_value_place(layout, slot, i);
        quash_unit_put(units + at.offset, layout->value_bits, at.lane, at.element, codes[i]);
    }
    memcpy(tile + layout->value_scales + slot * sizeof scale, &scale, sizeof scale);
}

/* All 64 tokens of a tile at once: codes are [64][key_dims], zero beyond head_dim. */
static void put_all_keys(const struct quash_tiles *tiles, const uint8_t *codes, uint8_t *tile) {
    const struct quash_tile_layout *const layout = tiles->layout;
    quash_pack_unit_fn *const pack = tiles->keys->kernels->pack_unit[layout->key_bits - 2];
    const size_t stride = layout->key_dims;
    for (size_t token = 0; token < QUASH_TILE_TOKENS; token += QUASH_UNIT_LANES) {
        for (size_t dim = 0; dim < layout->key_dims; dim += QUASH_UNIT_ELEMENTS) {
            const struct quash_tile_place at = quash_tile_key_place(layout, token, dim);
            pack(codes + token * stride + dim, stride, 1, tile + at.offset);
        }
    }
}

static void put_all_values(const struct quash_tiles *tiles, const uint8_t *codes, uint8_t *tile) {
    const struct quash_tile_layout *const layout = tiles->layout;
    quash_pack_unit_fn *const pack = tiles->values->kernels->pack_unit[layout->value_bits - 2];
    const size_t stride = layout->key_dims;
    for (size_t dim = 0; dim < layout->value_dims; dim += QUASH_UNIT_LANES) {
        for (size_t token = 0; token < QUASH_TILE_TOKENS; token += QUASH_UNIT_ELEMENTS) {
            const struct quash_tile_place at = quash_tile_value_place(layout, token, dim);
            pack(codes + token * stride + dim, 1, stride, tile + layout->values + at.offset);
        }
    }
}

/* What encoding needs beside the tile. */
struct append_scratch {
    struct quash_vector_scratch vector;
    uint8_t *codes; /* [64][key_dims] */
    float *turned;  /* [dim]: the mean of keys at this tile */
};

/* Encodes one vector of the caller, with stats (or NULL) a key of place `slot`; *scale is binary16,
 * infinite when it does not fit. */
static const uint8_t *encode(const struct quash_quantizer *quantizer,
                             const struct quash_key_stats *stats, size_t slot,
                             const quash_array *rows, int64_t head, int64_t token,
                             const struct append_scratch *scratch, uint16_t *scale) {
    const size_t dim = quantizer->rotation->dim;
    float *const row = scratch->vector.row;
    quantizer->kernels->load[rows->dtype](quash_array_row(rows, head, token), dim, row);
    if (stats != NULL) {
        quash_key_stats_apply(stats, scratch->turned, slot, row);
        if (quantizer->kernels->max_abs(row, dim) > FLT_MAX) {
            *scale = 0x7C00u;
            memset(scratch->vector.codes_a, 0, dim);
            return scratch->vector.codes_a;
        }
    }
    const struct quash_encoded encoded = quash_vector_scratch_encode(&scratch->vector, quantizer);
    *scale = quash_f32_to_f16(encoded.scale);
    return encoded.codes;
}

/* The tokens of the append that fall into page index of the job: [*first, *end) counted from the
 * first appended one. */
static void tokens_of_page(const struct append_job *job, int64_t page, int64_t *first,
                           int64_t *end) {
    const int64_t held = job->tiles->tokens;
    const int64_t start = (job->first_page + page) * QUASH_TILE_TOKENS - held;
    const int64_t stop = start + QUASH_TILE_TOKENS;
    *first = start > 0 ? start : 0;
    *end = stop < job->keys->shape[1] ? stop : job->keys->shape[1];
}

static struct append_scratch carve(struct quash_arena *arena,
                                   const struct quash_tile_layout *layout, size_t dim) {
    struct append_scratch scratch;
    scratch.vector = quash_vector_scratch_carve(arena, dim);
    scratch.codes = quash_arena_take(arena, QUASH_TILE_TOKENS, layout->key_dims);
    scratch.turned = quash_arena_take(arena, dim, sizeof *scratch.turned);
    return scratch;
}

static size_t scratch_bytes(const struct quash_tile_layout *layout, size_t dim) {
    struct quash_arena count = { NULL, 0 };
    (void)carve(&count, layout, dim);
    return count.used;
}

/* Encodes the tokens first .. first + 63 of rows, which are a whole tile; scales go to `scales`. */
static void encode_tile(struct append_job *job, const struct quash_quantizer *quantizer,
                        const struct quash_key_stats *stats, const quash_array *rows, int64_t head,
                        int64_t first, const struct append_scratch *scratch, uint8_t *scales) {
    const size_t dim = quantizer->rotation->dim;
    const size_t stride = job->tiles->layout->key_dims;
    for (int64_t i = 0; i < QUASH_TILE_TOKENS; i++) {
        uint8_t *const codes = scratch->codes + (size_t)i * stride;
        uint16_t scale;
        memcpy(codes, encode(quantizer, stats, (size_t)i, rows, head, first + i, scratch, &scale),
               dim);
        memset(codes + dim, 0, stride - dim);
        memcpy(scales + (size_t)i * sizeof scale, &scale, sizeof scale);
        if (scale >= 0x7C00u) {
            quash_first_failure_note(&job->overflow, head * job->keys->shape[1] + first + i);
        }
    }
}

static void append_task(void *state, int64_t index, int32_t worker) {
    struct append_job *const job = state;
    const struct quash_tiles *const tiles = job->tiles;
    const size_t dim = tiles->keys->rotation->dim;
    const int64_t head = index / job->pages;
    const int64_t page = index % job->pages;
    uint8_t *const tile = quash_tiles_at(tiles, job->first_page + page, head);
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct append_scratch scratch = carve(&arena, tiles->layout, dim);
    const struct quash_key_stats *const stats = tiles->stats != NULL ? &tiles->stats[head] : NULL;
    int64_t first;
    int64_t end;
    if (stats != NULL) {
        quash_key_stats_turn(stats, job->first_page + page, scratch.turned);
    }
    tokens_of_page(job, page, &first, &end);
    if (end - first == QUASH_TILE_TOKENS) {
        encode_tile(job, tiles->keys, stats, job->keys, head, first, &scratch,
                    tile + tiles->layout->key_scales);
        put_all_keys(tiles, scratch.codes, tile);
        encode_tile(job, tiles->values, NULL, job->values, head, first, &scratch,
                    tile + tiles->layout->value_scales);
        put_all_values(tiles, scratch.codes, tile);
        return;
    }
    for (int64_t token = first; token < end; token++) {
        const size_t slot = (size_t)((tiles->tokens + token) % QUASH_TILE_TOKENS);
        uint16_t key_scale;
        uint16_t value_scale;
        const uint8_t *codes =
            encode(tiles->keys, stats, slot, job->keys, head, token, &scratch, &key_scale);
        put_keys(tiles->layout, tile, slot, dim, codes, key_scale);
        codes = encode(tiles->values, NULL, 0, job->values, head, token, &scratch, &value_scale);
        put_values(tiles->layout, tile, slot, dim, codes, value_scale);
        if (key_scale >= 0x7C00u || value_scale >= 0x7C00u) {
            quash_first_failure_note(&job->overflow, head * job->keys->shape[1] + token);
        }
    }
}

/* Empties the slots of a failed append, as if it had never run. */
static void clear_task(void *state, int64_t index, int32_t worker) {
    const struct append_job *const job = state;
    const struct quash_tiles *const tiles = job->tiles;
    const size_t dim = tiles->keys->rotation->dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    uint8_t *const zeros = carve(&arena, tiles->layout, dim).vector.codes_a;
    memset(zeros, 0, dim);
    uint8_t *const tile =
        quash_tiles_at(tiles, job->first_page + index % job->pages, index / job->pages);
    int64_t first;
    int64_t end;
    tokens_of_page(job, index % job->pages, &first, &end);
    for (int64_t token = first; token < end; token++) {
        const size_t slot = (size_t)((tiles->tokens + token) % QUASH_TILE_TOKENS);
        put_keys(tiles->layout, tile, slot, dim, zeros, 0);
        put_values(tiles->layout, tile, slot, dim, zeros, 0);
    }
}

quash_status quash_cpu_append(const struct quash_tiles *tiles, const quash_array *keys,
                              const quash_array *values) {
    const quash_context *const context = tiles->context;
    const int64_t n = keys->shape[1];
    struct append_job job = { .tiles = tiles, .keys = keys, .values = values };
    job.first_page = tiles->tokens / QUASH_TILE_TOKENS;
    job.pages = (tiles->tokens + n - 1) / QUASH_TILE_TOKENS - job.first_page + 1;
    quash_first_failure_init(&job.overflow);
    QUASH_TRY(quash_scratch_take(context, scratch_bytes(tiles->layout, tiles->keys->rotation->dim),
                                 "the scratch of append", &job.scratch));
    quash_run(&context->runner, append_task, &job, job.pages * tiles->kv_heads);
    const int64_t failed = quash_first_failure_get(&job.overflow);
    if (failed >= 0) {
        quash_run(&context->runner, clear_task, &job, job.pages * tiles->kv_heads);
    }
    quash_scratch_give(context, &job.scratch);
    if (failed >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "keys or values: the scale of head %lld, token %lld exceeds binary16 "
                          "(65504)",
                          (long long)(failed / n), (long long)(failed % n));
    }
    return QUASH_OK;
}
