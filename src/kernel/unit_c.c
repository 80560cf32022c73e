/* SPDX-License-Identifier: Apache-2.0 */
/* unit_c.c: codes to the packed unit of a cache tile, C reference. */
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/unit.h"

static void pack_unit(int32_t bits, const uint8_t *codes, size_t lane_stride, size_t element_stride,
                      uint8_t *unit) {
    memset(unit, 0, quash_unit_bytes(bits));
    for (size_t lane = 0; lane < QUASH_UNIT_LANES; lane++) {
        for (size_t element = 0; element < QUASH_UNIT_ELEMENTS; element++) {
            quash_unit_put(unit, bits, lane, element,
                           codes[lane * lane_stride + element * element_stride]);
        }
    }
}

#define DEFINE_PACK_UNIT_C(bits)                                                                   \
    void quash_pack_unit_##bits##_c(const uint8_t *codes, size_t lane_stride,                      \
                                    size_t element_stride, uint8_t *unit) {                        \
        pack_unit(bits, codes, lane_stride, element_stride, unit);                                 \
    }

DEFINE_PACK_UNIT_C(2)
DEFINE_PACK_UNIT_C(3)
DEFINE_PACK_UNIT_C(4)
