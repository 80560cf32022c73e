/* SPDX-License-Identifier: Apache-2.0 */
/* rotation.c: the random rotation, as steps over the rotate kernel. */
#include "codec/rotation.h"

#include "base/rng.h"

static size_t window_width(size_t dim) {
    size_t width = 1;
    while (width * 2 <= dim) {
        width *= 2;
    }
    return width;
}

static int32_t step_count(size_t dim, int32_t rounds) {
    return window_width(dim) == dim ? rounds : QUASH_ROTATION_STEPS_MAX;
}

static size_t step_sign_bytes(size_t width) {
    return (width + 63) / 64 * 8;
}

size_t quash_rotation_sign_bytes(size_t dim, int32_t rounds) {
    return (size_t)step_count(dim, rounds) * step_sign_bytes(window_width(dim));
}

void quash_rotation_init(struct quash_rotation *rotation, size_t dim, int32_t rounds, uint64_t seed,
                         uint8_t *signs) {
    rotation->dim = dim;
    rotation->width = window_width(dim);
    rotation->steps = step_count(dim, rounds);
    rotation->sign_bytes = step_sign_bytes(rotation->width);
    rotation->signs = signs;
    rotation->factor = 1.0f;
    size_t rest = rotation->width;
    for (; rest >= 4; rest /= 4) {
        rotation->factor *= 0.5f;
    }
    rotation->factor *= rest == 2 ? 0.70710678f : 1.0f; /* 2^-k/2, rounded once */
    for (int32_t step = 0; step < rotation->steps; step++) {
        const uint64_t key = quash_rng_key(seed, (uint64_t)step);
        for (size_t byte = 0; byte < rotation->sign_bytes; byte++) {
            *signs++ = (uint8_t)(quash_rng_word(key, byte / 8) >> byte % 8 * 8);
        }
    }
}

/* Where the window of a step starts, and whether the half butterfly follows it. */
static size_t window_start(const struct quash_rotation *r, int32_t step) {
    return step % 2 == 0 ? 0 : r->dim - r->width;
}

static int butterfly_follows(const struct quash_rotation *r, int32_t step) {
    return r->width != r->dim && step % 2 == 1 && step + 1 < r->steps;
}

void quash_rotation_apply(const struct quash_rotation *rotation,
                          const struct quash_kernels *kernels, float *x) {
    for (int32_t step = 0; step < rotation->steps; step++) {
        kernels->rotate(x + window_start(rotation, step), rotation->width,
                        rotation->signs + (size_t)step * rotation->sign_bytes, rotation->factor);
        if (butterfly_follows(rotation, step)) {
            kernels->half_butterfly(x, rotation->dim);
        }
    }
}

void quash_rotation_undo(const struct quash_rotation *rotation, const struct quash_kernels *kernels,
                         float *x) {
    for (int32_t step = rotation->steps - 1; step >= 0; step--) {
        if (butterfly_follows(rotation, step)) {
            kernels->half_butterfly(x, rotation->dim);
        }
        kernels->unrotate(x + window_start(rotation, step), rotation->width,
                          rotation->signs + (size_t)step * rotation->sign_bytes, rotation->factor);
    }
}
