/* SPDX-License-Identifier: Apache-2.0 */
/* row.h: the canonical row (doc/format.md, "Canonical row"): a scale, 2 or 4 bytes little-endian,
 * then the packed codes. */
#ifndef QUASH_CODEC_ROW_H
#define QUASH_CODEC_ROW_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"

static inline size_t quash_packed_bytes(size_t n, int32_t bits) {
    return bits == 3 ? (n + 3) / 4 + (n + 7) / 8 : (n * (size_t)bits + 7) / 8;
}

/* Writes the scale as binary32 or binary16. Returns 0 when that format cannot hold it. */
static inline int quash_row_put_scale(float scale, int32_t dtype, uint8_t *row) {
    if (dtype == QUASH_F32) {
        memcpy(row, &scale, sizeof scale);
        return isfinite(scale) != 0;
    }
    const uint16_t half = quash_f32_to_f16(scale);
    memcpy(row, &half, sizeof half);
    return half < 0x7C00u;
}

static inline float quash_row_get_scale(const uint8_t *row, int32_t dtype) {
    if (dtype == QUASH_F32) {
        float scale;
        memcpy(&scale, row, sizeof scale);
        return scale;
    }
    uint16_t half;
    memcpy(&half, row, sizeof half);
    return quash_f16_to_f32(half);
}

#endif
