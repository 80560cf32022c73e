/* SPDX-License-Identifier: Apache-2.0 */
/* rotation.h: the random rotation of dim coordinates, for any dim (doc/format.md, "Rotation").
 *
 * A window step negates coordinates at random and applies an orthonormal Hadamard transform to a
 * window of 2^k <= dim coordinates. dim = 2^k: 1 or 2 steps over the whole row. Other dims: first
 * window, last window, half butterfly, and so on, six windows in all; rows are never padded. */
#ifndef QUASH_CODEC_ROTATION_H
#define QUASH_CODEC_ROTATION_H

#include <quash/base.h>

#include "kernel/kernel.h"

#define QUASH_ROTATION_STEPS_MAX 6

struct quash_rotation {
    size_t dim;
    size_t width; /* of a window: the largest power of two <= dim */
    float factor; /* 1/sqrt(width) */
    int32_t steps;
    size_t sign_bytes;    /* of one step: whole 64-bit words */
    const uint8_t *signs; /* [steps][sign_bytes] */
};

/* Bytes of signs for dim and rounds. */
size_t quash_rotation_sign_bytes(size_t dim, int32_t rounds);

/* Fills *rotation; signs has quash_rotation_sign_bytes(dim, rounds) bytes and stays in use. */
void quash_rotation_init(struct quash_rotation *rotation, size_t dim, int32_t rounds, uint64_t seed,
                         uint8_t *signs);

/* x has dim numbers; in place. Exact zone. */
void quash_rotation_apply(const struct quash_rotation *rotation,
                          const struct quash_kernels *kernels, float *x);
void quash_rotation_undo(const struct quash_rotation *rotation, const struct quash_kernels *kernels,
                         float *x);

#endif
