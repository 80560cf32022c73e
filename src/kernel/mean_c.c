/* SPDX-License-Identifier: Apache-2.0 */
/* mean_c.c: the mean of keys at attention, C reference. Loops over the tiles of a batch and over
 * offsets are plain, so that the compiler vectorises them. */
#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"

#define TILES QUASH_MEAN_TILES
#define OFFSETS QUASH_MEAN_OFFSETS

void quash_mean_coefficients_c(const struct quash_mean_pairs *pairs, const float *a, const float *b,
                               float constant, float *coefficients) {
    const size_t polynomials = pairs->polynomials;
    float *fast = coefficients + 2 * polynomials * TILES;
    assert(polynomials <= QUASH_MEAN_POLYNOMIALS);
    assert(polynomials > 0 || (pairs->slow == 0 && constant == 0.0f));
    memset(coefficients, 0, 2 * polynomials * TILES * sizeof *coefficients);
    for (size_t t = 0; polynomials > 0 && t < TILES; t++) {
        coefficients[t] = constant;
    }
    for (size_t i = 0; i < pairs->count; i++) {
        const size_t pair = pairs->list[i];
        const float *const c = pairs->cos + pair * pairs->stride;
        const float *const s = pairs->sin + pair * pairs->stride;
        float turned_a[TILES];
        float turned_b[TILES];
        for (size_t t = 0; t < TILES; t++) {
            turned_a[t] = a[i] * c[t] + b[i] * s[t];
            turned_b[t] = b[i] * c[t] - a[i] * s[t];
        }
        if (i >= pairs->slow) {
            memcpy(fast, turned_a, sizeof turned_a);
            memcpy(fast + TILES, turned_b, sizeof turned_b);
            fast += 2 * TILES;
            continue;
        }
        for (size_t k = 0; k < polynomials; k++) {
            const float even = pairs->even[pair * QUASH_MEAN_POLYNOMIALS + k];
            const float odd = pairs->odd[pair * QUASH_MEAN_POLYNOMIALS + k];
            for (size_t t = 0; t < TILES; t++) {
                coefficients[2 * k * TILES + t] += even * turned_a[t];
                coefficients[(2 * k + 1) * TILES + t] += odd * turned_b[t];
            }
        }
    }
}

void quash_mean_term_c(const float *even, const float *odd, size_t terms, const float *coefficients,
                       size_t row_stride, size_t rows, float (*scores)[64]) {
    for (size_t r = 0; r < rows; r++) {
        float e[OFFSETS] = { 0.0f };
        float o[OFFSETS] = { 0.0f };
        for (size_t k = 0; k < terms; k++) {
            const float even_factor = coefficients[r * row_stride + 2 * k * TILES];
            const float odd_factor = coefficients[r * row_stride + (2 * k + 1) * TILES];
            for (size_t j = 0; j < OFFSETS; j++) {
                e[j] += even[k * OFFSETS + j] * even_factor;
                o[j] += odd[k * OFFSETS + j] * odd_factor;
            }
        }
        for (size_t j = 0; j < OFFSETS; j++) {
            scores[r][OFFSETS + j] += e[j] + o[j];
            scores[r][OFFSETS - 1 - j] += e[j] - o[j];
        }
    }
}
