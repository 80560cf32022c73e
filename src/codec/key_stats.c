/* SPDX-License-Identifier: Apache-2.0 */
/* key_stats.c: the mean and the pair scale of the keys of one head. The order of every rounding of
 * freezing and of the keys' side is the exact zone. */
#include "codec/key_stats.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include <quash/cache.h>

#include "base/arena.h"

/* Beyond this a mean would make keys overflow, and none is as good. */
#define MEAN_MAX 1e37

/* Least energy of a pair, as a part of the average. */
#define LEAST_ENERGY 0x1p-20

/* ---- Life -------------------------------------------------------------------------------- */

static void carve(struct quash_key_stats *stats, struct quash_arena *arena, size_t dim,
                  size_t pairs) {
    stats->mean = quash_arena_take(arena, dim, sizeof *stats->mean);
    stats->scale = quash_arena_take(arena, dim, sizeof *stats->scale);
    stats->pairs = quash_arena_take(arena, pairs, sizeof *stats->pairs);
}

size_t quash_key_stats_bytes(size_t dim, const struct quash_rope *rope) {
    struct quash_key_stats stats;
    struct quash_arena count = { NULL, 0 };
    carve(&stats, &count, dim, rope->pairs);
    return count.used;
}

void quash_key_stats_init(struct quash_key_stats *stats, size_t dim, const struct quash_rope *rope,
                          void *memory) {
    struct quash_arena arena = { memory, 0 };
    assert(dim <= QUASH_HEAD_DIM_MAX && 2 * rope->pairs <= dim);
    stats->dim = dim;
    stats->rope = rope;
    carve(stats, &arena, dim, rope->pairs);
    quash_key_stats_clear(stats);
}

void quash_key_stats_clear(struct quash_key_stats *stats) {
    quash_key_stats_set(stats, NULL, 0, NULL);
}

/* The squared length of the mean of a pair. */
static double pair_energy(const struct quash_key_stats *stats, size_t pair) {
    const double x = (double)stats->mean[quash_rope_x(stats->rope, pair)];
    const double y = (double)stats->mean[quash_rope_y(stats->rope, pair)];
    return x * x + y * y;
}

/* Lists the heaviest pairs of stats->mean, at most `most`, and makes the others zero. */
static void choose_pairs(struct quash_key_stats *stats, int32_t most) {
    double energy[QUASH_HEAD_DIM_MAX / 2];
    const size_t count = stats->rope->pairs;
    stats->pair_count = 0;
    for (size_t i = 0; i < count; i++) {
        energy[i] = pair_energy(stats, i);
    }
    for (size_t i = 0; i < count; i++) {
        int32_t before = 0;
        for (size_t j = 0; j < count; j++) {
            before += energy[j] > energy[i] || (energy[j] == energy[i] && j < i);
        }
        if (before < most && energy[i] > 0.0) {
            stats->pairs[stats->pair_count++] = (uint16_t)i;
        } else {
            stats->mean[quash_rope_x(stats->rope, i)] = 0.0f;
            stats->mean[quash_rope_y(stats->rope, i)] = 0.0f;
        }
    }
    stats->has_mean = stats->pair_count > 0;
    for (size_t i = 2 * count; i < stats->dim; i++) {
        stats->has_mean |= stats->mean[i] != 0.0f;
    }
}

void quash_key_stats_set(struct quash_key_stats *stats, const float *mean, int32_t pairs,
                         const float *scale) {
    memset(stats->mean, 0, stats->dim * sizeof *stats->mean);
    if (mean != NULL && pairs > 0) {
        for (size_t i = 0; i < stats->dim; i++) {
            stats->mean[i] = fabs((double)mean[i]) <= MEAN_MAX ? mean[i] : 0.0f;
        }
    }
    choose_pairs(stats, pairs);
    stats->has_scale = 0;
    for (size_t i = 0; i < stats->dim; i++) {
        stats->scale[i] = scale != NULL ? scale[i] : 1.0f;
        stats->has_scale |= stats->scale[i] != 1.0f;
    }
}

/* ---- Freezing ---------------------------------------------------------------------------- */

/* A key in the basis before RoPE. */
static void turn_back(const struct quash_rope *rope, size_t dim, int64_t position, const float *key,
                      double *out) {
    const int64_t tile = position / 64;
    const size_t slot = (size_t)(position % 64);
    const size_t offset = slot >= 32 ? slot - 32 : 31 - slot;
    for (size_t i = 0; i < rope->pairs; i++) {
        const size_t centre = i * (size_t)rope->tiles + (size_t)tile;
        const double far_cos = (double)rope->centre_cos[centre];
        const double far_sin = (double)rope->centre_sin[centre];
        const double near_cos = (double)rope->offset_cos[i * QUASH_MEAN_OFFSETS + offset];
        const double sine = (double)rope->offset_sin[i * QUASH_MEAN_OFFSETS + offset];
        const double near_sin = slot >= 32 ? sine : -sine;
        const double c = far_cos * near_cos - far_sin * near_sin;
        const double s = far_sin * near_cos + far_cos * near_sin;
        const double x = (double)key[quash_rope_x(rope, i)];
        const double y = (double)key[quash_rope_y(rope, i)];
        out[quash_rope_x(rope, i)] = x * c + y * s;
        out[quash_rope_y(rope, i)] = y * c - x * s;
    }
    for (size_t i = 2 * rope->pairs; i < dim; i++) {
        out[i] = (double)key[i];
    }
}

/* Both coordinates of a pair become their average; returns the average of all. */
static double average_pairs(const struct quash_rope *rope, size_t dim, double *energy) {
    double sum = 0.0;
    for (size_t i = 0; i < rope->pairs; i++) {
        double *const x = &energy[quash_rope_x(rope, i)];
        double *const y = &energy[quash_rope_y(rope, i)];
        *x = *y = (*x + *y) / 2.0;
    }
    for (size_t i = 0; i < dim; i++) {
        sum += energy[i];
    }
    return sum / (double)dim;
}

static double at_least(double energy, double average) {
    const double least = average * LEAST_ENERGY;
    return energy > least ? energy : least;
}

/* keys: sums of squares of the residual keys. */
static void make_scale(struct quash_key_stats *stats, double *keys, const double *query_squares,
                       enum quash_pair_scale policy) {
    const size_t dim = stats->dim;
    double queries[QUASH_HEAD_DIM_MAX];
    double scale[QUASH_HEAD_DIM_MAX];
    double before = 0.0;
    double after = 0.0;
    double query_average = 0.0;
    const double key_average = average_pairs(stats->rope, dim, keys);
    if (query_squares != NULL && policy == QUASH_PAIR_SCALE_ON) {
        memcpy(queries, query_squares, dim * sizeof *queries);
        query_average = average_pairs(stats->rope, dim, queries);
    }
    if (!(key_average > 0.0)) {
        return;
    }
    for (size_t i = 0; i < dim; i++) {
        const double energy = at_least(keys[i], key_average);
        const double fourth = sqrt(sqrt(energy));
        if (query_average > 0.0) {
            scale[i] = sqrt(sqrt(at_least(queries[i], query_average))) / fourth;
        } else {
            scale[i] = 1.0 / (policy == QUASH_PAIR_SCALE_FEEDBACK ? fourth : sqrt(fourth));
        }
        before += energy;
        after += scale[i] * scale[i] * energy;
    }
    const double factor = sqrt(before / after);
    for (size_t i = 0; i < dim; i++) {
        stats->scale[i] = (float)(scale[i] * factor);
        stats->has_scale |= stats->scale[i] != 1.0f;
    }
}

void quash_key_stats_freeze(struct quash_key_stats *stats, const struct quash_key_sample *sample,
                            int32_t pairs, enum quash_pair_scale scale) {
    const size_t dim = stats->dim;
    double key[QUASH_HEAD_DIM_MAX];
    double sum[QUASH_HEAD_DIM_MAX] = { 0.0 };
    float mean[QUASH_HEAD_DIM_MAX];
    assert(sample->count > 0);
    for (size_t t = 0; pairs > 0 && t < sample->count; t++) {
        turn_back(stats->rope, dim, sample->position + (int64_t)t, sample->keys + t * dim, key);
        for (size_t i = 0; i < dim; i++) {
            sum[i] += key[i];
        }
    }
    for (size_t i = 0; i < dim; i++) {
        const double average = sum[i] / (double)sample->count;
        mean[i] = fabs(average) <= MEAN_MAX ? (float)average : 0.0f;
        sum[i] = 0.0;
    }
    quash_key_stats_set(stats, mean, pairs, NULL);
    if (scale == QUASH_PAIR_SCALE_OFF) {
        return;
    }
    for (size_t t = 0; t < sample->count; t++) {
        turn_back(stats->rope, dim, sample->position + (int64_t)t, sample->keys + t * dim, key);
        for (size_t i = 0; i < dim; i++) {
            const double rest = key[i] - (double)stats->mean[i];
            sum[i] += rest * rest;
        }
    }
    make_scale(stats, sum, sample->query_squares, scale);
}

void quash_key_stats_add_query(size_t dim, const float *query, double *squares) {
    for (size_t i = 0; i < dim; i++) {
        squares[i] += (double)query[i] * (double)query[i];
    }
}

/* ---- Keys -------------------------------------------------------------------------------- */

void quash_key_stats_turn(const struct quash_key_stats *stats, int64_t tile, float *turned) {
    const struct quash_rope *const rope = stats->rope;
    assert(tile >= 0 && tile < rope->tiles);
    for (size_t k = 0; k < stats->pair_count; k++) {
        const size_t i = stats->pairs[k];
        const float c = rope->centre_cos[i * (size_t)rope->tiles + (size_t)tile];
        const float s = rope->centre_sin[i * (size_t)rope->tiles + (size_t)tile];
        const float x = stats->mean[quash_rope_x(rope, i)];
        const float y = stats->mean[quash_rope_y(rope, i)];
        turned[2 * k] = x * c - y * s;
        turned[2 * k + 1] = y * c + x * s;
    }
}

/* Adds RoPE_t(mean) times +1 or -1. */
static inline void add_mean(const struct quash_key_stats *stats, const float *turned, size_t slot,
                            float sign, float *key) {
    const struct quash_rope *const rope = stats->rope;
    const size_t offset = slot >= 32 ? slot - 32 : 31 - slot;
    const float side = slot >= 32 ? 1.0f : -1.0f;
    for (size_t k = 0; k < stats->pair_count; k++) {
        const size_t i = stats->pairs[k];
        const float c = rope->offset_cos[i * QUASH_MEAN_OFFSETS + offset];
        const float s = rope->offset_sin[i * QUASH_MEAN_OFFSETS + offset] * side;
        const float x = turned[2 * k];
        const float y = turned[2 * k + 1];
        key[quash_rope_x(rope, i)] += (x * c - y * s) * sign;
        key[quash_rope_y(rope, i)] += (y * c + x * s) * sign;
    }
    for (size_t i = 2 * rope->pairs; i < stats->dim; i++) {
        key[i] += stats->mean[i] * sign;
    }
}

void quash_key_stats_apply(const struct quash_key_stats *stats, const float *turned, size_t slot,
                           float *key) {
    if (stats->has_mean) {
        add_mean(stats, turned, slot, -1.0f, key);
    }
    if (stats->has_scale) {
        quash_multiply_each(key, stats->scale, stats->dim);
    }
}

void quash_key_stats_undo(const struct quash_key_stats *stats, const float *turned, size_t slot,
                          float *key) {
    if (stats->has_scale) {
        for (size_t i = 0; i < stats->dim; i++) {
            key[i] /= stats->scale[i];
        }
    }
    if (stats->has_mean) {
        add_mean(stats, turned, slot, 1.0f, key);
    }
}

/* ---- Queries ----------------------------------------------------------------------------- */

float quash_key_stats_mean_term(const struct quash_key_stats *stats, const uint16_t *list,
                                const float *query, float *a, float *b) {
    const struct quash_rope *const rope = stats->rope;
    double constant = 0.0;
    for (size_t k = 0; k < stats->pair_count; k++) {
        const size_t first = quash_rope_x(rope, list[k]);
        const size_t second = quash_rope_y(rope, list[k]);
        const double x = (double)stats->mean[first];
        const double y = (double)stats->mean[second];
        a[k] = (float)((double)query[first] * x + (double)query[second] * y);
        b[k] = (float)((double)query[second] * x - (double)query[first] * y);
    }
    for (size_t i = 2 * rope->pairs; i < stats->dim; i++) {
        constant += (double)query[i] * (double)stats->mean[i];
    }
    return (float)constant;
}

void quash_key_stats_scale_query(const struct quash_key_stats *stats, float *query) {
    for (size_t i = 0; stats->has_scale && i < stats->dim; i++) {
        query[i] /= stats->scale[i];
    }
}
