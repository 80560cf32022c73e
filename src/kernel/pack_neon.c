/* SPDX-License-Identifier: Apache-2.0 */
/* pack_neon.c: codes to the bits of canonical rows and back, NEON. Planes are packed in blocks of
 * 64 codes and unpacked in blocks of 32; the last block goes through a padded buffer. */
#include "kernel/kernel.h"
#include "kernel/neon.h"

#define PACK_BLOCK 64
#define UNPACK_BLOCK 32

/* ---- Packing ------------------------------------------------------------------------------- */

/* Shift-left-and-insert keeps the low bits of its first argument, so that a chain of them packs and
 * masks at once. Streams: v.val[k] holds the codes 4 * j + k. */

/* Two bits of each code: 16 bytes. */
static inline uint8x16_t join_pairs(uint8x16x4_t v) {
    const uint8x16_t upper = vsliq_n_u8(v.val[2], v.val[3], 2);
    return vsliq_n_u8(v.val[0], vsliq_n_u8(v.val[1], upper, 2), 2);
}

/* The lowest bit of each code: 8 bytes. */
static inline uint8x8_t join_bits(uint8x16x4_t v) {
    const uint8x16_t upper = vsliq_n_u8(v.val[2], v.val[3], 1);
    const uint8x16_t four = vsliq_n_u8(v.val[0], vsliq_n_u8(v.val[1], upper, 1), 1);
    return vget_low_u8(vsliq_n_u8(vuzp1q_u8(four, four), vuzp2q_u8(four, four), 4));
}

static inline void pack_block_1(const uint8_t *codes, uint8_t *packed) {
    vst1_u8(packed, join_bits(vld4q_u8(codes)));
}

static inline void pack_block_2(const uint8_t *codes, uint8_t *packed) {
    vst1q_u8(packed, join_pairs(vld4q_u8(codes)));
}

/* The plane of bit 2. */
static inline void pack_block_high(const uint8_t *codes, uint8_t *packed) {
    uint8x16x4_t v = vld4q_u8(codes);
    v.val[0] = vshrq_n_u8(v.val[0], 2);
    v.val[1] = vshrq_n_u8(v.val[1], 2);
    v.val[2] = vshrq_n_u8(v.val[2], 2);
    v.val[3] = vshrq_n_u8(v.val[3], 2);
    vst1_u8(packed, join_bits(v));
}

static inline void pack_block_4(const uint8_t *codes, uint8_t *packed) {
    const uint8x16x2_t a = vld2q_u8(codes);
    const uint8x16x2_t b = vld2q_u8(codes + 32);
    vst1q_u8(packed, vsliq_n_u8(a.val[0], a.val[1], 4));
    vst1q_u8(packed + 16, vsliq_n_u8(b.val[0], b.val[1], 4));
}

/* One plane, `bits` per code. */
QUASH_FORCE_INLINE void pack(void (*block)(const uint8_t *codes, uint8_t *packed), size_t bits,
                             const uint8_t *codes, size_t n, uint8_t *packed) {
    size_t i = 0;
    for (; i + PACK_BLOCK <= n; i += PACK_BLOCK) {
        block(codes + i, packed + i * bits / 8);
    }
    if (i < n) {
        uint8_t tail[PACK_BLOCK] = { 0 };
        uint8_t tail_packed[PACK_BLOCK / 2];
        memcpy(tail, codes + i, n - i);
        block(tail, tail_packed);
        memcpy(packed + i * bits / 8, tail_packed, ((n - i) * bits + 7) / 8);
    }
}

void quash_pack_1_neon(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack(pack_block_1, 1, codes, n, packed);
}

void quash_pack_2_neon(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack(pack_block_2, 2, codes, n, packed);
}

void quash_pack_3_neon(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack(pack_block_2, 2, codes, n, packed);
    pack(pack_block_high, 1, codes, n, packed + (n + 3) / 4);
}

void quash_pack_4_neon(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack(pack_block_4, 4, codes, n, packed);
}

/* ---- Unpacking ----------------------------------------------------------------------------- */

static inline void store_codes(uint8_t *codes, uint8x16x2_t v) {
    vst1q_u8(codes, v.val[0]);
    vst1q_u8(codes + 16, v.val[1]);
}

/* With 3 bits, `packed` is the plane of the low two. */
QUASH_FORCE_INLINE void unpack(int32_t bits, const uint8_t *packed, const uint8_t *high, size_t n,
                               uint8_t *codes) {
    const size_t plane_bits = bits == 3 ? 2 : (size_t)bits;
    size_t i = 0;
    for (; i + UNPACK_BLOCK <= n; i += UNPACK_BLOCK) {
        store_codes(codes + i, quash_expand(bits, packed + i * plane_bits / 8, high + i / 8));
    }
    if (i < n) {
        uint8_t tail[UNPACK_BLOCK / 2] = { 0 };
        uint8_t tail_high[UNPACK_BLOCK / 8] = { 0 };
        uint8_t tail_codes[UNPACK_BLOCK];
        memcpy(tail, packed + i * plane_bits / 8, ((n - i) * plane_bits + 7) / 8);
        if (bits == 3) {
            memcpy(tail_high, high + i / 8, (n - i + 7) / 8);
        }
        store_codes(tail_codes, quash_expand(bits, tail, tail_high));
        memcpy(codes + i, tail_codes, n - i);
    }
}

void quash_unpack_1_neon(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(1, packed, packed, n, codes);
}

void quash_unpack_2_neon(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(2, packed, packed, n, codes);
}

void quash_unpack_3_neon(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(3, packed, packed + (n + 3) / 4, n, codes);
}

void quash_unpack_4_neon(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(4, packed, packed, n, codes);
}
