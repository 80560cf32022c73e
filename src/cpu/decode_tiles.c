/* SPDX-License-Identifier: Apache-2.0 */
/* decode_tiles.c: tokens of a cache back to vectors, for tests and quality reports. */
#include "base/array.h"
#include "base/half.h"
#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/vector_scratch.h"
#include "cpu/tiles.h"

struct decode_job {
    const struct quash_tiles *tiles;
    int key;
    int64_t first;
    const quash_array *out;
    struct quash_scratch scratch;
};

static void decode_task(void *state, int64_t index, int32_t worker) {
    const struct decode_job *const job = state;
    const struct quash_tiles *const tiles = job->tiles;
    const struct quash_tile_layout *const layout = tiles->layout;
    const struct quash_quantizer *const quantizer = job->key ? tiles->keys : tiles->values;
    const size_t dim = quantizer->rotation->dim;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct quash_vector_scratch scratch = quash_vector_scratch_carve(&arena, dim);
    float *const turned = quash_arena_take(&arena, dim, sizeof *turned);
    const int64_t head = index / job->out->shape[1];
    const int64_t token = job->first + index % job->out->shape[1];
    const size_t slot = (size_t)(token % QUASH_TILE_TOKENS);
    const uint8_t *const tile = quash_tiles_at(tiles, token / QUASH_TILE_TOKENS, head);
    for (size_t i = 0; i < dim; i++) {
        const struct quash_tile_place at = job->key ? quash_tile_key_place(layout, slot, i)
                                                    : quash_tile_value_place(layout, slot, i);
        scratch.codes_a[i] =
            (uint8_t)quash_unit_get(tile + (job->key ? 0 : layout->values) + at.offset,
                                    quantizer->codebook->bits, at.lane, at.element);
    }
    uint16_t half;
    memcpy(&half,
           tile + (job->key ? layout->key_scales : layout->value_scales) + slot * sizeof half,
           sizeof half);
    quash_quantizer_decode(quantizer, scratch.codes_a, quash_f16_to_f32(half), scratch.row);
    if (job->key && tiles->stats != NULL) {
        quash_key_stats_turn(&tiles->stats[head], token / QUASH_TILE_TOKENS, turned);
        quash_key_stats_undo(&tiles->stats[head], turned, slot, scratch.row);
    }
    quantizer->kernels->store[job->out->dtype](scratch.row, dim,
                                               quash_array_row(job->out, head, token - job->first));
}

quash_status quash_cpu_decode_tiles(const struct quash_tiles *tiles, int key, int64_t first,
                                    const quash_array *out) {
    const quash_context *const context = tiles->context;
    const size_t dim = tiles->keys->rotation->dim;
    struct quash_arena count = { NULL, quash_vector_scratch_bytes(dim) };
    (void)quash_arena_take(&count, dim, sizeof(float)); /* the mean */
    struct decode_job job = { .tiles = tiles, .key = key, .first = first, .out = out };
    QUASH_TRY(quash_scratch_take(context, count.used, "the scratch of decoding", &job.scratch));
    quash_run(&context->runner, decode_task, &job, tiles->kv_heads * out->shape[1]);
    quash_scratch_give(context, &job.scratch);
    return QUASH_OK;
}
