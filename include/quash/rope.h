/* SPDX-License-Identifier: Apache-2.0 */
/* rope.h: the rotary position embedding that a model applied to its keys and queries. A cache that
 * knows it takes the mean of the keys away before the rotation (doc/numerics.md, "Key statistics").
 * Compiles alone as C11 and as C++17. */
#ifndef QUASH_ROPE_H
#define QUASH_ROPE_H

#include <quash/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which two coordinates of a head pair i turns, i < rotary_dim/2. */
typedef enum quash_rope_layout {
    QUASH_ROPE_HALF = 0,       /* i and i + rotary_dim/2 (NeoX, most models) */
    QUASH_ROPE_INTERLEAVED = 1 /* 2i and 2i + 1 (GPT-J) */
} quash_rope_layout;

/* At position t pair i turns (x, y) into (x cos a - y sin a, y cos a + x sin a), a = t *
 * inv_freq[i]. The coordinates from rotary_dim on do not turn. A factor that the model multiplies
 * cos and sin with (YaRN) needs nothing here: the mean absorbs it. */
typedef struct quash_rope_params {
    uint32_t struct_size;
    int32_t layout;         /* a quash_rope_layout */
    int32_t rotary_dim;     /* even, 0..head_dim; 0: no position embedding */
    const double *inv_freq; /* [rotary_dim/2], finite, at most 2^20 in magnitude; copied */
    int64_t max_position;   /* positions are below; 1..2^31 */
} quash_rope_params;

#define QUASH_ROPE_PARAMS_INIT                                                                     \
    { sizeof(quash_rope_params), QUASH_ROPE_HALF, 0, NULL, 131072 }

#ifdef __cplusplus
}
#endif

#endif
