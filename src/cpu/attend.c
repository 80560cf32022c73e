/* SPDX-License-Identifier: Apache-2.0 */
/* attend.c: attention on the codes of a cache. A task is up to 16 query rows of one KV head; it
 * walks the tiles once with an online softmax (Milakov and Gimelshein 2018). Rows are the query
 * heads of the group times the query positions. Nothing of the history is decoded: scores and
 * output are sums over codes, in the rotated domain. */
#include <math.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/half.h"
#include "base/runner.h"
#include "base/status.h"
#include "cpu/first_failure.h"
#include "cpu/tiles.h"

struct attend_job {
    const struct quash_tiles *tiles;
    const quash_array *queries;
    const quash_array *out;
    const quash_array *lse;
    float scale; /* 0: 1/sqrt(head_dim) */
    int causal;
    int64_t group; /* query heads per KV head */
    int64_t q_len;
    int64_t chunks; /* tasks per KV head */
    unsigned char *workspace;
    size_t workspace_bytes;              /* per worker */
    struct quash_first_failure overflow; /* query head * q_len + position */
};

/* State of the rows of a task. */
struct attend_rows {
    size_t count;
    float scale;
    int64_t visible[QUASH_TILE_ROWS_MAX]; /* tokens each row sees */
    float largest[QUASH_TILE_ROWS_MAX];   /* of its scores so far */
    double sum[QUASH_TILE_ROWS_MAX];      /* of exp(score - largest) */
    float *q;                             /* [count][key_dims], rotated, zero-padded */
    float *out;                           /* [count][value_dims], rotated */
    float (*scores)[QUASH_TILE_TOKENS];   /* then weights, in place */
};

static void carve(struct attend_rows *rows, struct quash_arena *arena,
                  const struct quash_tile_layout *layout) {
    rows->q = quash_arena_take(arena, QUASH_TILE_ROWS_MAX * layout->key_dims, sizeof(float));
    rows->out = quash_arena_take(arena, QUASH_TILE_ROWS_MAX * layout->value_dims, sizeof(float));
    rows->scores = quash_arena_take(arena, QUASH_TILE_ROWS_MAX, sizeof *rows->scores);
}

size_t quash_cpu_attend_workspace(const quash_context *context,
                                  const struct quash_tile_layout *layout) {
    struct attend_rows rows;
    struct quash_arena count = { NULL, 0 };
    carve(&rows, &count, layout);
    return count.used * (size_t)context->runner.workers;
}

/* Query head and position of row r of a KV head: positions of one head follow one another. */
static int64_t head_of_row(const struct attend_job *job, int64_t kv_head, int64_t row) {
    return kv_head * job->group + row / job->q_len;
}

static void load_rows(const struct attend_job *job, int64_t kv_head, int64_t first,
                      struct attend_rows *rows) {
    const struct quash_tiles *const tiles = job->tiles;
    const struct quash_rotation *const rotation = tiles->keys->rotation;
    const struct quash_kernels *const kernels = tiles->keys->kernels;
    const size_t key_dims = tiles->layout->key_dims;
    memset(rows->q, 0, rows->count * key_dims * sizeof *rows->q);
    memset(rows->out, 0, rows->count * tiles->layout->value_dims * sizeof *rows->out);
    for (size_t r = 0; r < rows->count; r++) {
        const int64_t row = first + (int64_t)r;
        const int64_t position = row % job->q_len;
        float *const q = rows->q + r * key_dims;
        kernels->load[job->queries->dtype](
            quash_array_row(job->queries, head_of_row(job, kv_head, row), position), rotation->dim,
            q);
        quash_rotation_apply(rotation, kernels, q);
        rows->visible[r] = job->causal ? tiles->tokens - job->q_len + position + 1 : tiles->tokens;
        rows->largest[r] = -INFINITY;
        rows->sum[r] = 0.0;
    }
}

static float half_at(const uint8_t *scales, size_t i) {
    uint16_t half;
    memcpy(&half, scales + i * sizeof half, sizeof half);
    return quash_f16_to_f32(half);
}

/* Turns the integer-weighted sums of a row into weights of the values, and updates its softmax.
 * Tokens at or beyond `valid` get weight 0. */
static void softmax_row(struct attend_rows *rows, size_t r, size_t valid, const float *key_scales,
                        const float *value_scales, size_t value_dims) {
    float *const scores = rows->scores[r];
    float largest = rows->largest[r];
    for (size_t t = 0; t < valid; t++) {
        scores[t] *= key_scales[t];
        largest = fmaxf(largest, scores[t]);
    }
    const float shrink = expf(rows->largest[r] - largest); /* 0 at the first tile */
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
    rows->largest[r] = largest;
    if (shrink != 1.0f) {
        float *const out = rows->out + r * value_dims;
        for (size_t i = 0; i < value_dims; i++) {
            out[i] *= shrink;
        }
    }
}

static void attend_tile(const struct attend_job *job, int64_t kv_head, int64_t page,
                        struct attend_rows *rows) {
    const struct quash_tiles *const tiles = job->tiles;
    const struct quash_tile_layout *const layout = tiles->layout;
    const struct quash_kernels *const kernels = tiles->keys->kernels;
    const uint8_t *const tile = quash_tiles_at(tiles, page, kv_head);
    float key_scales[QUASH_TILE_TOKENS];
    float value_scales[QUASH_TILE_TOKENS];
    for (size_t t = 0; t < QUASH_TILE_TOKENS; t++) {
        key_scales[t] =
            half_at(tile + layout->key_scales, t) * (tiles->keys->codebook->step * rows->scale);
        value_scales[t] = half_at(tile + layout->value_scales, t) * tiles->values->codebook->step;
    }
    kernels->tile_scores[layout->key_bits - 2](tiles->keys->codebook->values, tile,
                                               layout->key_dims, rows->q, layout->key_dims,
                                               rows->count, rows->scores);
    for (size_t r = 0; r < rows->count; r++) {
        const int64_t seen = rows->visible[r] - page * QUASH_TILE_TOKENS;
        if (seen > 0) {
            softmax_row(rows, r,
                        seen < QUASH_TILE_TOKENS ? (size_t)seen : (size_t)QUASH_TILE_TOKENS,
                        key_scales, value_scales, layout->value_dims);
        } else {
            memset(rows->scores[r], 0, sizeof rows->scores[r]);
        }
    }
    kernels->tile_accumulate[layout->value_bits - 2](
        tiles->values->codebook->values, tile + layout->values, layout->value_dims,
        (const float(*)[QUASH_TILE_TOKENS])rows->scores, rows->count, rows->out,
        layout->value_dims);
}

static void store_rows(struct attend_job *job, int64_t kv_head, int64_t first,
                       const struct attend_rows *rows) {
    const struct quash_rotation *const rotation = job->tiles->values->rotation;
    const struct quash_kernels *const kernels = job->tiles->values->kernels;
    for (size_t r = 0; r < rows->count; r++) {
        const int64_t head = head_of_row(job, kv_head, first + (int64_t)r);
        const int64_t position = (first + (int64_t)r) % job->q_len;
        float *const out = rows->out + r * job->tiles->layout->value_dims;
        kernels->multiply(out, rotation->dim, (float)(1.0 / rows->sum[r]));
        quash_rotation_undo(rotation, kernels, out);
        kernels->store[job->out->dtype](out, rotation->dim,
                                        quash_array_row(job->out, head, position));
        const float lse = (float)((double)rows->largest[r] + log(rows->sum[r]));
        if (!isfinite(lse)) {
            quash_first_failure_note(&job->overflow, head * job->q_len + position);
        }
        if (job->lse != NULL) {
            memcpy((float *)job->lse->data + head * job->lse->stride[0] +
                       position * job->lse->stride[1],
                   &lse, sizeof lse);
        }
    }
}

static void attend_task(void *state, int64_t index, int32_t worker) {
    struct attend_job *const job = state;
    const struct quash_tiles *const tiles = job->tiles;
    const int64_t kv_head = index / job->chunks;
    const int64_t first = index % job->chunks * QUASH_TILE_ROWS_MAX;
    const int64_t left = job->group * job->q_len - first;
    struct quash_arena arena = { job->workspace + (size_t)worker * job->workspace_bytes, 0 };
    struct attend_rows rows;
    carve(&rows, &arena, tiles->layout);
    rows.scale = job->scale > 0.0f ? job->scale : 1.0f / tiles->keys->root_dim;
    rows.count = left < QUASH_TILE_ROWS_MAX ? (size_t)left : (size_t)QUASH_TILE_ROWS_MAX;
    load_rows(job, kv_head, first, &rows);
    int64_t visible = 0;
    for (size_t r = 0; r < rows.count; r++) {
        visible = rows.visible[r] > visible ? rows.visible[r] : visible;
    }
    for (int64_t page = 0; page * QUASH_TILE_TOKENS < visible; page++) {
        attend_tile(job, kv_head, page, &rows);
    }
    store_rows(job, kv_head, first, &rows);
}

quash_status quash_cpu_attend(const struct quash_tiles *tiles, float scale, int causal,
                              const quash_array *queries, const quash_array *out,
                              const quash_array *lse, void *workspace) {
    struct attend_job job = { .tiles = tiles,
                              .queries = queries,
                              .out = out,
                              .lse = lse,
                              .scale = scale,
                              .causal = causal,
                              .workspace = workspace };
    job.group = queries->shape[0] / tiles->kv_heads;
    job.q_len = queries->shape[1];
    job.chunks = (job.group * job.q_len + QUASH_TILE_ROWS_MAX - 1) / QUASH_TILE_ROWS_MAX;
    job.workspace_bytes = quash_cpu_attend_workspace(tiles->context, tiles->layout) /
                          (size_t)tiles->context->runner.workers;
    quash_first_failure_init(&job.overflow);
    quash_run(&tiles->context->runner, attend_task, &job, job.chunks * tiles->kv_heads);
    const int64_t failed = quash_first_failure_get(&job.overflow);
    if (failed >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "queries: a score of head %lld, position %lld exceeds binary32",
                          (long long)(failed / job.q_len), (long long)(failed % job.q_len));
    }
    return QUASH_OK;
}
