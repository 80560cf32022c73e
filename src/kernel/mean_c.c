/* SPDX-License-Identifier: Apache-2.0 */
/* mean_c.c: the mean of keys at attention, C reference. Loops over the tiles of a batch and over
 * offsets are plain, so that the compiler vectorises them. */
#include <assert.h>
#include <string.h>

#include "kernel/kernel.h"

#define TILES QUASH_MEAN_TILES
#define OFFSETS QUASH_MEAN_OFFSETS

void quash_mean_coefficients_c(const struct quash_mean_pairs *pairs, const float *a, const float *b,
                               float constant, float *coefficients, size_t tile_stride) {
    const size_t polynomials = pairs->polynomials;
    float even_sums[QUASH_MEAN_POLYNOMIALS][TILES] = { { 0.0f } };
    float odd_sums[QUASH_MEAN_POLYNOMIALS][TILES] = { { 0.0f } };
    float *fast = coefficients + 2 * polynomials;
    for (size_t t = 0; t < TILES; t++) {
        memset(coefficients + t * tile_stride, 0, quash_mean_width(pairs) * sizeof *coefficients);
    }
    assert(polynomials <= QUASH_MEAN_POLYNOMIALS);
    assert(polynomials > 0 || (pairs->slow == 0 && constant == 0.0f));
    for (size_t t = 0; t < TILES; t++) {
        even_sums[0][t] = constant;
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
            for (size_t t = 0; t < TILES; t++) {
                fast[t * tile_stride] = turned_a[t];
                fast[t * tile_stride + 1] = turned_b[t];
            }
            fast += 2;
            continue;
        }
        for (size_t k = 0; k < polynomials; k++) {
            const float even = pairs->even[pair * QUASH_MEAN_POLYNOMIALS + k];
            const float odd = pairs->odd[pair * QUASH_MEAN_POLYNOMIALS + k];
            for (size_t t = 0; t < TILES; t++) {
                even_sums[k][t] += even * turned_a[t];
                odd_sums[k][t] += odd * turned_b[t];
            }
        }
    }
    for (size_t k = 0; k < polynomials; k++) {
        for (size_t t = 0; t < TILES; t++) {
            coefficients[t * tile_stride + 2 * k] = even_sums[k][t];
            coefficients[t * tile_stride + 2 * k + 1] = odd_sums[k][t];
        }
    }
}

void quash_mean_term_c(const float *even, const float *odd, size_t terms, const float *coefficients,
                       size_t row_stride, size_t rows, float (*scores)[64]) {
    for (size_t r = 0; r < rows; r++) {
        float e[OFFSETS] = { 0.0f };
        float o[OFFSETS] = { 0.0f };
        for (size_t k = 0; k < terms; k++) {
            const float even_factor = coefficients[r * row_stride + 2 * k];
            const float odd_factor = coefficients[r * row_stride + 2 * k + 1];
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

void quash_multiply_each(float *x, const float *factors, size_t n) {
    for (size_t i = 0; i < n; i++) {
        x[i] *= factors[i];
    }
}
