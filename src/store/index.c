/* SPDX-License-Identifier: Apache-2.0 */
/* index.c: memory of the owning index, and the moment its centre freezes. Until centre_rows rows
 * are there they are kept raw; then the centre is their mean, all of them are coded, and later rows
 * are coded as they come. So the result does not depend on how the rows were split into adds. */
#include "store/index.h"

#include "base/runner.h"
#include "base/status.h"

#define FIRST_LIST_CAPACITY 16
#define FIRST_RAW_CAPACITY 64

static size_t raw_bytes(const quash_index *index, int64_t rows) {
    return (size_t)rows * (size_t)index->params.dim * sizeof(float);
}

static size_t list_bytes(int64_t capacity) {
    return (size_t)capacity * sizeof(uint8_t *);
}

static size_t centre_bytes(const quash_index_params *params) {
    return quash_round_up((size_t)params->dim * sizeof(float), QUASH_ALIGNMENT);
}

/* Runs under quash_run: thresholds are products of the exact zone. */
static void init_task(void *state, int64_t i, int32_t worker) {
    (void)i;
    (void)worker;
    quash_index *const index = state;
    const quash_index_params *const params = &index->params;
    uint8_t *const signs = (uint8_t *)index->centre + centre_bytes(params);
    quash_rotation_init(&index->rotation, (size_t)params->dim, 2, params->seed, signs);
    quash_quantizer_init(&index->quantizer, index->context->kernels, &index->rotation, params->bits,
                         QUASH_SCALE_UNBIASED, params->search_level);
}

quash_status quash_index_make(quash_index **out, const quash_context *context,
                              const quash_index_params *params) {
    const size_t head = quash_round_up(sizeof(quash_index), QUASH_ALIGNMENT);
    const size_t size =
        head + centre_bytes(params) + quash_rotation_sign_bytes((size_t)params->dim, 2);
    void *memory;
    QUASH_TRY(quash_alloc(&context->allocator, size, "the index", &memory));
    memset(memory, 0, size);
    quash_index *const index = memory;
    index->context = context;
    index->params = *params;
    index->params.centre = NULL;
    index->layout = quash_block_layout_of((size_t)params->dim, params->bits);
    index->centre = (float *)(void *)((uint8_t *)memory + head);
    index->size = size;
    if (params->centre != NULL) {
        memcpy(index->centre, params->centre, (size_t)params->dim * sizeof(float));
        index->frozen = 1;
    }
    quash_run(&quash_serial_runner, init_task, index, 1);
    *out = index;
    return QUASH_OK;
}

static void drop_blocks(quash_index *index, int64_t keep) {
    while (index->block_count > keep) {
        index->block_count--;
        quash_release(&index->context->allocator, index->blocks[index->block_count],
                      index->layout.bytes);
    }
}

static void drop_raw(quash_index *index) {
    quash_release(&index->context->allocator, index->raw, raw_bytes(index, index->raw_capacity));
    index->raw = NULL;
    index->raw_capacity = 0;
}

void quash_index_destroy(quash_index *index) {
    drop_blocks(index, 0);
    drop_raw(index);
    quash_release(&index->context->allocator, index->blocks, list_bytes(index->block_capacity));
    quash_release(&index->context->allocator, index, index->size);
}

/* Replaces a block of memory by a larger one with the same content in front. */
static quash_status regrow(const quash_index *index, void **memory, size_t used, size_t old_size,
                           size_t new_size, const char *what) {
    void *larger;
    QUASH_TRY(quash_alloc(&index->context->allocator, new_size, what, &larger));
    if (used > 0) {
        memcpy(larger, *memory, used);
    }
    quash_release(&index->context->allocator, *memory, old_size);
    *memory = larger;
    return QUASH_OK;
}

/* Room for `rows` raw rows, doubling up to centre_rows. */
static quash_status grow_raw(quash_index *index, int64_t rows) {
    if (rows <= index->raw_capacity) {
        return QUASH_OK;
    }
    int64_t capacity = index->raw_capacity > 0 ? index->raw_capacity : FIRST_RAW_CAPACITY;
    while (capacity < rows) {
        capacity *= 2;
    }
    capacity = capacity < index->params.centre_rows ? capacity : index->params.centre_rows;
    void *memory = index->raw;
    QUASH_TRY(regrow(index, &memory, raw_bytes(index, index->count),
                     raw_bytes(index, index->raw_capacity), raw_bytes(index, capacity),
                     "the raw rows of the index"));
    index->raw = memory;
    index->raw_capacity = capacity;
    return QUASH_OK;
}

static quash_status add_blocks(quash_index *index, int64_t rows) {
    const int64_t needed = (rows + QUASH_BLOCK_ROWS - 1) / QUASH_BLOCK_ROWS;
    if (needed > index->block_capacity) {
        int64_t capacity =
            index->block_capacity > 0 ? index->block_capacity : (int64_t)FIRST_LIST_CAPACITY;
        while (capacity < needed) {
            capacity *= 2;
        }
        void *memory;
        QUASH_TRY(quash_alloc(&index->context->allocator, list_bytes(capacity),
                              "the list of blocks", &memory));
        if (index->block_count > 0) {
            memcpy(memory, index->blocks, list_bytes(index->block_count));
        }
        index->blocks = memory; /* the old list lives on until the add has succeeded */
        index->block_capacity = capacity;
    }
    while (index->block_count < needed) {
        void *block;
        QUASH_TRY(
            quash_alloc(&index->context->allocator, index->layout.bytes, "an index block", &block));
        memset(block, 0, index->layout.bytes);
        index->blocks[index->block_count++] = block;
    }
    return QUASH_OK;
}

struct quash_blocks quash_index_blocks(const quash_index *index) {
    return (struct quash_blocks){
        .context = index->context,
        .quantizer = &index->quantizer,
        .layout = &index->layout,
        .metric = index->params.metric,
        .dim = (size_t)index->params.dim,
        .centre = index->frozen ? index->centre : NULL,
        .raw = index->raw,
        .blocks = index->blocks,
        .count = index->count,
    };
}

struct mean_job {
    quash_index *index;
    const float *more; /* rows that follow the raw ones */
};

/* The mean of the first centre_rows rows, summed in double in their order. Coordinate i. */
static void mean_task(void *state, int64_t i, int32_t worker) {
    (void)worker;
    const struct mean_job *const job = state;
    quash_index *const index = job->index;
    const int64_t dim = index->params.dim;
    double sum = 0.0;
    for (int64_t row = 0; row < index->count; row++) {
        sum += (double)index->raw[row * dim + i];
    }
    for (int64_t row = 0; row < index->params.centre_rows - index->count; row++) {
        sum += (double)job->more[row * dim + i];
    }
    index->centre[i] = (float)(sum / (double)index->params.centre_rows);
}

/* Codes the raw rows, if there are any, and n more behind them. */
static quash_status code_rows(quash_index *index, const float *rows, int64_t n) {
    QUASH_TRY(add_blocks(index, index->count + n));
    struct quash_blocks blocks = quash_index_blocks(index);
    blocks.centre = index->centre;
    if (!index->frozen) {
        blocks.count = 0;
        QUASH_TRY(quash_cpu_encode_blocks(&blocks, index->raw, index->count));
        blocks.count = index->count;
    }
    return quash_cpu_encode_blocks(&blocks, rows, n);
}

static quash_status push_prepared(quash_index *index, const float *rows, int64_t n) {
    if (!index->frozen && index->count + n < index->params.centre_rows) {
        QUASH_TRY(grow_raw(index, index->count + n));
        memcpy(index->raw + index->count * index->params.dim, rows, raw_bytes(index, n));
        index->count += n;
        return QUASH_OK;
    }
    if (!index->frozen) {
        struct mean_job job = { index, rows };
        quash_run(&index->context->runner, mean_task, &job, index->params.dim);
    }
    uint8_t **const list_before = index->blocks;
    const int64_t capacity_before = index->block_capacity;
    const int64_t blocks_before = index->block_count;
    const quash_status status = code_rows(index, rows, n);
    if (status != QUASH_OK) {
        drop_blocks(index, blocks_before);
        if (index->blocks != list_before) {
            quash_release(&index->context->allocator, index->blocks,
                          list_bytes(index->block_capacity));
            index->blocks = list_before;
            index->block_capacity = capacity_before;
        }
        return status;
    }
    if (index->blocks != list_before) {
        quash_release(&index->context->allocator, list_before, list_bytes(capacity_before));
    }
    index->frozen = 1;
    index->count += n;
    drop_raw(index);
    return QUASH_OK;
}

quash_status quash_index_push(quash_index *index, const quash_array *rows) {
    const int64_t n = rows->shape[0];
    size_t size;
    QUASH_TRY(quash_size_mul((size_t)n, raw_bytes(index, 1), "the added rows", &size));
    void *memory;
    QUASH_TRY(quash_alloc(&index->context->allocator, size, "the added rows", &memory));
    quash_status status =
        quash_cpu_prepare_rows(index->context, index->params.metric, rows, "rows", memory);
    if (status == QUASH_OK) {
        status = push_prepared(index, memory, n);
    }
    quash_release(&index->context->allocator, memory, size);
    return status;
}
