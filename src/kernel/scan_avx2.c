/* SPDX-License-Identifier: Apache-2.0 */
/* scan_avx2.c: integer dot products of packed codes and query digits, AVX2.
 * vpshufb turns codes to integers, vpmaddubsw multiplies and adds pairs of products in 16 bits. The
 * pairs of a unit of 2 codes (4 bits) or 4 codes of each byte are added up before they are widened;
 * with the offset of the tables this wraps around, but the sum without it fits, by the bounds on
 * integers in kernel.h: 2 pairs * 2 * 127 * 63 or 4 * 2 * 127 * 32 < 2^15. So what the offset adds
 * is subtracted from each unit in 16 bits. */
#include <immintrin.h>

#define VECTOR __m256i
#define GROUP_ROWS 2
#define ARRANGED_BYTES 24576 /* 8 queries of 2,048 dimensions, or 2,432 at less than 4 bits */
#include "kernel/scan_x86.h"

/* Codes of each byte that are summed in 16 bits. */
static INLINE size_t unit_codes(int bits) {
    return bits == 4 ? 2 : 4;
}

/* The digits of each unit and what the offset of the tables adds to it. */
static INLINE size_t step_bytes(int bits) {
    return 16 * (codes_per_byte(bits) + codes_per_byte(bits) / unit_codes(bits));
}

static INLINE __m256i broadcast_16_bytes(const void *p) {
    return _mm256_broadcastsi128_si256(load_16_bytes(p));
}

static INLINE void store_vector(void *p, __m256i x) {
    store_32_bytes(p, x);
}

/* ---- Tables ------------------------------------------------------------------------------ */

/* of_code[k]: integer + 64 of the k-th code in half a byte. At 3 bits a code has half a byte. */
struct tables {
    __m256i of_code[4];
};

static INLINE struct tables make_tables(int bits, const int8_t *integers) {
    int8_t padded[16] = { 0 };
    memcpy(padded, integers, (size_t)1 << bits);
    for (int i = 0; i < 1 << bits; i++) {
        assert(integers[i] <= (bits == 4 ? 63 : 32) && integers[i] >= (bits == 4 ? -63 : -32));
    }
    const __m128i values = _mm_add_epi8(load_16_bytes(padded), _mm_set1_epi8(OFFSET));
    const __m128i index = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m128i mask = _mm_set1_epi8((char)((1 << bits) - 1));
    struct tables tables;
    UNROLL
    for (int k = 0; k < 4; k++) {
        const __m128i code = _mm_and_si128(_mm_srl_epi16(index, _mm_cvtsi32_si128(k * bits)), mask);
        tables.of_code[k] = _mm256_broadcastsi128_si256(_mm_shuffle_epi8(values, code));
    }
    return tables;
}

/* ---- Queries ----------------------------------------------------------------------------- */

static INLINE void unzip(__m128i a, __m128i b, __m128i *even, __m128i *odd) {
    const __m128i order = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m128i x = _mm_shuffle_epi8(a, order);
    const __m128i y = _mm_shuffle_epi8(b, order);
    *even = _mm_unpacklo_epi64(x, y);
    *odd = _mm_unpackhi_epi64(x, y);
}

/* Digits of one step of one query to d[code of a byte]: each round parts even from odd places. */
static INLINE void part_codes(int bits, const int8_t *digits, __m128i d[8]) {
    const size_t half = codes_per_byte(bits) / 2;
    __m128i parted[8];
    UNROLL
    for (size_t k = 0; k < 8; k++) {
        d[k] = k < 2 * half ? load_16_bytes(digits + 16 * k) : _mm_setzero_si128();
        parted[k] = d[k];
    }
    UNROLL
    for (size_t round = 1; round < 8; round *= 2) {
        if (round <= half) {
            UNROLL
            for (size_t k = 0; k < 4; k++) {
                if (k < half) {
                    unzip(d[2 * k], d[2 * k + 1], &parted[k], &parted[half + k]);
                }
            }
            UNROLL
            for (size_t k = 0; k < 8; k++) {
                d[k] = parted[k];
            }
        }
    }
}

static INLINE void arrange_step(int bits, size_t width, const int8_t *digits, int8_t *arranged) {
    __m128i d[8];
    part_codes(bits, digits, d);
    const __m128i offset = _mm_set1_epi8(OFFSET);
    const size_t unit = unit_codes(bits);
    __m128i sum = _mm_setzero_si128();
    UNROLL
    for (size_t k = 0; k < 8; k++) {
        if (k < codes_per_byte(bits)) {
            store_16_bytes(arranged, d[k]);
            arranged += 16 * width;
            const __m128i pairs = _mm_maddubs_epi16(offset, d[k]);
            sum = k % unit == 0 ? pairs : _mm_add_epi16(sum, pairs);
            if (k % unit == unit - 1) {
                store_16_bytes(arranged, sum);
                arranged += 16 * width;
            }
        }
    }
}

static INLINE void arrange(int bits, size_t width, const struct scan *scan, size_t start, size_t n,
                           struct arranged *arranged) {
    for (size_t j = 0; j < scan->queries; j++) {
        const int8_t *digits = scan->digits + j * scan->n + start;
        int8_t *to = arranged->digits + 16 * j;
        size_t left = n;
        for (; left >= step_codes(bits); left -= step_codes(bits)) {
            arrange_step(bits, width, digits, to);
            digits += step_codes(bits);
            to += step_bytes(bits) * width;
        }
        if (left > 0) {
            int8_t padded[128] = { 0 };
            memcpy(padded, digits, left);
            arrange_step(bits, width, padded, to);
        }
    }
}

/* ---- Rows -------------------------------------------------------------------------------- */

/* A piece of `bytes` bytes, 16 or 8, of 2 rows. part as in add_step, of the bytes of this piece. */
static INLINE __m256i load_group(const uint8_t *const *rows, size_t at, int bytes, uint32_t part) {
    const __m128i ends = _mm_setr_epi32(0, 4, 8, 12);
    const __m128i mask = _mm_cmpgt_epi32(_mm_set1_epi32((int)part), ends);
    __m128i r[2];
    UNROLL
    for (int l = 0; l < 2; l++) {
        const void *const p = rows[l] + at;
        r[l] = part > 0      ? _mm_maskload_epi32(p, mask)
               : bytes == 16 ? load_16_bytes(p)
                             : load_8_bytes(p);
    }
    return _mm256_inserti128_si256(_mm256_castsi128_si256(r[0]), r[1], 1);
}

/* Indices into the tables. 3 bits: index[k] for code k of each byte; otherwise of the codes in the
 * lower [0] and upper [1] half of each byte. vpshufb ignores bits 4-6 and wants bit 7 clear. */
static INLINE void load_indices(int bits, const uint8_t *const *rows, size_t high, size_t step,
                                uint32_t part, __m256i index[4]) {
    const __m256i low_bits = load_group(rows, 16 * step, 16, part);
    const __m256i nibble = _mm256_set1_epi8(15);
    if (bits != 3) {
        index[0] = _mm256_and_si256(low_bits, nibble);
        index[1] = _mm256_and_si256(_mm256_srli_epi16(low_bits, 4), nibble);
        return;
    }
    const __m256i h = load_group(rows, high + 8 * step, 8, part / 2);
    const __m256i high_bits =
        _mm256_and_si256(_mm256_unpacklo_epi8(h, _mm256_srli_epi16(h, 4)), nibble);
    /* Bits 0 and 2, or 1 and 3, of the four high bits of a byte, to bits 2 and 6 */
    const __m256i spread_0_2 = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 0, 4, 64, 68, 64, 68, 0, 4, 0, 4, 64, 68, 64, 68));
    const __m256i spread_1_3 = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 0, 4, 4, 0, 0, 4, 4, 64, 64, 68, 68, 64, 64, 68, 68));
    const __m256i two_of_four = _mm256_set1_epi8(0x33);
    index[0] = _mm256_or_si256(_mm256_and_si256(low_bits, two_of_four),
                               _mm256_shuffle_epi8(spread_0_2, high_bits));
    index[1] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(low_bits, 2), two_of_four),
                               _mm256_shuffle_epi8(spread_1_3, high_bits));
    index[2] = _mm256_srli_epi16(index[0], 4);
    index[3] = _mm256_srli_epi16(index[1], 4);
}

/* Integers + 64 of code k of each byte. */
static INLINE __m256i look_up(int bits, const struct tables *tables, const __m256i index[4],
                              size_t k) {
    const size_t in_half = codes_per_byte(bits) / 2;
    return bits == 3 ? _mm256_shuffle_epi8(tables->of_code[0], index[k])
                     : _mm256_shuffle_epi8(tables->of_code[k % in_half], index[k / in_half]);
}

/* Products of a unit, plus what the offset adds: values and d are of its codes. */
static INLINE __m256i dot_unit(size_t unit, const __m256i values[4], const __m256i d[4],
                               __m256i offset) {
    __m256i sum = _mm256_sub_epi16(_mm256_maddubs_epi16(values[0], d[0]), offset);
    UNROLL
    for (size_t k = 1; k < 4; k++) {
        if (k < unit) {
            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(values[k], d[k]));
        }
    }
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
}

static INLINE void add_step(int bits, size_t width, const struct tables *tables,
                            const uint8_t *const *rows, size_t high, size_t step, uint32_t part,
                            const int8_t *arranged, struct sums *sums) {
    __m256i index[GROUPS][4];
    UNROLL
    for (size_t g = 0; g < GROUPS; g++) {
        load_indices(bits, rows + 2 * g, high, step, part, index[g]);
    }
    const int8_t *digits = arranged + step * step_bytes(bits) * width;
    const size_t unit = unit_codes(bits);
    UNROLL
    for (size_t first = 0; first < 8; first += unit) {
        if (first < codes_per_byte(bits)) {
            __m256i a[4];
            __m256i b[4];
            UNROLL
            for (size_t k = 0; k < 4; k++) {
                if (k < unit) {
                    a[k] = look_up(bits, tables, index[0], first + k);
                    b[k] = look_up(bits, tables, index[1], first + k);
                }
            }
            UNROLL
            for (size_t j = 0; j < QUERIES; j++) {
                if (j < width) {
                    __m256i d[5];
                    UNROLL
                    for (size_t k = 0; k < 5; k++) {
                        if (k <= unit) {
                            d[k] = broadcast_16_bytes(digits + (k * width + j) * 16);
                        }
                    }
                    sums->of[0][j] =
                        _mm256_add_epi32(sums->of[0][j], dot_unit(unit, a, d, d[unit]));
                    sums->of[1][j] =
                        _mm256_add_epi32(sums->of[1][j], dot_unit(unit, b, d, d[unit]));
                }
            }
            digits += (unit + 1) * width * 16;
        }
    }
}

static INLINE __m256i sum_parts(__m256i a, __m256i b, __m256i c, __m256i d) {
    return _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
}

DEFINE_SCAN(1, avx2)
DEFINE_SCAN(2, avx2)
DEFINE_SCAN(3, avx2)
DEFINE_SCAN(4, avx2)
