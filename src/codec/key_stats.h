/* SPDX-License-Identifier: Apache-2.0 */
/* key_stats.h: the key statistics of one KV head of one layer and sequence (doc/numerics.md, "Key
 * statistics"): a mean m in the basis before RoPE and a scale s per rotary pair. A key at position
 * t is coded as s * (key - RoPE_t(m)); attention on codes then wants the query divided by s, and
 * adds query . RoPE_t(m) to the score of every coded token. That is exact for any m and s: they
 * decide how small the error of the codes is, nothing else. Values have no statistics.
 *
 * Life: init (off) -> freeze from the first keys, or set to given numbers -> used as it is until
 * clear. mean[] and scale[] are all there is to save: set restores the rest from them.
 *
 * Exact zone but for the query side (add_query is exact): sums in double in the order of tokens,
 * roots by sqrt, no libm. Call under quash_run. */
#ifndef QUASH_CODEC_KEY_STATS_H
#define QUASH_CODEC_KEY_STATS_H

#include "codec/rope.h"

#define QUASH_MEAN_PAIRS_DEFAULT 16
#define QUASH_MEAN_PAIRS_ALL INT32_MAX

struct quash_key_stats {
    size_t dim;                    /* head_dim, at least twice the pairs of rope */
    const struct quash_rope *rope; /* borrowed */
    int32_t has_mean;              /* 0: mean[] is zero */
    int32_t has_scale;             /* 0: scale[] is one */
    float *mean;                   /* [dim], zero for the pairs not chosen */
    float *scale;                  /* [dim], > 0, the same for both coordinates of a pair */
    size_t pair_count;             /* chosen: those whose mean is not zero */
    uint16_t *pairs;               /* [rope->pairs], ascending */
};

/* Bytes of memory for init. */
size_t quash_key_stats_bytes(size_t dim, const struct quash_rope *rope);

/* Off: no mean, no scale. memory stays in use. */
void quash_key_stats_init(struct quash_key_stats *stats, size_t dim, const struct quash_rope *rope,
                          void *memory);
void quash_key_stats_clear(struct quash_key_stats *stats);

/* What the statistics are made of: keys as stored raw, after RoPE, of consecutive positions. */
struct quash_key_sample {
    const float *keys; /* [count][dim] */
    size_t count;      /* at least 1; tokens 4..127 by default */
    int64_t position;  /* of the first */
    /* [dim], sums of squares of the queries of these tokens and all query heads of the group
     * (quash_key_stats_add_query); any common factor does no harm. NULL: not known. */
    const double *query_squares;
};

enum quash_pair_scale {
    QUASH_PAIR_SCALE_OFF,
    /* (query energy / residual key energy)^(1/4) where queries are known, else (residual key
     * energy)^(-1/8) */
    QUASH_PAIR_SCALE_ON,
    /* (residual key energy)^(-1/4), for the encoder with error feedback */
    QUASH_PAIR_SCALE_FEEDBACK
};

/* Freezes the statistics. m is the mean of the keys, turned back by RoPE, of which the `pairs`
 * pairs of largest |m_i|^2 stay (ties: the lower one) and the others become zero; coordinates that
 * RoPE does not turn stay always. pairs = 0: no mean at all. The scale comes from what then remains
 * of the keys; it keeps their energy, so that scales of coded keys stay where they were. A pair
 * whose energy is less than 2^-20 of the average counts with that. */
void quash_key_stats_freeze(struct quash_key_stats *stats, const struct quash_key_sample *sample,
                            int32_t pairs, enum quash_pair_scale scale);

/* Sets given statistics: mean [dim] before RoPE, finite, NULL for none, of which `pairs` pairs stay
 * as above; scale [dim], finite and > 0, the same for both coordinates of a pair, NULL for none. */
void quash_key_stats_set(struct quash_key_stats *stats, const float *mean, int32_t pairs,
                         const float *scale);

/* squares[i] += query[i]^2. */
void quash_key_stats_add_query(size_t dim, const float *query, double *squares);

/* ---- Keys ---------------------------------------------------------------------------------- */

/* Floats that turn writes. */
static inline size_t quash_key_stats_turned(const struct quash_key_stats *stats) {
    return 2 * stats->rope->pairs;
}

/* The mean at the centre of the tile of 64 positions from 64 * tile on, for apply and undo of keys
 * of that tile. */
void quash_key_stats_turn(const struct quash_key_stats *stats, int64_t tile, float *turned);

/* key[i] = scale[i] * (key[i] - RoPE_t(mean)[i]) for the key at place `slot` of the tile. */
void quash_key_stats_apply(const struct quash_key_stats *stats, const float *turned, size_t slot,
                           float *key);

/* key[i] = key[i] / scale[i] + RoPE_t(mean)[i]. */
void quash_key_stats_undo(const struct quash_key_stats *stats, const float *turned, size_t slot,
                          float *key);

/* ---- Queries (approximate zone) ------------------------------------------------------------ */

/* query . RoPE_t(mean) = constant + sum over i < pair_count of a[i] cos(w t) + b[i] sin(w t), w
 * that of pair list[i]; list has the stats' pairs in any order. The query is as the model made it.
 * Returns the constant. */
float quash_key_stats_mean_term(const struct quash_key_stats *stats, const uint16_t *list,
                                const float *query, float *a, float *b);

/* query[i] /= scale[i], for the scores of coded tokens. */
void quash_key_stats_scale_query(const struct quash_key_stats *stats, float *query);

#endif
