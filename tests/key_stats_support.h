/* SPDX-License-Identifier: Apache-2.0 */
/* key_stats_support.h: what the tests of key statistics share: tables of RoPE, statistics in memory
 * of their own, and RoPE in double straight from its definition. */
#ifndef QUASH_TESTS_KEY_STATS_SUPPORT_H
#define QUASH_TESTS_KEY_STATS_SUPPORT_H

#include <quash/cache.h>

#include "base/alloc.h"
#include "codec/key_stats.h"
#include "support.h"

#define TEST_PAIRS_MAX 288

/* Frequencies of a model with this base. */
struct test_rope {
    quash_rope_params params;
    double inv_freq[TEST_PAIRS_MAX];
    struct quash_rope rope;
    void *memory;
};

static inline void *test_aligned(size_t bytes) {
    void *const memory = aligned_alloc(QUASH_ALIGNMENT, quash_round_up(bytes + 1, QUASH_ALIGNMENT));
    if (memory == NULL) {
        exit(1);
    }
    return memory;
}

static inline void test_rope_make(struct test_rope *test, int32_t layout, size_t rotary_dim,
                                  double base, int64_t max_position) {
    test->params = (quash_rope_params)QUASH_ROPE_PARAMS_INIT;
    test->params.layout = layout;
    test->params.rotary_dim = (int32_t)rotary_dim;
    test->params.inv_freq = test->inv_freq;
    test->params.max_position = max_position;
    for (size_t i = 0; i < rotary_dim / 2; i++) {
        test->inv_freq[i] = pow(base, -2.0 * (double)i / (double)rotary_dim);
    }
    test->memory = test_aligned(quash_rope_bytes(&test->params));
    quash_rope_init(&test->rope, &test->params, test->memory);
}

static inline void test_stats_make(struct quash_key_stats *stats, size_t dim,
                                   const struct quash_rope *rope) {
    quash_key_stats_init(stats, dim, rope, test_aligned(quash_key_stats_bytes(dim, rope)));
}

static inline void test_stats_free(struct quash_key_stats *stats) {
    free(stats->mean); /* the first piece of the memory */
}

/* x [dim] turned to a position, in double; sign -1 turns back. */
static inline void test_rope_turn(const struct test_rope *test, size_t dim, double position,
                                  double sign, const double *x, double *out) {
    const size_t pairs = test->rope.pairs;
    for (size_t i = 0; i < dim; i++) {
        out[i] = x[i];
    }
    for (size_t i = 0; i < pairs; i++) {
        const bool half = test->params.layout == QUASH_ROPE_HALF;
        const size_t a = half ? i : 2 * i;
        const size_t b = half ? i + pairs : 2 * i + 1;
        const double c = cos(test->inv_freq[i] * position);
        const double s = sign * sin(test->inv_freq[i] * position);
        out[a] = x[a] * c - x[b] * s;
        out[b] = x[b] * c + x[a] * s;
    }
}

#define TEST_POSITIONS 131072

struct test_rope_shape {
    int32_t layout;
    size_t dim, rotary_dim;
    double base;
};

/* Both layouts, partial and no rotation, odd dims. */
static const struct test_rope_shape test_rope_shapes[] = {
    { QUASH_ROPE_HALF, 128, 128, 5e5 },       { QUASH_ROPE_INTERLEAVED, 128, 128, 1e4 },
    { QUASH_ROPE_HALF, 64, 64, 1e5 },         { QUASH_ROPE_HALF, 96, 24, 1e4 },
    { QUASH_ROPE_INTERLEAVED, 80, 32, 1e4 },  { QUASH_ROPE_HALF, 256, 256, 1e6 },
    { QUASH_ROPE_HALF, 7, 6, 1e2 },           { QUASH_ROPE_INTERLEAVED, 33, 8, 1e4 },
    { QUASH_ROPE_HALF, 64, 0, 1e4 },          { QUASH_ROPE_HALF, 1, 0, 1e4 },
    { QUASH_ROPE_INTERLEAVED, 576, 64, 1e4 }, { QUASH_ROPE_HALF, 576, 576, 1e4 },
};

/* A position in every part of the range and of a tile. */
static inline int64_t test_position(struct test_rng *rng, size_t round) {
    switch (round) {
    case 0: return 0;
    case 1: return TEST_POSITIONS - 1;
    case 2: return 31;
    case 3: return 32;
    default: return (int64_t)test_below(rng, round % 2 == 0 ? 300 : TEST_POSITIONS);
    }
}

/* Gaussian mean, any scales. */
static inline void test_random_stats(struct test_rng *rng, struct quash_key_stats *stats,
                                     int32_t pairs) {
    float mean[QUASH_HEAD_DIM_MAX];
    float scale[QUASH_HEAD_DIM_MAX];
    test_fill_gaussian(rng, mean, stats->dim);
    for (size_t i = 0; i < stats->dim; i++) {
        scale[i] = (float)exp(test_normal(rng));
    }
    for (size_t i = 0; i < stats->rope->pairs; i++) {
        scale[quash_rope_y(stats->rope, i)] = scale[quash_rope_x(stats->rope, i)];
    }
    quash_key_stats_set(stats, mean, pairs, scale);
}

/* RoPE_t(mean) in double. */
static inline void test_turned_mean(const struct test_rope *test,
                                    const struct quash_key_stats *stats, int64_t position,
                                    double *out) {
    double mean[QUASH_HEAD_DIM_MAX];
    for (size_t i = 0; i < stats->dim; i++) {
        mean[i] = (double)stats->mean[i];
    }
    test_rope_turn(test, stats->dim, (double)position, 1.0, mean, out);
}

#endif
