/* SPDX-License-Identifier: Apache-2.0 */
/* scan_c.c: integer dot products of packed codes and query digits, C reference. A row is unpacked
 * once, in pieces, and serves every query. */
#include <assert.h>

#include "kernel/kernel.h"

#define PIECE 512 /* codes unpacked at a time */

/* Offsets of code `start` in the planes of a row of n codes; start is a multiple of 32. */
static void unpack_piece(int32_t bits, const int8_t *integers, const uint8_t *row, size_t n,
                         size_t start, size_t count, int8_t *out) {
    uint8_t codes[PIECE];
    switch (bits) {
    case 1: quash_unpack_1_c(row + start / 8, count, codes); break;
    case 2: quash_unpack_2_c(row + start / 4, count, codes); break;
    case 4: quash_unpack_4_c(row + start / 2, count, codes); break;
    default: {
        const uint8_t *const high = row + n / 4 + start / 8;
        quash_unpack_2_c(row + start / 4, count, codes);
        for (size_t i = 0; i < count; i++) {
            codes[i] = (uint8_t)(codes[i] | (high[i / 8] >> i % 8 & 1) << 2);
        }
        break;
    }
    }
    for (size_t i = 0; i < count; i++) {
        out[i] = integers[codes[i]];
    }
}

static int32_t dot(const int8_t *a, const int8_t *b, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (int32_t)a[i] * b[i];
    }
    return sum;
}

static void scan(int32_t bits, const int8_t *integers, const uint8_t *packed, size_t rows,
                 size_t stride, size_t n, const int8_t *digits, size_t queries, int32_t *sums) {
    assert(n % 32 == 0);
    for (size_t r = 0; r < rows; r++) {
        int32_t *const row_sums = sums + r * queries;
        for (size_t j = 0; j < queries; j++) {
            row_sums[j] = 0;
        }
        for (size_t start = 0; start < n; start += PIECE) {
            const size_t count = n - start < PIECE ? n - start : PIECE;
            int8_t row[PIECE];
            unpack_piece(bits, integers, packed + r * stride, n, start, count, row);
            for (size_t j = 0; j < queries; j++) {
                row_sums[j] += dot(row, digits + j * n + start, count);
            }
        }
    }
}

#define DEFINE_SCAN_C(bits)                                                                        \
    void quash_scan_##bits##_c(const int8_t *integers, const uint8_t *packed, size_t rows,         \
                               size_t stride, size_t n, const int8_t *digits, size_t queries,      \
                               int32_t *sums) {                                                    \
        scan(bits, integers, packed, rows, stride, n, digits, queries, sums);                      \
    }

DEFINE_SCAN_C(1)
DEFINE_SCAN_C(2)
DEFINE_SCAN_C(3)
DEFINE_SCAN_C(4)
