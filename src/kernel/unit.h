/* SPDX-License-Identifier: Apache-2.0 */
/* unit.h: the code unit, the smallest packed shape of a cache tile (doc/format.md, "Cache tile").
 *
 * A unit holds the codes of 16 lanes x 32 elements in `bits` rows of 64 bytes. Keys: a lane is a
 * token and an element a dimension; values: a lane is a dimension and an element a token. So both
 * products of attention sum along elements, inside a lane, with one micro-kernel.
 * Element e of lane l is byte 4*l + e%4 of "register" e/4; rows hold the 8 registers as
 *   4 bits: row r: register 2r in bits 0-3, register 2r+1 in bits 4-7
 *   3 bits: row r (0..2): register 2r in bits 0-2, register 2r+1 in bits 4-6; bit 3 of rows 0, 1, 2
 *           is bit 2, 1, 0 of register 6, and bit 7 likewise of register 7
 *   2 bits: row r (0..1): registers 4r .. 4r+3 in bits 0-1, 2-3, 4-5, 6-7 */
#ifndef QUASH_KERNEL_UNIT_H
#define QUASH_KERNEL_UNIT_H

#include <stddef.h>
#include <stdint.h>

#define QUASH_UNIT_LANES 16
#define QUASH_UNIT_ELEMENTS 32
#define QUASH_UNIT_ROW_BYTES 64
#define QUASH_TILE_TOKENS 64

static inline size_t quash_unit_bytes(int32_t bits) {
    return (size_t)bits * QUASH_UNIT_ROW_BYTES;
}

static inline uint32_t quash_unit_get(const uint8_t *unit, int32_t bits, size_t lane,
                                      size_t element) {
    const uint8_t *const column = unit + 4 * lane + element % 4;
    const size_t reg = element / 4;
    switch (bits) {
    case 4: return column[reg / 2 * 64] >> reg % 2 * 4 & 15u;
    case 2: return column[reg / 4 * 64] >> reg % 4 * 2 & 3u;
    default: break;
    }
    if (reg < 6) {
        return column[reg / 2 * 64] >> reg % 2 * 4 & 7u;
    }
    const size_t spare = reg == 6 ? 3 : 7;
    return (column[0] >> spare & 1u) << 2 | (column[64] >> spare & 1u) << 1 |
           (column[128] >> spare & 1u);
}

/* Replaces `width` bits at `shift` of a byte. */
static inline void quash_unit_put_bits(uint8_t *byte, size_t shift, uint32_t width,
                                       uint32_t value) {
    const uint32_t mask = ((1u << width) - 1u) << shift;
    *byte = (uint8_t)((*byte & ~mask) | (value << shift & mask));
}

static inline void quash_unit_put(uint8_t *unit, int32_t bits, size_t lane, size_t element,
                                  uint32_t code) {
    uint8_t *const column = unit + 4 * lane + element % 4;
    const size_t reg = element / 4;
    if (bits == 4) {
        quash_unit_put_bits(column + reg / 2 * 64, reg % 2 * 4, 4, code);
    } else if (bits == 2) {
        quash_unit_put_bits(column + reg / 4 * 64, reg % 4 * 2, 2, code);
    } else if (reg < 6) {
        quash_unit_put_bits(column + reg / 2 * 64, reg % 2 * 4, 3, code);
    } else {
        const size_t spare = reg == 6 ? 3 : 7;
        quash_unit_put_bits(column, spare, 1, code >> 2 & 1u);
        quash_unit_put_bits(column + 64, spare, 1, code >> 1 & 1u);
        quash_unit_put_bits(column + 128, spare, 1, code & 1u);
    }
}

#endif
