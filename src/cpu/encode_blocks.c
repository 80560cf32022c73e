/* SPDX-License-Identifier: Apache-2.0 */
/* encode_blocks.c: rows of an index to codes, scale and addend. */
#include <assert.h>
#include <math.h>

#include "base/runner.h"
#include "base/scratch.h"
#include "base/status.h"
#include "codec/vector_scratch.h"
#include "cpu/blocks.h"
#include "cpu/rows.h"

struct encode_job {
    const struct quash_blocks *blocks;
    const float *rows;
    int64_t n;
    struct quash_scratch scratch;
};

/* <c, x-c> or |x-c|^2, in double and in order: both can be far larger than what they are added
 * to. */
static float addend_of(const struct quash_blocks *blocks, const float *difference) {
    double sum = 0.0;
    for (size_t i = 0; i < blocks->dim; i++) {
        const double other =
            blocks->metric == QUASH_METRIC_L2 ? (double)difference[i] : (double)blocks->centre[i];
        sum += other * (double)difference[i];
    }
    return (float)sum;
}

static void encode_one(const struct quash_blocks *blocks, const float *row, int64_t place,
                       const struct quash_vector_scratch *scratch) {
    const struct quash_block_layout *const layout = blocks->layout;
    const struct quash_quantizer *const quantizer = blocks->quantizer;
    uint8_t *const block = blocks->blocks[place / QUASH_BLOCK_ROWS];
    const size_t slot = (size_t)(place % QUASH_BLOCK_ROWS);
    for (size_t i = 0; i < blocks->dim; i++) {
        scratch->row[i] = row[i] - blocks->centre[i];
    }
    const float addend = addend_of(blocks, scratch->row);
    const struct quash_encoded encoded = quash_vector_scratch_encode(scratch, quantizer);
    const float scale = encoded.scale * quantizer->codebook->step;
    uint8_t *const codes = encoded.codes == scratch->codes_a ? scratch->codes_a : scratch->codes_b;
    memset(codes + blocks->dim, 0, layout->dims - blocks->dim);
    quantizer->kernels->pack[quantizer->codebook->bits - 1](codes, layout->dims,
                                                            block + slot * layout->row_codes);
    memcpy(block + layout->scales + slot * sizeof scale, &scale, sizeof scale);
    memcpy(block + layout->addends + slot * sizeof addend, &addend, sizeof addend);
    assert(isfinite(scale) && isfinite(addend)); /* rows are at most 2^60 long */
}

static void encode_task(void *state, int64_t index, int32_t worker) {
    const struct encode_job *const job = state;
    const struct quash_blocks *const blocks = job->blocks;
    struct quash_arena arena = quash_scratch_arena(&job->scratch, worker);
    const struct quash_vector_scratch scratch =
        quash_vector_scratch_carve(&arena, blocks->layout->dims);
    int64_t first;
    int64_t end;
    quash_rows_of_task(index, job->n, &first, &end);
    for (int64_t i = first; i < end; i++) {
        encode_one(blocks, job->rows + (size_t)i * blocks->dim, blocks->count + i, &scratch);
    }
}

quash_status quash_cpu_encode_blocks(const struct quash_blocks *blocks, const float *rows,
                                     int64_t n) {
    const quash_context *const context = blocks->context;
    struct encode_job job = { .blocks = blocks, .rows = rows, .n = n };
    QUASH_TRY(quash_scratch_take(context, quash_vector_scratch_bytes(blocks->layout->dims),
                                 "the scratch of encoding", &job.scratch));
    quash_run(&context->runner, encode_task, &job, quash_row_tasks(n));
    quash_scratch_give(context, &job.scratch);
    return QUASH_OK;
}
