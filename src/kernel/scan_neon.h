/* SPDX-License-Identifier: Apache-2.0 */
/* scan_neon.h: integer dot products of packed codes and query digits for the NEON levels, which
 * differ in one step: before including this, a file defines
 *
 *     static inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b);
 *
 * which adds the 16 products a[i] * b[i] to the four sums, in any order. Codes are unpacked in
 * registers, 32 at a time, for up to four queries. */
#ifndef QUASH_KERNEL_SCAN_NEON_H
#define QUASH_KERNEL_SCAN_NEON_H

#include <assert.h>

#include "kernel/kernel.h"
#include "kernel/neon.h"

/* The integers of the codes start .. start + 31 of a row. */
QUASH_FORCE_INLINE int8x16x2_t row_integers(int32_t bits, int8x16_t integers, const uint8_t *row,
                                            size_t n, size_t start) {
    const size_t plane_bits = bits == 3 ? 2 : (size_t)bits;
    const uint8x16x2_t codes =
        quash_expand(bits, row + start * plane_bits / 8, row + n / 4 + start / 8);
    return (
        int8x16x2_t){ { vqtbl1q_s8(integers, codes.val[0]), vqtbl1q_s8(integers, codes.val[1]) } };
}

static inline int32x4_t add_32_products(int32x4_t sums, int8x16x2_t row, const int8_t *digits) {
    sums = add_products(sums, row.val[0], vld1q_s8(digits));
    return add_products(sums, row.val[1], vld1q_s8(digits + 16));
}

QUASH_FORCE_INLINE void scan_1_query(int32_t bits, int8x16_t integers, const uint8_t *row, size_t n,
                                     const int8_t *digits, int32_t *sum) {
    int32x4_t even = vdupq_n_s32(0); /* two chains of additions, for speed */
    int32x4_t odd = vdupq_n_s32(0);
    for (size_t i = 0; i < n; i += 32) {
        const int8x16x2_t v = row_integers(bits, integers, row, n, i);
        even = add_products(even, v.val[0], vld1q_s8(digits + i));
        odd = add_products(odd, v.val[1], vld1q_s8(digits + i + 16));
    }
    *sum = vaddvq_s32(vaddq_s32(even, odd));
}

QUASH_FORCE_INLINE void scan_4_queries(int32_t bits, int8x16_t integers, const uint8_t *row,
                                       size_t n, const int8_t *digits, int32_t *sums) {
    int32x4_t a = vdupq_n_s32(0);
    int32x4_t b = vdupq_n_s32(0);
    int32x4_t c = vdupq_n_s32(0);
    int32x4_t d = vdupq_n_s32(0);
    for (size_t i = 0; i < n; i += 32) {
        const int8x16x2_t v = row_integers(bits, integers, row, n, i);
        a = add_32_products(a, v, digits + i);
        b = add_32_products(b, v, digits + n + i);
        c = add_32_products(c, v, digits + 2 * n + i);
        d = add_32_products(d, v, digits + 3 * n + i);
    }
    vst1q_s32(sums, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d)));
}

QUASH_FORCE_INLINE void scan(int32_t bits, const int8_t *integers, const uint8_t *packed,
                             size_t rows, size_t stride, size_t n, const int8_t *digits,
                             size_t queries, int32_t *sums) {
    assert(n % 32 == 0);
    const int8x16_t table = vld1q_s8(integers);
    for (size_t r = 0; r < rows; r++) {
        const uint8_t *const row = packed + r * stride;
        int32_t *const row_sums = sums + r * queries;
        size_t j = 0;
        for (; j + 4 <= queries; j += 4) {
            scan_4_queries(bits, table, row, n, digits + j * n, row_sums + j);
        }
        for (; j < queries; j++) {
            scan_1_query(bits, table, row, n, digits + j * n, row_sums + j);
        }
    }
}

#define DEFINE_SCAN(bits, isa)                                                                     \
    void quash_scan_##bits##_##isa(const int8_t *integers, const uint8_t *packed, size_t rows,     \
                                   size_t stride, size_t n, const int8_t *digits, size_t queries,  \
                                   int32_t *sums) {                                                \
        scan(bits, integers, packed, rows, stride, n, digits, queries, sums);                      \
    }

#endif
