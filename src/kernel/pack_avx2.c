/* SPDX-License-Identifier: Apache-2.0 */
/* pack_avx2.c: codes to the bits of canonical rows and back, AVX2, 32 codes at a time. The last 32
 * start at a multiple of 8 codes, which is a whole byte, and may repeat some; what then remains, up
 * to 7 codes, and rows of fewer than 32 are left to the C kernel. */
#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

/* Where the last 32 of n codes start, n >= 32. */
static INLINE size_t last_32(size_t n) {
    return (n - 32) / 8 * 8;
}

/* ---- Pack -------------------------------------------------------------------------------- */

/* Bit `shift` of each code. */
static INLINE void pack_1_of_32(const uint8_t *codes, int shift, uint8_t *packed) {
    const __m256i to_top = _mm256_sll_epi16(load_32_bytes(codes), _mm_cvtsi32_si128(7 - shift));
    const int32_t bits = _mm256_movemask_epi8(to_top);
    memcpy(packed, &bits, sizeof bits);
}

static INLINE void pack_2_of_32(const uint8_t *codes, uint8_t *packed) {
    const __m256i low = _mm256_and_si256(load_32_bytes(codes), _mm256_set1_epi8(3));
    const __m256i pairs = _mm256_maddubs_epi16(low, _mm256_set1_epi16(4 << 8 | 1));
    const __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(16 << 16 | 1));
    const __m256i first_byte_of_4 = _mm256_set1_epi32(12 << 24 | 8 << 16 | 4 << 8);
    const __m256i bytes = _mm256_shuffle_epi8(fours, first_byte_of_4);
    const __m128i both =
        _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((void *)packed, both);
}

static INLINE void pack_4_of_32(const uint8_t *codes, uint8_t *packed) {
    const __m256i low = _mm256_and_si256(load_32_bytes(codes), _mm256_set1_epi8(15));
    const __m256i pairs = _mm256_maddubs_epi16(low, _mm256_set1_epi16(16 << 8 | 1));
    store_16_bytes(packed, _mm_packus_epi16(_mm256_castsi256_si128(pairs),
                                            _mm256_extracti128_si256(pairs, 1)));
}

/* Bits [shift, shift + bits) of each code, from code i on, by name. */
static INLINE void pack_32(const uint8_t *codes, size_t i, int bits, int shift, uint8_t *packed) {
    switch (bits) {
    case 1: pack_1_of_32(codes + i, shift, packed + i / 8); break;
    case 2: pack_2_of_32(codes + i, packed + i / 4); break;
    default: pack_4_of_32(codes + i, packed + i / 2); break;
    }
}

static INLINE void pack_rest(const uint8_t *codes, size_t n, int bits, int shift, uint8_t *packed) {
    uint8_t shifted[32];
    for (size_t i = 0; i < n; i++) {
        shifted[i] = (uint8_t)(codes[i] >> shift);
    }
    switch (bits) {
    case 1: quash_pack_1_c(shifted, n, packed); break;
    case 2: quash_pack_2_c(shifted, n, packed); break;
    default: quash_pack_4_c(shifted, n, packed); break;
    }
}

static INLINE void pack_plane(const uint8_t *codes, size_t n, int bits, int shift,
                              uint8_t *packed) {
    size_t done = 0;
    if (n >= 32) {
        for (size_t i = 0; i + 32 < n; i += 32) {
            pack_32(codes, i, bits, shift, packed);
        }
        pack_32(codes, last_32(n), bits, shift, packed);
        done = last_32(n) + 32;
    }
    if (done < n) {
        pack_rest(codes + done, n - done, bits, shift, packed + done / 8 * (size_t)bits);
    }
}

void quash_pack_1_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 1, 0, packed);
}

void quash_pack_2_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 2, 0, packed);
}

void quash_pack_3_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 2, 0, packed);
    pack_plane(codes, n, 1, 2, packed + (n + 3) / 4);
}

void quash_pack_4_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 4, 0, packed);
}

/* ---- Unpack ------------------------------------------------------------------------------ */

/* `value` for each bit that is set. */
static INLINE __m256i unpack_1_to_32(const uint8_t *packed, int8_t value) {
    int32_t bits;
    memcpy(&bits, packed, sizeof bits);
    const __m256i byte_of_code =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of_code = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte_of_code);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of_code), bit_of_code);
    return _mm256_and_si256(set, _mm256_set1_epi8(value));
}

/* Each byte four times in its own 32 bits, moved so that the next two bits start the next byte. */
static INLINE __m256i unpack_2_to_32(const uint8_t *packed) {
    const __m256i once = _mm256_cvtepu8_epi32(load_8_bytes(packed));
    const __m256i twice = _mm256_or_si256(once, _mm256_slli_epi32(once, 12));
    const __m256i four_times = _mm256_or_si256(twice, _mm256_slli_epi32(twice, 6));
    return _mm256_and_si256(four_times, _mm256_set1_epi8(3));
}

static INLINE __m256i unpack_4_to_32(const uint8_t *packed) {
    const __m256i once = _mm256_cvtepu8_epi16(load_16_bytes(packed));
    const __m256i twice = _mm256_or_si256(once, _mm256_slli_epi16(once, 4));
    return _mm256_and_si256(twice, _mm256_set1_epi8(15));
}

/* 32 codes from code i on; high: the plane of 3 bits. */
static INLINE void unpack_32(int bits, const uint8_t *packed, const uint8_t *high, size_t i,
                             uint8_t *codes) {
    switch (bits) {
    case 1: store_32_bytes(codes + i, unpack_1_to_32(packed + i / 8, 1)); break;
    case 2: store_32_bytes(codes + i, unpack_2_to_32(packed + i / 4)); break;
    case 3:
        store_32_bytes(codes + i, _mm256_or_si256(unpack_2_to_32(packed + i / 4),
                                                  unpack_1_to_32(high + i / 8, 4)));
        break;
    default: store_32_bytes(codes + i, unpack_4_to_32(packed + i / 2)); break;
    }
}

static INLINE void unpack_rest(int bits, const uint8_t *packed, const uint8_t *high, size_t n,
                               uint8_t *codes) {
    switch (bits) {
    case 1: quash_unpack_1_c(packed, n, codes); break;
    case 2: quash_unpack_2_c(packed, n, codes); break;
    case 3:
        quash_unpack_2_c(packed, n, codes);
        for (size_t i = 0; i < n; i++) {
            codes[i] = (uint8_t)(codes[i] | (high[i / 8] >> i % 8 & 1) << 2);
        }
        break;
    default: quash_unpack_4_c(packed, n, codes); break;
    }
}

static INLINE void unpack(int bits, const uint8_t *packed, size_t n, uint8_t *codes) {
    const uint8_t *const high = packed + (n + 3) / 4;
    const size_t plane_bits = bits == 3 ? 2 : (size_t)bits;
    size_t done = 0;
    if (n >= 32) {
        for (size_t i = 0; i + 32 < n; i += 32) {
            unpack_32(bits, packed, high, i, codes);
        }
        unpack_32(bits, packed, high, last_32(n), codes);
        done = last_32(n) + 32;
    }
    if (done < n) {
        unpack_rest(bits, packed + done / 8 * plane_bits, high + done / 8, n - done, codes + done);
    }
}

void quash_unpack_1_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(1, packed, n, codes);
}

void quash_unpack_2_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(2, packed, n, codes);
}

void quash_unpack_3_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(3, packed, n, codes);
}

void quash_unpack_4_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(4, packed, n, codes);
}
