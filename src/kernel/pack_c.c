/* SPDX-License-Identifier: Apache-2.0 */
/* pack_c.c: codes to the bits of canonical rows and back, C reference. */
#include <string.h>

#include "kernel/kernel.h"

/* Bits [shift, shift + bits) of each code, at bit i*bits of the output. bits divides 8. */
static void pack_plane(const uint8_t *codes, size_t n, uint32_t bits, uint32_t shift,
                       uint8_t *packed) {
    const size_t per_byte = 8 / bits;
    const uint32_t mask = (1u << bits) - 1;
    memset(packed, 0, (n + per_byte - 1) / per_byte);
    for (size_t i = 0; i < n; i++) {
        const uint32_t piece = ((uint32_t)codes[i] >> shift & mask) << i % per_byte * bits;
        packed[i / per_byte] = (uint8_t)(packed[i / per_byte] | piece);
    }
}

/* The inverse; sets the bits of the plane and keeps the others when shift > 0. */
static void unpack_plane(const uint8_t *packed, size_t n, uint32_t bits, uint32_t shift,
                         uint8_t *codes) {
    const size_t per_byte = 8 / bits;
    const uint32_t mask = (1u << bits) - 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t piece = (uint32_t)packed[i / per_byte] >> i % per_byte * bits & mask;
        codes[i] = (uint8_t)(shift == 0 ? piece : codes[i] | piece << shift);
    }
}

void quash_pack_1_c(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 1, 0, packed);
}

void quash_pack_2_c(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 2, 0, packed);
}

void quash_pack_3_c(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 2, 0, packed);
    pack_plane(codes, n, 1, 2, packed + (n + 3) / 4);
}

void quash_pack_4_c(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 4, 0, packed);
}

void quash_unpack_1_c(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack_plane(packed, n, 1, 0, codes);
}

void quash_unpack_2_c(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack_plane(packed, n, 2, 0, codes);
}

void quash_unpack_3_c(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack_plane(packed, n, 2, 0, codes);
    unpack_plane(packed + (n + 3) / 4, n, 1, 2, codes);
}

void quash_unpack_4_c(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack_plane(packed, n, 4, 0, codes);
}
