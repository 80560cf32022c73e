/* SPDX-License-Identifier: Apache-2.0 */
/* api_packing.c: the bit packing of the original Python package, kept for data written by it. Our
 * own rows split 3-bit codes into planes instead (codec/row.h). */
#include <quash/codec.h>

#include <string.h>

#include "api/check.h"
#include "base/status.h"

static quash_status check(const void *codes, int64_t rows, int64_t dim, int32_t bits,
                          const void *packed) {
    if (bits != 8) {
        QUASH_TRY(quash_check_range("bits", bits, 1, 4));
    }
    QUASH_TRY(quash_check_range("dim", dim, 1, INT32_MAX));
    QUASH_TRY(quash_check_range("rows", rows, 0, INT64_MAX / 8 / dim));
    QUASH_TRY(quash_check_pointer("codes", codes, rows));
    return quash_check_pointer("packed", packed, rows);
}

quash_status quash_pack_bits(const uint8_t *codes, int64_t rows, int64_t dim, int32_t bits,
                             uint8_t *packed) {
    QUASH_TRY(check(codes, rows, dim, bits, packed));
    for (int64_t i = 0; i < rows * dim; i++) {
        if (codes[i] >> bits != 0) {
            return quash_fail(QUASH_ERROR_ARGUMENT,
                              "codes: %u in row %lld, column %lld, expected below %d", codes[i],
                              (long long)(i / dim), (long long)(i % dim), 1 << bits);
        }
    }
    const int64_t row_bytes = (dim * bits + 7) / 8;
    for (int64_t row = 0; row < rows; row++) {
        uint8_t *const out = packed + row * row_bytes;
        memset(out, 0, (size_t)row_bytes);
        for (int64_t i = 0; i < dim; i++) {
            const int64_t bit = i * bits;
            const uint32_t shifted = (uint32_t)codes[row * dim + i] << bit % 8;
            out[bit / 8] = (uint8_t)(out[bit / 8] | shifted);
            if (shifted >> 8 != 0) { /* the rest of a code that straddles two bytes */
                out[bit / 8 + 1] = (uint8_t)(shifted >> 8);
            }
        }
    }
    return QUASH_OK;
}

quash_status quash_unpack_bits(const uint8_t *packed, int64_t rows, int64_t dim, int32_t bits,
                               uint8_t *codes) {
    QUASH_TRY(check(codes, rows, dim, bits, packed));
    const int64_t row_bytes = (dim * bits + 7) / 8;
    const uint32_t mask = (1u << bits) - 1u;
    for (int64_t row = 0; row < rows; row++) {
        const uint8_t *const in = packed + row * row_bytes;
        for (int64_t i = 0; i < dim; i++) {
            const int64_t bit = i * bits;
            uint32_t pair = in[bit / 8];
            if (bit % 8 + bits > 8) {
                pair |= (uint32_t)in[bit / 8 + 1] << 8;
            }
            codes[row * dim + i] = (uint8_t)(pair >> bit % 8 & mask);
        }
    }
    return QUASH_OK;
}
