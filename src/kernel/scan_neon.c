/* SPDX-License-Identifier: Apache-2.0 */
/* scan_neon.c: integer dot products of packed codes and query digits, NEON without dotprod. */
#include <arm_neon.h>

/* Two products fit in 16 bits: |integer| <= 128 and |digit| <= 127. */
static inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b) {
    const int16x8_t low = vmull_s8(vget_low_s8(a), vget_low_s8(b));
    return vpadalq_s16(sums, vmlal_high_s8(low, a, b));
}

#include "kernel/scan_neon.h"

DEFINE_SCAN(1, neon)
DEFINE_SCAN(2, neon)
DEFINE_SCAN(3, neon)
DEFINE_SCAN(4, neon)
