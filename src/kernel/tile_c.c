/* SPDX-License-Identifier: Apache-2.0 */
/* tile_c.c: the two products of attention on the codes of a tile, C reference in plain float. A
 * unit is unpacked once into small integers and serves every row of queries. */
#include <assert.h>

#include "kernel/kernel.h"
#include "kernel/unit.h"

/* Integers of a unit, element by element, so that the inner loops run over lanes. */
typedef int8_t unit_integers[QUASH_UNIT_ELEMENTS][QUASH_UNIT_LANES];

static inline void unpack_unit(const uint8_t *unit, int32_t bits, const int8_t *integers,
                               unit_integers out) {
    for (size_t element = 0; element < QUASH_UNIT_ELEMENTS; element++) {
        for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
            out[element][lane] = integers[quash_unit_get(unit, bits, lane, element)];
        }
    }
}

/* sums[lane] += sum over elements of weights[element] * integer. */
static inline void add_products(unit_integers integers, const float *weights, float *sums) {
    float part[QUASH_UNIT_LANES] = { 0.0f };
    for (size_t element = 0; element < QUASH_UNIT_ELEMENTS; element++) {
        const float weight = weights[element];
        for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
            part[lane] += weight * (float)integers[element][lane];
        }
    }
    for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
        sums[lane] += part[lane];
    }
}

static inline void tile_scores(int32_t bits, const int8_t *integers, const uint8_t *keys,
                               size_t key_dims, const float *q, size_t dim_stride, size_t rows,
                               float (*scores)[64]) {
    assert(rows <= QUASH_TILE_ROWS_MAX && key_dims % QUASH_UNIT_ELEMENTS == 0);
    const size_t units = key_dims / QUASH_UNIT_ELEMENTS;
    for (size_t block = 0; block < QUASH_TILE_TOKENS / QUASH_UNIT_LANES; block++) {
        float sums[QUASH_TILE_ROWS_MAX][QUASH_UNIT_LANES] = { { 0.0f } };
        for (size_t u = 0; u < units; u++) {
            unit_integers unpacked;
            unpack_unit(keys + (block * units + u) * quash_unit_bytes(bits), bits, integers,
                        unpacked);
            for (size_t r = 0; r < rows; r++) {
                add_products(unpacked, q + r * dim_stride + u * QUASH_UNIT_ELEMENTS, sums[r]);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
                scores[r][block * QUASH_UNIT_LANES + lane] = sums[r][lane];
            }
        }
    }
}

static inline void tile_accumulate(int32_t bits, const int8_t *integers, const uint8_t *values,
                                   size_t value_dims, const float (*weights)[64], size_t rows,
                                   float *out, size_t dim_stride) {
    assert(rows <= QUASH_TILE_ROWS_MAX && value_dims % QUASH_UNIT_LANES == 0);
    const size_t halves = QUASH_TILE_TOKENS / QUASH_UNIT_ELEMENTS;
    for (size_t block = 0; block < value_dims / QUASH_UNIT_LANES; block++) {
        float sums[QUASH_TILE_ROWS_MAX][QUASH_UNIT_LANES] = { { 0.0f } };
        for (size_t half = 0; half < halves; half++) {
            unit_integers unpacked;
            unpack_unit(values + (block * halves + half) * quash_unit_bytes(bits), bits, integers,
                        unpacked);
            for (size_t r = 0; r < rows; r++) {
                add_products(unpacked, weights[r] + half * QUASH_UNIT_ELEMENTS, sums[r]);
            }
        }
        for (size_t r = 0; r < rows; r++) {
            for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
                out[r * dim_stride + block * QUASH_UNIT_LANES + lane] += sums[r][lane];
            }
        }
    }
}

#define DEFINE_TILE_C(bits)                                                                        \
    void quash_tile_scores_##bits##_c(const int8_t *integers, const uint8_t *keys,                 \
                                      size_t key_dims, const float *q, size_t dim_stride,          \
                                      size_t rows, float(*scores)[64]) {                           \
        tile_scores(bits, integers, keys, key_dims, q, dim_stride, rows, scores);                  \
    }                                                                                              \
    void quash_tile_accumulate_##bits##_c(const int8_t *integers, const uint8_t *values,           \
                                          size_t value_dims, const float(*weights)[64],            \
                                          size_t rows, float *out, size_t dim_stride) {            \
        tile_accumulate(bits, integers, values, value_dims, weights, rows, out, dim_stride);       \
    }

DEFINE_TILE_C(2)
DEFINE_TILE_C(3)
DEFINE_TILE_C(4)
