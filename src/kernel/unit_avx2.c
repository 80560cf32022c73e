/* SPDX-License-Identifier: Apache-2.0 */
/* unit_avx2.c: codes to the packed unit of a cache tile, AVX2. A unit is made in quarters of four
 * lanes, 16 bytes of each of its eight registers (kernel/unit.h): first the codes are brought into
 * that order, then the registers are merged into rows of bits. */
#include <assert.h>
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/unit.h"

#define INLINE static inline __attribute__((always_inline))
#define REGISTERS 8

/* a and b << shift, where no bit leaves its byte. */
INLINE __m128i merge(__m128i a, __m128i b, int shift) {
    return _mm_or_si128(a, _mm_slli_epi16(b, shift));
}

INLINE __m128i select(__m128i x, int32_t mask) {
    return _mm_and_si128(x, _mm_set1_epi8((int8_t)mask));
}

/* The rows of one quarter. */
INLINE void store_quarter(int32_t bits, const __m128i r[REGISTERS], uint8_t *unit) {
    __m128i rows[4];
    if (bits == 2) {
        for (int i = 0; i < 2; i++) {
            const __m128i low = merge(r[4 * i], r[4 * i + 1], 2);
            const __m128i high = merge(r[4 * i + 2], r[4 * i + 3], 2);
            rows[i] = merge(low, high, 4);
        }
    } else {
        for (int i = 0; i < 4; i++) {
            rows[i] = merge(r[2 * i], r[2 * i + 1], 4);
        }
        if (bits == 3) { /* the fourth row goes to the spare bits of the others */
            const __m128i spare = rows[3];
            rows[0] = merge(rows[0], select(spare, 0x44), 1);
            rows[1] = merge(rows[1], select(spare, 0x22), 2);
            rows[2] = merge(rows[2], select(spare, 0x11), 3);
        }
    }
    for (int i = 0; i < bits; i++) {
        _mm_storeu_si128((void *)(unit + i * QUASH_UNIT_ROW_BYTES), rows[i]);
    }
}

/* Keys: the 32 elements of a lane lie side by side, four of them to a register. */
INLINE void pack_lanes(int32_t bits, const uint8_t *codes, size_t lane_stride, uint8_t *unit) {
    for (size_t quarter = 0; quarter < 4; quarter++) {
        __m256i lanes[4];
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *const lane = codes + (4 * quarter + i) * lane_stride;
            lanes[i] = _mm256_loadu_si256((const void *)lane);
        }
        const __m256i a = _mm256_unpacklo_epi32(lanes[0], lanes[1]);
        const __m256i b = _mm256_unpacklo_epi32(lanes[2], lanes[3]);
        const __m256i c = _mm256_unpackhi_epi32(lanes[0], lanes[1]);
        const __m256i d = _mm256_unpackhi_epi32(lanes[2], lanes[3]);
        const __m256i pairs[4] = { _mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b),
                                   _mm256_unpacklo_epi64(c, d), _mm256_unpackhi_epi64(c, d) };
        __m128i registers[REGISTERS];
        for (size_t i = 0; i < 4; i++) { /* registers i and i + 4 */
            registers[i] = _mm256_castsi256_si128(pairs[i]);
            registers[i + 4] = _mm256_extracti128_si256(pairs[i], 1);
        }
        store_quarter(bits, registers, unit + 16 * quarter);
    }
}

/* Values: the 16 lanes of an element lie side by side. */
INLINE void pack_elements(int32_t bits, const uint8_t *codes, size_t element_stride,
                          uint8_t *unit) {
    __m128i registers[4][REGISTERS]; /* of each quarter */
    for (size_t i = 0; i < REGISTERS; i++) {
        __m128i elements[4];
        for (size_t j = 0; j < 4; j++) {
            elements[j] = _mm_loadu_si128((const void *)(codes + (4 * i + j) * element_stride));
        }
        const __m128i low01 = _mm_unpacklo_epi8(elements[0], elements[1]);
        const __m128i low23 = _mm_unpacklo_epi8(elements[2], elements[3]);
        const __m128i high01 = _mm_unpackhi_epi8(elements[0], elements[1]);
        const __m128i high23 = _mm_unpackhi_epi8(elements[2], elements[3]);
        registers[0][i] = _mm_unpacklo_epi16(low01, low23);
        registers[1][i] = _mm_unpackhi_epi16(low01, low23);
        registers[2][i] = _mm_unpacklo_epi16(high01, high23);
        registers[3][i] = _mm_unpackhi_epi16(high01, high23);
    }
    for (size_t quarter = 0; quarter < 4; quarter++) {
        store_quarter(bits, registers[quarter], unit + 16 * quarter);
    }
}

INLINE void pack_unit(int32_t bits, const uint8_t *codes, size_t lane_stride, size_t element_stride,
                      uint8_t *unit) {
    assert(lane_stride == 1 || element_stride == 1);
    if (element_stride == 1) {
        pack_lanes(bits, codes, lane_stride, unit);
    } else {
        pack_elements(bits, codes, element_stride, unit);
    }
}

#define DEFINE_PACK_UNIT_AVX2(bits)                                                                \
    void quash_pack_unit_##bits##_avx2(const uint8_t *codes, size_t lane_stride,                   \
                                       size_t element_stride, uint8_t *unit) {                     \
        pack_unit(bits, codes, lane_stride, element_stride, unit);                                 \
    }

DEFINE_PACK_UNIT_AVX2(2)
DEFINE_PACK_UNIT_AVX2(3)
DEFINE_PACK_UNIT_AVX2(4)
