/* SPDX-License-Identifier: Apache-2.0 */
/* pack_avx2.c: codes to the bits of canonical rows and back, and codes to numbers, AVX2: 32 codes at
 * a time, the last few by the C reference. */
#include <immintrin.h>
#include <string.h>

#include "kernel/kernel.h"

static inline __m256i load_codes(const uint8_t *codes) {
    return _mm256_loadu_si256((const void *)codes);
}

/* ---- Pack -------------------------------------------------------------------------------- */

/* Bit `shift` of each of 32 codes; shift is known at compile time. */
static inline void pack_bit_u8x32(__m256i codes, int shift, uint8_t *packed) {
    const int32_t bits = _mm256_movemask_epi8(_mm256_slli_epi16(codes, 7 - shift));
    memcpy(packed, &bits, sizeof bits);
}

static inline void pack_2_u8x32(__m256i codes, uint8_t *packed) {
    const __m256i low = _mm256_and_si256(codes, _mm256_set1_epi8(3));
    const __m256i pairs = _mm256_maddubs_epi16(low, _mm256_set1_epi16(0x0401));
    const __m256i bytes = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00100001));
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((void *)packed, _mm_packus_epi16(words, words));
}

void quash_pack_1_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        pack_bit_u8x32(load_codes(codes + i), 0, packed + i / 8);
    }
    quash_pack_1_c(codes + i, n - i, packed + i / 8);
}

void quash_pack_2_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        pack_2_u8x32(load_codes(codes + i), packed + i / 4);
    }
    quash_pack_2_c(codes + i, n - i, packed + i / 4);
}

void quash_pack_3_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    uint8_t *const high = packed + (n + 3) / 4;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i part = load_codes(codes + i);
        pack_2_u8x32(part, packed + i / 4);
        pack_bit_u8x32(part, 2, high + i / 8);
    }
    quash_pack_2_c(codes + i, n - i, packed + i / 4);
    memset(high + i / 8, 0, (n - i + 7) / 8);
    for (; i < n; i++) {
        high[i / 8] = (uint8_t)(high[i / 8] | (codes[i] >> 2 & 1) << i % 8);
    }
}

void quash_pack_4_avx2(const uint8_t *codes, size_t n, uint8_t *packed) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i low = _mm256_and_si256(load_codes(codes + i), _mm256_set1_epi8(15));
        const __m256i bytes = _mm256_maddubs_epi16(low, _mm256_set1_epi16(0x1001));
        const __m128i result =
            _mm_packus_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
        _mm_storeu_si128((void *)(packed + i / 2), result);
    }
    quash_pack_4_c(codes + i, n - i, packed + i / 2);
}

/* ---- Unpack ------------------------------------------------------------------------------ */

/* All ones where the bit of an element is set. */
static inline __m256i expand_bits_u8x32(const uint8_t *packed) {
    int32_t word;
    memcpy(&word, packed, sizeof word);
    const __m256i byte_of = _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101,
                                               0x0202020202020202, 0x0303030303030303);
    const __m256i bit_of = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), byte_of);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of), bit_of);
}

/* x holds two codes of `bits` bits per byte, ascending; they become a byte each. */
static inline __m256i spread_u8x32(__m128i x, int bits) {
    const __m128i mask = _mm_set1_epi8((int8_t)((1 << bits) - 1));
    const __m128i even = _mm_and_si128(x, mask);
    const __m128i odd = _mm_and_si128(_mm_srli_epi16(x, bits), mask);
    return _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
}

static inline __m256i unpack_2_u8x32(const uint8_t *packed) {
    const __m128i x = _mm_loadl_epi64((const void *)packed);
    const __m256i nibbles = spread_u8x32(x, 4);
    return spread_u8x32(_mm256_castsi256_si128(nibbles), 2);
}

void quash_unpack_1_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i set = expand_bits_u8x32(packed + i / 8);
        _mm256_storeu_si256((void *)(codes + i), _mm256_and_si256(set, _mm256_set1_epi8(1)));
    }
    quash_unpack_1_c(packed + i / 8, n - i, codes + i);
}

void quash_unpack_2_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        _mm256_storeu_si256((void *)(codes + i), unpack_2_u8x32(packed + i / 4));
    }
    quash_unpack_2_c(packed + i / 4, n - i, codes + i);
}

void quash_unpack_3_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    const uint8_t *const high = packed + (n + 3) / 4;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i set = expand_bits_u8x32(high + i / 8);
        const __m256i bit = _mm256_and_si256(set, _mm256_set1_epi8(4));
        const __m256i low = unpack_2_u8x32(packed + i / 4);
        _mm256_storeu_si256((void *)(codes + i), _mm256_or_si256(low, bit));
    }
    quash_unpack_2_c(packed + i / 4, n - i, codes + i);
    for (; i < n; i++) {
        codes[i] = (uint8_t)(codes[i] | (high[i / 8] >> i % 8 & 1) << 2);
    }
}

void quash_unpack_4_avx2(const uint8_t *packed, size_t n, uint8_t *codes) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m128i x = _mm_loadu_si128((const void *)(packed + i / 2));
        _mm256_storeu_si256((void *)(codes + i), spread_u8x32(x, 4));
    }
    quash_unpack_4_c(packed + i / 2, n - i, codes + i);
}

/* ---- Codes to numbers -------------------------------------------------------------------- */

void quash_dequantize_avx2(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                           float *x) {
    const __m128i table = _mm_loadu_si128((const void *)integers);
    const __m256 factor = _mm256_set1_ps(gain);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        const __m128i found = _mm_shuffle_epi8(table, _mm_loadu_si128((const void *)(codes + i)));
        const __m256i low = _mm256_cvtepi8_epi32(found);
        const __m256i high = _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(found, found));
        _mm256_storeu_ps(x + i, _mm256_mul_ps(factor, _mm256_cvtepi32_ps(low)));
        _mm256_storeu_ps(x + i + 8, _mm256_mul_ps(factor, _mm256_cvtepi32_ps(high)));
    }
    quash_dequantize_c(integers, codes + i, n - i, gain, x + i);
}
