/* SPDX-License-Identifier: Apache-2.0 */
/* pack_avx512.c: codes to the bits of canonical rows and back, AVX-512 with VBMI, 64 codes at a
 * time and the rest under a mask. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

static INLINE __mmask64 first_lanes(size_t n) {
    return n >= 64 ? ~0ull : (1ull << n) - 1;
}

/* ---- Pack -------------------------------------------------------------------------------- */

/* Bits [shift, shift + bits) of `count` codes, up to 64; `whole`: of 64. */
static INLINE void pack_64(const uint8_t *codes, size_t count, int whole, int bits, int shift,
                           uint8_t *packed) {
    const __m512i x =
        whole ? _mm512_loadu_si512(codes) : _mm512_maskz_loadu_epi8(first_lanes(count), codes);
    if (bits == 1) {
        const __mmask64 plane = _mm512_test_epi8_mask(x, _mm512_set1_epi8((char)(1 << shift)));
        const __m128i bytes = _mm_cvtsi64_si128((int64_t)plane);
        if (whole) {
            _mm_storel_epi64((void *)packed, bytes);
        } else {
            _mm_mask_storeu_epi8(packed, (__mmask16)first_lanes((count + 7) / 8), bytes);
        }
    } else if (bits == 2) {
        const __m512i low = _mm512_and_si512(x, _mm512_set1_epi8(3));
        const __m512i pairs = _mm512_maddubs_epi16(low, _mm512_set1_epi16(4 << 8 | 1));
        const __m512i fours = _mm512_madd_epi16(pairs, _mm512_set1_epi32(16 << 16 | 1));
        const __m128i bytes = _mm512_cvtepi32_epi8(fours);
        if (whole) {
            store_16_bytes(packed, bytes);
        } else {
            _mm_mask_storeu_epi8(packed, (__mmask16)first_lanes((count + 3) / 4), bytes);
        }
    } else {
        const __m512i low = _mm512_and_si512(x, _mm512_set1_epi8(15));
        const __m512i pairs = _mm512_maddubs_epi16(low, _mm512_set1_epi16(16 << 8 | 1));
        const __m256i bytes = _mm512_cvtepi16_epi8(pairs);
        if (whole) {
            store_32_bytes(packed, bytes);
        } else {
            _mm256_mask_storeu_epi8(packed, (__mmask32)first_lanes((count + 1) / 2), bytes);
        }
    }
}

static INLINE void pack_plane(const uint8_t *codes, size_t n, int bits, int shift,
                              uint8_t *packed) {
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        pack_64(codes + i, 64, 1, bits, shift, packed + i / 8 * (size_t)bits);
    }
    if (i < n) {
        pack_64(codes + i, n - i, 0, bits, shift, packed + i / 8 * (size_t)bits);
    }
}

void quash_pack_1_avx512(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 1, 0, packed);
}

void quash_pack_2_avx512(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 2, 0, packed);
}

void quash_pack_3_avx512(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 2, 0, packed);
    pack_plane(codes, n, 1, 2, packed + (n + 3) / 4);
}

void quash_pack_4_avx512(const uint8_t *codes, size_t n, uint8_t *packed) {
    pack_plane(codes, n, 4, 0, packed);
}

/* ---- Unpack ------------------------------------------------------------------------------ */

/* The plane of single bits of `count` codes. */
static INLINE __mmask64 load_plane(const uint8_t *packed, size_t count, int whole) {
    const __m128i bytes =
        whole ? load_8_bytes(packed)
              : _mm_maskz_loadu_epi8((__mmask16)first_lanes((count + 7) / 8), packed);
    return (__mmask64)_mm_cvtsi128_si64(bytes);
}

static INLINE __m512i unpack_2_to_64(const uint8_t *packed, size_t count, int whole) {
    const __m128i bytes =
        whole ? load_16_bytes(packed)
              : _mm_maskz_loadu_epi8((__mmask16)first_lanes((count + 3) / 4), packed);
    const __m512i shifts = _mm512_set1_epi64(0x2624222006040200); /* a byte in each 32 bits */
    const __m512i moved = _mm512_multishift_epi64_epi8(shifts, _mm512_cvtepu8_epi32(bytes));
    return _mm512_and_si512(moved, _mm512_set1_epi8(3));
}

static INLINE __m512i unpack_4_to_64(const uint8_t *packed, size_t count, int whole) {
    const __m256i bytes =
        whole ? load_32_bytes(packed)
              : _mm256_maskz_loadu_epi8((__mmask32)first_lanes((count + 1) / 2), packed);
    const __m512i shifts = _mm512_set1_epi64(0x3430242014100400); /* a byte in each 16 bits */
    const __m512i moved = _mm512_multishift_epi64_epi8(shifts, _mm512_cvtepu8_epi16(bytes));
    return _mm512_and_si512(moved, _mm512_set1_epi8(15));
}

/* `count` codes, up to 64, from code i on; high: the plane of 3 bits; `whole`: 64. */
static INLINE void unpack_64(int bits, const uint8_t *packed, const uint8_t *high, size_t i,
                             size_t count, int whole, uint8_t *codes) {
    __m512i x;
    if (bits == 1) {
        x = _mm512_maskz_set1_epi8(load_plane(packed + i / 8, count, whole), 1);
    } else if (bits == 4) {
        x = unpack_4_to_64(packed + i / 2, count, whole);
    } else {
        x = unpack_2_to_64(packed + i / 4, count, whole);
    }
    if (bits == 3) {
        const __mmask64 plane = load_plane(high + i / 8, count, whole);
        x = _mm512_mask_add_epi8(x, plane, x, _mm512_set1_epi8(4));
    }
    if (whole) {
        _mm512_storeu_si512(codes + i, x);
    } else {
        _mm512_mask_storeu_epi8(codes + i, first_lanes(count), x);
    }
}

static INLINE void unpack(int bits, const uint8_t *packed, size_t n, uint8_t *codes) {
    const uint8_t *const high = packed + (n + 3) / 4;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        unpack_64(bits, packed, high, i, 64, 1, codes);
    }
    if (i < n) {
        unpack_64(bits, packed, high, i, n - i, 0, codes);
    }
}

void quash_unpack_1_avx512(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(1, packed, n, codes);
}

void quash_unpack_2_avx512(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(2, packed, n, codes);
}

void quash_unpack_3_avx512(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(3, packed, n, codes);
}

void quash_unpack_4_avx512(const uint8_t *packed, size_t n, uint8_t *codes) {
    unpack(4, packed, n, codes);
}
