/* SPDX-License-Identifier: Apache-2.0 */
/* mixed.c: mixed precision: the channels of each group are gathered into a dense matrix, a piece of
 * rows at a time, handed to the group's own quantizer, and its results scattered back. */
#include "store/mixed.h"

#include <string.h>

#include "base/arena.h"
#include "base/array.h"
#include "base/rng.h"
#include "base/runner.h"
#include "base/status.h"
#include "cpu/product_rows.h"
#include "cpu/rows.h"

#define PIECE_ROWS 1024

/* The stream whose key is the seed of the regular group; below it are those of rotations and of the
 * Gaussian matrix, so that the two groups share none. */
#define REGULAR_STREAM (UINT64_C(1) << 32)

static uint64_t group_seed(uint64_t seed, int group) {
    return group == 0 ? seed : quash_rng_key(seed, REGULAR_STREAM);
}

static quash_status make_group(quash_mixed *mixed, int g) {
    const quash_mixed_params *const params = &mixed->params;
    struct quash_channel_group *const group = &mixed->groups[g];
    const int32_t bits = g == 0 ? params->outlier_bits : params->regular_bits;
    if (group->count == 0) {
        return QUASH_OK;
    }
    if (params->product) {
        const quash_product_params product = { sizeof product, group->count, bits + 1,
                                               group_seed(params->seed, g) };
        return quash_product_make(&group->product, mixed->context, &product);
    }
    quash_codec_params codec = QUASH_CODEC_PARAMS_INIT;
    codec.dim = group->count;
    codec.bits = bits;
    codec.scale_policy = params->scale_policy;
    codec.search_level = params->search_level;
    codec.seed = group_seed(params->seed, g);
    return quash_codec_make(&group->codec, mixed->context, &codec);
}

/* Splits the channels; each group ascending. */
static void split_channels(quash_mixed *mixed, int32_t *channels) {
    const quash_mixed_params *const params = &mixed->params;
    struct quash_channel_group *const groups = mixed->groups;
    groups[0].channels = channels;
    groups[1].channels = channels + params->outlier_count;
    for (int32_t channel = 0; channel < params->dim; channel++) {
        int g = 1;
        for (int32_t i = 0; i < params->outlier_count && g == 1; i++) {
            g = params->outliers[i] == channel ? 0 : 1;
        }
        groups[g].channels[groups[g].count++] = channel;
    }
}

quash_status quash_mixed_make(quash_mixed **out, const quash_context *context,
                              const quash_mixed_params *params) {
    const size_t head = quash_round_up(sizeof(quash_mixed), QUASH_ALIGNMENT);
    const size_t size = head + (size_t)params->dim * sizeof(int32_t);
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the mixed quantizer", &memory));
    memset(memory, 0, size);
    quash_mixed *const mixed = memory;
    mixed->context = context;
    mixed->params = *params;
    mixed->size = size;
    split_channels(mixed, (int32_t *)(void *)((uint8_t *)memory + head));
    mixed->params.outliers = NULL;
    quash_status status = make_group(mixed, 0);
    status = status == QUASH_OK ? make_group(mixed, 1) : status;
    if (status != QUASH_OK) {
        quash_mixed_destroy(mixed);
        return status;
    }
    *out = mixed;
    return QUASH_OK;
}

void quash_mixed_destroy(quash_mixed *mixed) {
    for (int g = 0; g < 2; g++) {
        quash_codec_destroy(mixed->groups[g].codec);
        quash_product_destroy(mixed->groups[g].product);
    }
    quash_release(&mixed->context->allocator, mixed, mixed->size);
}

/* Dense copies of one group's channels for a piece of rows. */
struct piece {
    int64_t first;
    int64_t rows;
    float *full;  /* [dim]: one row of all channels */
    float *dense; /* [rows][count] */
    uint8_t *codes;
    uint8_t *signs;
    float *scales; /* [rows], then residual norms and dots */
    float *residual_norms;
    float *dots;
};

static void carve(struct piece *piece, struct quash_arena *arena, size_t dim, size_t rows) {
    piece->full = quash_arena_take(arena, dim, sizeof(float));
    piece->dense = quash_arena_take(arena, rows * dim, sizeof(float));
    piece->codes = quash_arena_take(arena, rows * dim, 1);
    piece->signs = quash_arena_take(arena, rows * dim, 1);
    piece->scales = quash_arena_take(arena, rows, sizeof(float));
    piece->residual_norms = quash_arena_take(arena, rows, sizeof(float));
    piece->dots = quash_arena_take(arena, rows, sizeof(float));
}

static void gather_rows(const quash_mixed *mixed, const struct quash_channel_group *group,
                        const quash_array *rows, const struct piece *piece) {
    const size_t dim = (size_t)mixed->params.dim;
    for (int64_t r = 0; r < piece->rows; r++) {
        mixed->context->kernels->load[rows->dtype](quash_array_row(rows, piece->first + r, 0), dim,
                                                   piece->full);
        for (int32_t i = 0; i < group->count; i++) {
            piece->dense[r * group->count + i] = piece->full[group->channels[i]];
        }
    }
}

static void scatter_rows(const quash_mixed *mixed, const struct quash_channel_group *group,
                         const quash_array *rows, const struct piece *piece) {
    const size_t bytes = quash_dtype_bytes(rows->dtype);
    for (int64_t r = 0; r < piece->rows; r++) {
        unsigned char *const row = quash_array_row(rows, piece->first + r, 0);
        for (int32_t i = 0; i < group->count; i++) {
            mixed->context->kernels->store[rows->dtype](piece->dense + r * group->count + i, 1,
                                                        row + (size_t)group->channels[i] * bytes);
        }
    }
}

/* Bytes of the caller (n, dim) to dense ones, or back. */
static void move_bytes(const struct quash_channel_group *group, const quash_array *bytes,
                       const struct piece *piece, uint8_t *dense, int back) {
    for (int64_t r = 0; r < piece->rows; r++) {
        uint8_t *const row = quash_array_row(bytes, piece->first + r, 0);
        uint8_t *const packed = dense + r * group->count;
        for (int32_t i = 0; i < group->count; i++) {
            if (back) {
                row[group->channels[i]] = packed[i];
            } else {
                packed[i] = row[group->channels[i]];
            }
        }
    }
}

/* Column g of (n, 2) numbers. A group without channels keeps zeros. */
static void put_column(float *pairs, const struct piece *piece, int g, const float *column) {
    for (int64_t r = 0; pairs != NULL && r < piece->rows; r++) {
        pairs[2 * (piece->first + r) + g] = column != NULL ? column[r] : 0.0f;
    }
}

static const float *get_column(const float *pairs, const struct piece *piece, int g,
                               float *column) {
    for (int64_t r = 0; pairs != NULL && r < piece->rows; r++) {
        column[r] = pairs[2 * (piece->first + r) + g];
    }
    return pairs != NULL ? column : NULL;
}

/* The dense copies as arrays. */
struct views {
    quash_array dense;
    quash_array codes;
    quash_array signs;
};

static struct views views_of(const struct piece *piece, const struct quash_channel_group *group) {
    const int64_t n = piece->rows;
    return (struct views){ quash_array_view(piece->dense, QUASH_F32, 2, n, group->count, 0),
                           quash_array_view(piece->codes, QUASH_U8, 2, n, group->count, 0),
                           quash_array_view(piece->signs, QUASH_U8, 2, n, group->count, 0) };
}

static quash_status encode_group(const quash_mixed *mixed, int g,
                                 const struct quash_mixed_arrays *arrays,
                                 const struct piece *piece) {
    const struct quash_channel_group *const group = &mixed->groups[g];
    const struct views v = views_of(piece, group);
    gather_rows(mixed, group, arrays->rows, piece);
    if (group->codec != NULL) {
        QUASH_TRY(
            quash_cpu_encode_codes(group->codec, &v.dense, piece->first, &v.codes, piece->scales));
    } else {
        const struct quash_product_codes out = { &v.codes, &v.signs, piece->scales,
                                                 piece->residual_norms };
        QUASH_TRY(quash_cpu_product_encode(group->product, &v.dense, piece->first, &out));
        move_bytes(group, arrays->signs, piece, piece->signs, 1);
    }
    move_bytes(group, arrays->codes, piece, piece->codes, 1);
    put_column(arrays->scales, piece, g, piece->scales);
    put_column(arrays->residual_norms, piece, g, piece->residual_norms);
    return QUASH_OK;
}

static quash_status decode_group(const quash_mixed *mixed, int g,
                                 const struct quash_mixed_arrays *arrays,
                                 const struct piece *piece) {
    const struct quash_channel_group *const group = &mixed->groups[g];
    const struct views v = views_of(piece, group);
    move_bytes(group, arrays->codes, piece, piece->codes, 0);
    const float *const scales = get_column(arrays->scales_in, piece, g, piece->scales);
    QUASH_TRY(quash_cpu_decode_codes(group->codec, &v.codes, scales, &v.dense));
    scatter_rows(mixed, group, arrays->rows, piece);
    return QUASH_OK;
}

static quash_status dot_group(const quash_mixed *mixed, int g,
                              const struct quash_mixed_arrays *arrays, const struct piece *piece) {
    const struct quash_channel_group *const group = &mixed->groups[g];
    const struct views v = views_of(piece, group);
    gather_rows(mixed, group, arrays->rows, piece);
    move_bytes(group, arrays->codes, piece, piece->codes, 0);
    move_bytes(group, arrays->signs, piece, piece->signs, 0);
    const struct quash_product_input in = {
        &v.codes, &v.signs, get_column(arrays->scales_in, piece, g, piece->scales),
        get_column(arrays->residual_norms_in, piece, g, piece->residual_norms)
    };
    QUASH_TRY(quash_cpu_product_dot(group->product, &in, &v.dense, piece->dots));
    for (int64_t r = 0; r < piece->rows; r++) {
        arrays->dots[piece->first + r] += piece->dots[r];
    }
    return QUASH_OK;
}

static quash_status rotate_group(const quash_mixed *mixed, int g, int inverse,
                                 const struct quash_mixed_arrays *arrays,
                                 const struct piece *piece) {
    const struct quash_channel_group *const group = &mixed->groups[g];
    const struct views v = views_of(piece, group);
    gather_rows(mixed, group, arrays->rows, piece);
    QUASH_TRY(quash_cpu_rotate_rows(
        mixed->context, group->codec != NULL ? &group->codec->rotation : &group->product->rotation,
        inverse, &v.dense, &v.dense));
    scatter_rows(mixed, group, arrays->out, piece);
    return QUASH_OK;
}

static quash_status run_group(const quash_mixed *mixed, enum quash_mixed_operation operation, int g,
                              const struct quash_mixed_arrays *arrays, const struct piece *piece) {
    switch (operation) {
    case QUASH_MIXED_DECODE: return decode_group(mixed, g, arrays, piece);
    case QUASH_MIXED_PRODUCT_DOT: return dot_group(mixed, g, arrays, piece);
    case QUASH_MIXED_ROTATE: return rotate_group(mixed, g, 0, arrays, piece);
    case QUASH_MIXED_UNROTATE: return rotate_group(mixed, g, 1, arrays, piece);
    default: return encode_group(mixed, g, arrays, piece);
    }
}

struct run_job {
    const quash_mixed *mixed;
    enum quash_mixed_operation operation;
    const struct quash_mixed_arrays *arrays;
    struct piece *piece;
    quash_status status;
};

/* Groups one after the other over a piece of rows. rows and out of a rotation may be the same
 * array: the groups read and write different channels. */
static quash_status run_piece(const struct run_job *job) {
    const struct quash_mixed_arrays *const arrays = job->arrays;
    const struct piece *const piece = job->piece;
    for (int64_t r = 0; arrays->dots != NULL && r < piece->rows; r++) {
        arrays->dots[piece->first + r] = 0.0f;
    }
    for (int g = 0; g < 2; g++) {
        if (job->mixed->groups[g].count > 0) {
            QUASH_TRY(run_group(job->mixed, job->operation, g, arrays, piece));
        } else {
            put_column(arrays->scales, piece, g, NULL);
            put_column(arrays->residual_norms, piece, g, NULL);
        }
    }
    return QUASH_OK;
}

/* Runs under quash_run: gathering and scattering convert numbers, which is exact zone. */
static void run_task(void *state, int64_t index, int32_t worker) {
    (void)worker;
    struct run_job *const job = state;
    const int64_t n = job->arrays->rows->shape[0];
    job->piece->first = index * PIECE_ROWS;
    job->piece->rows =
        n - job->piece->first < PIECE_ROWS ? n - job->piece->first : (int64_t)PIECE_ROWS;
    if (job->status == QUASH_OK) {
        job->status = run_piece(job);
    }
}

quash_status quash_mixed_run(const quash_mixed *mixed, enum quash_mixed_operation operation,
                             const struct quash_mixed_arrays *arrays) {
    const int64_t n = arrays->rows->shape[0];
    const size_t dim = (size_t)mixed->params.dim;
    const size_t rows = n < PIECE_ROWS ? (size_t)n : (size_t)PIECE_ROWS;
    struct piece piece;
    struct quash_arena arena = { NULL, 0 };
    carve(&piece, &arena, dim, rows);
    const size_t size = arena.used;
    void *memory;
    QUASH_TRY(quash_alloc(&mixed->context->allocator, size, "a piece of rows", &memory));
    arena = (struct quash_arena){ memory, 0 };
    carve(&piece, &arena, dim, rows);
    struct run_job job = { mixed, operation, arrays, &piece, QUASH_OK };
    quash_run(&quash_serial_runner, run_task, &job, (n + PIECE_ROWS - 1) / PIECE_ROWS);
    quash_release(&mixed->context->allocator, memory, size);
    return job.status;
}
