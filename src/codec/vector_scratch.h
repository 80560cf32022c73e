/* SPDX-License-Identifier: Apache-2.0 */
/* vector_scratch.h: what encoding or decoding one vector needs beside its input and output. */
#ifndef QUASH_CODEC_VECTOR_SCRATCH_H
#define QUASH_CODEC_VECTOR_SCRATCH_H

#include "base/arena.h"
#include "codec/quantizer.h"

struct quash_vector_scratch {
    float *row;       /* [dim] */
    uint8_t *codes_a; /* [dim] */
    uint8_t *codes_b; /* [dim], for scale search */
};

static inline struct quash_vector_scratch quash_vector_scratch_carve(struct quash_arena *arena,
                                                                     size_t dim) {
    struct quash_vector_scratch scratch;
    scratch.row = quash_arena_take(arena, dim, sizeof *scratch.row);
    scratch.codes_a = quash_arena_take(arena, dim, 1);
    scratch.codes_b = quash_arena_take(arena, dim, 1);
    return scratch;
}

static inline size_t quash_vector_scratch_bytes(size_t dim) {
    struct quash_arena count = { NULL, 0 };
    (void)quash_vector_scratch_carve(&count, dim);
    return count.used;
}

/* Encodes the vector in scratch->row, which is overwritten. */
static inline struct quash_encoded
quash_vector_scratch_encode(const struct quash_vector_scratch *scratch,
                            const struct quash_quantizer *quantizer) {
    return quash_quantizer_encode(quantizer, scratch->row, scratch->codes_a, scratch->codes_b);
}

#endif
