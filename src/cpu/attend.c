/* SPDX-License-Identifier: Apache-2.0 */
/* attend.c: attention on the codes of a cache. An item is up to 16 query rows (query heads of the
 * group times query positions) of one KV head, or a few of each of up to 8 heads; long contexts are
 * cut into ranges of tokens, so that few heads still make work for all threads. A task is one item
 * over one range. Nothing of the history is decoded: scores and output are sums over codes, in the
 * rotated domain. */
#include <math.h>
#include <stdbool.h>

#include "base/array.h"
#include "base/runner.h"
#include "base/status.h"
#include "cpu/attend_rows.h"
#include "cpu/first_failure.h"

/* The cut into ranges is a function of the number of tokens alone, so that results depend neither
 * on the workers nor on the other queries of a call. */
#define RANGE_TILES 64
#define RANGES_MAX 64

/* Tasks in flight of a worker: enough to even out tasks of unequal length. */
#define SLOTS_PER_WORKER 4

/* Rows of a task or of an item, kept from one step to the next. */
struct slot {
    double largest[ATTEND_ROWS_MAX];
    double sum[ATTEND_ROWS_MAX];
    float *out; /* [ATTEND_ROWS_MAX][value_dims] */
};

struct attend_job {
    const struct quash_tiles *tiles;
    const quash_attend_params *params;
    const quash_array *queries;
    const quash_array *out;
    const quash_array *lse;
    int64_t group; /* query heads per KV head */
    int64_t q_len;
    int64_t item_heads;   /* KV heads of an item: 1, 2, 4 or 8 */
    int64_t chunks;       /* items per KV head; 1 where an item has several */
    int64_t range_tiles;  /* tiles of a range */
    int64_t ranges;       /* tasks per item */
    int64_t first, count; /* tasks of the wave */
    int32_t wave;         /* parity */
    unsigned char *scratch;
    size_t scratch_bytes; /* per worker */
    struct slot *slots;   /* of the tasks of a wave; then two of items that waves cut */
    struct quash_first_failure overflow; /* query head * q_len + position */
};

/* ---- Workspace --------------------------------------------------------------------------- */

static void carve(struct attend_rows *rows, struct attend_scratch *scratch,
                  struct quash_arena *arena, const struct quash_tile_layout *layout, bool stats) {
    const size_t units = layout->key_dims / QUASH_UNIT_ELEMENTS;
    rows->q = quash_arena_take(arena, ATTEND_ROWS_MAX * layout->key_dims, sizeof(float));
    rows->out = quash_arena_take(arena, ATTEND_ROWS_MAX * layout->value_dims, sizeof(float));
    scratch->scores = quash_arena_take(arena, ATTEND_ROWS_MAX, sizeof *scratch->scores);
    scratch->digits = quash_arena_take(arena, ATTEND_ROWS_MAX * layout->key_dims, 2);
    scratch->bias = quash_arena_take(arena, ATTEND_ROWS_MAX, sizeof *scratch->bias);
    scratch->unit_bias =
        quash_arena_take(arena, ATTEND_ROWS_MAX * units * 2, sizeof *scratch->unit_bias);
    scratch->softmax = quash_arena_take(arena, ATTEND_ROWS_MAX, sizeof *scratch->softmax);
    scratch->weights = quash_arena_take(arena, 1, sizeof *scratch->weights);
    scratch->mean = NULL;
    if (stats) {
        struct attend_mean counted;
        scratch->mean = quash_arena_take(arena, 1, sizeof *scratch->mean);
        quash_attend_mean_carve(arena->base != NULL ? scratch->mean : &counted, arena, layout);
    }
}

static size_t slots_of(const quash_context *context) {
    return (size_t)context->runner.workers * SLOTS_PER_WORKER;
}

/* Scratch of the workers, then the slots; with an arena that only counts, job is not touched. */
static void carve_job(struct attend_job *job, struct quash_arena *arena,
                      const quash_context *context, const struct quash_tile_layout *layout,
                      bool stats) {
    struct attend_rows rows;
    struct attend_scratch scratch;
    struct quash_arena count = { NULL, 0 };
    const size_t slots = slots_of(context) + 2;
    carve(&rows, &scratch, &count, layout, stats);
    void *const memory = quash_arena_take(arena, (size_t)context->runner.workers, count.used);
    struct slot *const list = quash_arena_take(arena, slots, sizeof *list);
    if (arena->base != NULL) {
        job->scratch = memory;
        job->scratch_bytes = count.used;
        job->slots = list;
    }
    for (size_t i = 0; i < slots; i++) {
        float *const out =
            quash_arena_take(arena, ATTEND_ROWS_MAX * layout->value_dims, sizeof(float));
        if (arena->base != NULL) {
            job->slots[i].out = out;
        }
    }
}

size_t quash_cpu_attend_workspace(const quash_context *context,
                                  const struct quash_tile_layout *layout, bool stats) {
    struct quash_arena count = { NULL, 0 };
    carve_job(NULL, &count, context, layout, stats);
    return count.used;
}

/* ---- One task ---------------------------------------------------------------------------- */

/* A row of an item: what stands at one of its places. */
struct row {
    int64_t kv_head;
    int64_t head; /* of the queries */
    int64_t position;
};

/* Places of each of the heads of an item. */
static int64_t places_of(int64_t item_heads) {
    return item_heads < ATTEND_HEADS_MAX ? QUASH_TILE_ROWS_MAX / item_heads : QUASH_DIGIT_ROWS;
}

/* False for a place that is not used. Positions of one query head follow one another. */
static bool row_at(const struct attend_job *job, int64_t item, size_t place, struct row *row) {
    const int64_t places = places_of(job->item_heads);
    const int64_t index = item % job->chunks * QUASH_TILE_ROWS_MAX + (int64_t)place % places;
    row->kv_head = item / job->chunks * job->item_heads + (int64_t)place / places;
    row->head = row->kv_head * job->group + index / job->q_len;
    row->position = index % job->q_len;
    return (int64_t)place / places < job->item_heads && row->kv_head < job->tiles->kv_heads &&
           index < job->group * job->q_len;
}

/* Sets the description of the rows; returns the most tokens that one of them sees. */
static int64_t start_rows(const struct attend_job *job, int64_t item, struct attend_rows *rows) {
    const struct quash_tiles *const tiles = job->tiles;
    const float scale = job->params->scale;
    const int64_t first = item / job->chunks * job->item_heads;
    int64_t most = 0;
    struct row row;
    rows->kv_head = first;
    rows->heads = (size_t)(tiles->kv_heads - first < job->item_heads ? tiles->kv_heads - first
                                                                     : job->item_heads);
    rows->places = (size_t)places_of(job->item_heads);
    rows->scale = scale > 0.0f ? scale : 1.0f / tiles->keys->root_dim;
    memset(rows->count, 0, sizeof rows->count);
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        rows->visible[r] = 0;
        if (row_at(job, item, r, &row)) {
            rows->count[row.kv_head - first]++;
            rows->visible[r] =
                job->params->causal ? tiles->tokens - job->q_len + row.position + 1 : tiles->tokens;
            most = rows->visible[r] > most ? rows->visible[r] : most;
        }
    }
    return most;
}

static void load_queries(const struct attend_job *job, int64_t item, struct attend_rows *rows,
                         struct attend_mean *mean) {
    const struct quash_rotation *const rotation = job->tiles->keys->rotation;
    const struct quash_kernels *const kernels = job->tiles->keys->kernels;
    const size_t key_dims = job->tiles->layout->key_dims;
    struct row row;
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        if (row_at(job, item, r, &row)) {
            float *const q = rows->q + r * key_dims;
            kernels->load[job->queries->dtype](
                quash_array_row(job->queries, row.head, row.position), rotation->dim, q);
            memset(q + rotation->dim, 0, (key_dims - rotation->dim) * sizeof *q);
            if (job->tiles->stats != NULL) {
                quash_attend_mean_load(mean, job->tiles, row.kv_head,
                                       (size_t)(row.kv_head - rows->kv_head), r, q);
            }
            quash_rotation_apply(rotation, kernels, q);
        }
    }
}

/* Attention of an item over a range, into rows->out, largest and sum. */
static void attend_range(const struct attend_job *job, int64_t item, int64_t range,
                         struct attend_rows *rows, const struct attend_scratch *scratch) {
    const int64_t visible = start_rows(job, item, rows);
    const int64_t first = range * job->range_tiles;
    const int64_t end = (visible + QUASH_TILE_TOKENS - 1) / QUASH_TILE_TOKENS;
    const int64_t last = first + job->range_tiles < end ? first + job->range_tiles : end;
    memset(rows->out, 0, ATTEND_ROWS_MAX * job->tiles->layout->value_dims * sizeof *rows->out);
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        rows->largest[r] = -HUGE_VAL;
        rows->sum[r] = 0.0;
    }
    if (first >= last) {
        return;
    }
    if (job->tiles->stats != NULL) {
        quash_attend_mean_start(scratch->mean, job->tiles, rows->kv_head, rows->heads,
                                job->params->mode != QUASH_ATTEND_FAST);
    }
    load_queries(job, item, rows, scratch->mean);
    switch (job->params->mode) {
    case QUASH_ATTEND_FAST:
        quash_attend_digits(job->tiles, QUASH_DIGITS_FAST, first, last, rows, scratch);
        break;
    case QUASH_ATTEND_EXACT:
        quash_attend_digits(job->tiles, QUASH_DIGITS_EXACT, first, last, rows, scratch);
        break;
    default: quash_attend_float(job->tiles, first, last, rows, scratch); break;
    }
}

/* ---- Results ----------------------------------------------------------------------------- */

/* Overwrites done->out. */
static void store_rows(struct attend_job *job, int64_t item, const struct slot *done) {
    const struct quash_quantizer *const values = job->tiles->values;
    struct row row;
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        if (!row_at(job, item, r, &row)) {
            continue;
        }
        float *const out = done->out + r * job->tiles->layout->value_dims;
        values->kernels->multiply(out, values->rotation->dim,
                                  (float)((double)values->codebook->step / done->sum[r]));
        quash_rotation_undo(values->rotation, values->kernels, out);
        values->kernels->store[job->out->dtype](out, values->rotation->dim,
                                                quash_array_row(job->out, row.head, row.position));
        const float lse = (float)(done->largest[r] + log(done->sum[r]));
        if (!isfinite(lse)) {
            quash_first_failure_note(&job->overflow, row.head * job->q_len + row.position);
        }
        if (job->lse != NULL) {
            memcpy((float *)job->lse->data + row.head * job->lse->stride[0] +
                       row.position * job->lse->stride[1],
                   &lse, sizeof lse);
        }
    }
}

/* An item that is one task. */
static void whole_task(void *state, int64_t item, int32_t worker) {
    struct attend_job *const job = state;
    struct quash_arena arena = { job->scratch + (size_t)worker * job->scratch_bytes, 0 };
    struct attend_rows rows;
    struct attend_scratch scratch;
    struct slot done;
    carve(&rows, &scratch, &arena, job->tiles->layout, job->tiles->stats != NULL);
    attend_range(job, item, 0, &rows, &scratch);
    done.out = rows.out;
    memcpy(done.largest, rows.largest, sizeof done.largest);
    memcpy(done.sum, rows.sum, sizeof done.sum);
    store_rows(job, item, &done);
}

/* ---- Ranges: waves of as many tasks as there are slots, each followed by merging ------------- */

static void range_task(void *state, int64_t index, int32_t worker) {
    struct attend_job *const job = state;
    const int64_t task = job->first + index;
    struct slot *const slot = &job->slots[index];
    struct quash_arena arena = { job->scratch + (size_t)worker * job->scratch_bytes, 0 };
    struct attend_rows rows;
    struct attend_scratch scratch;
    carve(&rows, &scratch, &arena, job->tiles->layout, job->tiles->stats != NULL);
    rows.out = slot->out;
    attend_range(job, task / job->ranges, task % job->ranges, &rows, &scratch);
    memcpy(slot->largest, rows.largest, sizeof slot->largest);
    memcpy(slot->sum, rows.sum, sizeof slot->sum);
}

/* exp(x - largest), 0 where there was nothing. */
static double share(double x, double largest) {
    return x == largest ? 1.0 : exp(x - largest);
}

/* a becomes the result over the tokens of both. */
static void merge(struct slot *a, const struct slot *b, size_t value_dims) {
    for (size_t r = 0; r < ATTEND_ROWS_MAX; r++) {
        if (b->sum[r] == 0.0) {
            continue; /* no row, or it saw nothing there */
        }
        const double largest = fmax(a->largest[r], b->largest[r]);
        const double share_a = share(a->largest[r], largest);
        const double share_b = share(b->largest[r], largest);
        float *const out_a = a->out + r * value_dims;
        const float *const out_b = b->out + r * value_dims;
        for (size_t i = 0; i < value_dims; i++) {
            out_a[i] = out_a[i] * (float)share_a + out_b[i] * (float)share_b;
        }
        a->sum[r] = a->sum[r] * share_a + b->sum[r] * share_b;
        a->largest[r] = largest;
    }
}

static void copy_slot(struct slot *to, const struct slot *from, size_t out_bytes) {
    memcpy(to->largest, from->largest, sizeof to->largest);
    memcpy(to->sum, from->sum, sizeof to->sum);
    memcpy(to->out, from->out, out_bytes);
}

/* Merges the ranges of one item that the wave has, in ascending order: after those of the wave
 * before, which left them in one of two slots; the other is for what this wave leaves. */
static void merge_task(void *state, int64_t index, int32_t worker) {
    struct attend_job *const job = state;
    const int64_t item = job->first / job->ranges + index;
    const int64_t begin = item * job->ranges > job->first ? item * job->ranges : job->first;
    const int64_t item_end = (item + 1) * job->ranges;
    const int64_t wave_end = job->first + job->count;
    const int64_t end = item_end < wave_end ? item_end : wave_end;
    const size_t value_dims = job->tiles->layout->value_dims;
    struct slot *const kept = job->slots + slots_of(job->tiles->context);
    struct slot *const whole =
        begin > item * job->ranges ? &kept[job->wave] : &job->slots[begin - job->first];
    (void)worker;
    for (int64_t task = begin; task < end; task++) {
        const struct slot *const part = &job->slots[task - job->first];
        if (part != whole) {
            merge(whole, part, value_dims);
        }
    }
    if (end == item_end) {
        store_rows(job, item, whole);
    } else {
        copy_slot(&kept[1 - job->wave], whole, ATTEND_ROWS_MAX * value_dims * sizeof(float));
    }
}

static void run_waves(struct attend_job *job, int64_t tasks) {
    const quash_runner *const runner = &job->tiles->context->runner;
    const int64_t slots = (int64_t)slots_of(job->tiles->context);
    for (job->first = 0; job->first < tasks; job->first += job->count) {
        job->count = tasks - job->first < slots ? tasks - job->first : slots;
        const int64_t last_item = (job->first + job->count - 1) / job->ranges;
        quash_run(runner, range_task, job, job->count);
        quash_run(runner, merge_task, job, last_item - job->first / job->ranges + 1);
        job->wave = 1 - job->wave;
    }
}

/* Deals out places: heads that are neighbours in a page go together while that leaves work for all
 * workers, since one that jumps from tile to tile reads a fifth slower. Rows do not notice. */
static void choose_items(struct attend_job *job) {
    const int64_t rows = job->group * job->q_len;
    const int64_t wanted = (int64_t)job->tiles->context->runner.workers * SLOTS_PER_WORKER;
    job->chunks = (rows + QUASH_TILE_ROWS_MAX - 1) / QUASH_TILE_ROWS_MAX;
    job->item_heads = 1;
    while (job->params->mode != QUASH_ATTEND_FLOAT && job->item_heads < ATTEND_HEADS_MAX &&
           rows <= places_of(2 * job->item_heads) &&
           (job->tiles->context->runner.workers == 1 ||
            job->tiles->kv_heads * job->ranges >= wanted * 2 * job->item_heads)) {
        job->item_heads *= 2;
    }
}

quash_status quash_cpu_attend(const struct quash_tiles *tiles, const quash_attend_params *params,
                              const quash_array *queries, const quash_array *out,
                              const quash_array *lse, void *workspace) {
    struct attend_job job = {
        .tiles = tiles, .params = params, .queries = queries, .out = out, .lse = lse
    };
    struct quash_arena arena = { workspace, 0 };
    const int64_t pages = (tiles->tokens + QUASH_TILE_TOKENS - 1) / QUASH_TILE_TOKENS;
    const int64_t unit = (int64_t)RANGE_TILES * RANGES_MAX;
    job.group = queries->shape[0] / tiles->kv_heads;
    job.q_len = queries->shape[1];
    job.range_tiles = RANGE_TILES * ((pages + unit - 1) / unit);
    job.ranges = (pages + job.range_tiles - 1) / job.range_tiles;
    carve_job(&job, &arena, tiles->context, tiles->layout, tiles->stats != NULL);
    quash_first_failure_init(&job.overflow);
    choose_items(&job);
    const int64_t items = (tiles->kv_heads + job.item_heads - 1) / job.item_heads * job.chunks;
    if (job.ranges == 1) {
        quash_run(&tiles->context->runner, whole_task, &job, items);
    } else {
        run_waves(&job, items * job.ranges);
    }
    const int64_t failed = quash_first_failure_get(&job.overflow);
    if (failed >= 0) {
        return quash_fail(QUASH_ERROR_ARGUMENT,
                          "queries: a score of head %lld, position %lld exceeds binary32",
                          (long long)(failed / job.q_len), (long long)(failed % job.q_len));
    }
    return QUASH_OK;
}
