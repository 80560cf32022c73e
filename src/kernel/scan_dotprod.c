/* SPDX-License-Identifier: Apache-2.0 */
/* scan_dotprod.c: integer dot products of packed codes and query digits, with SDOT. */
#include <arm_neon.h>

static inline int32x4_t add_products(int32x4_t sums, int8x16_t a, int8x16_t b) {
    return vdotq_s32(sums, a, b);
}

#include "kernel/scan_neon.h"

DEFINE_SCAN(1, dotprod)
DEFINE_SCAN(2, dotprod)
DEFINE_SCAN(3, dotprod)
DEFINE_SCAN(4, dotprod)
