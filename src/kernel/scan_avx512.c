/* SPDX-License-Identifier: Apache-2.0 */
/* scan_avx512.c: integer dot products of packed codes and query digits, AVX-512 with VBMI and VNNI.
 * vpermb turns codes to integers; it takes six bits of index, so that what lies beside a code in
 * its byte needs no masking: the tables repeat. vpdpbusd sums four products in 32 bits. */
#include <immintrin.h>

#define VECTOR __m512i
#define GROUP_ROWS 4
#define ARRANGED_BYTES 16384 /* 8 queries of 2,048 dimensions */
#include "kernel/scan_x86.h"

static INLINE __m512i bytes_0_to_63(void) {
    static const uint8_t bytes[64] = { 0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                       13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                                       26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
                                       39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
                                       52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63 };
    return _mm512_loadu_si512(bytes);
}

/* Shifts by a number that is a constant only once inlined. */
static INLINE __m512i shift_right(__m512i x, int bits) {
    return _mm512_srl_epi16(x, _mm_cvtsi32_si128(bits));
}

static INLINE __m512i broadcast_16_bytes(const void *p) {
    return _mm512_broadcast_i32x4(load_16_bytes(p));
}

static INLINE void store_vector(void *p, __m512i x) {
    _mm512_storeu_si512(p, x);
}

/* ---- Tables ------------------------------------------------------------------------------ */

/* of_code[k]: integer + 64 of the k-th code in half a byte. An index of 3 bits has the low bits of
 * two codes in bits 0-3 and their high bits in bits 4-5. */
struct tables {
    __m512i of_code[4];
};

static INLINE struct tables make_tables(int bits, const int8_t *integers) {
    int8_t padded[16] = { 0 };
    memcpy(padded, integers, (size_t)1 << bits);
    const __m512i values = _mm512_add_epi8(broadcast_16_bytes(padded), _mm512_set1_epi8(OFFSET));
    const __m512i index = bytes_0_to_63();
    const int low_bits = bits == 3 ? 2 : bits;
    const __m512i low_mask = _mm512_set1_epi8((char)((1 << low_bits) - 1));
    struct tables tables;
    UNROLL
    for (int k = 0; k < 4; k++) {
        __m512i code = _mm512_and_si512(shift_right(index, k * low_bits), low_mask);
        if (bits == 3) {
            const __m512i high = _mm512_and_si512(shift_right(index, 2 + k), _mm512_set1_epi8(4));
            code = _mm512_or_si512(code, high);
        }
        tables.of_code[k] = _mm512_shuffle_epi8(values, code);
    }
    return tables;
}

/* ---- Queries ----------------------------------------------------------------------------- */

static INLINE size_t step_bytes(int bits) {
    return step_codes(bits);
}

/* One step of one query, of which there are n digits; returns their sum times 64, in parts. */
static INLINE __m512i arrange_step(int bits, size_t width, const int8_t *digits, size_t n,
                                   int8_t *arranged) {
    const size_t per_byte = codes_per_byte(bits);
    const __mmask64 lower = n >= 64 ? ~0ull : (1ull << n) - 1;
    const __mmask64 upper = n >= 128 ? ~0ull : n > 64 ? (1ull << (n - 64)) - 1 : 0;
    const __m512i a = _mm512_maskz_loadu_epi8(lower, digits);
    const __m512i b = per_byte == 8 ? _mm512_maskz_loadu_epi8(upper, digits + 64) : a;

    /* Place 16*k + i takes the digit of code k of byte i, at per_byte*i + k. */
    const __m512i place = bytes_0_to_63();
    const __m512i low = _mm512_set1_epi8(15);
    const __m512i i = _mm512_and_si512(place, low);
    const __m512i k = _mm512_and_si512(_mm512_srli_epi16(place, 4), low);
    const __m128i log_per_byte = _mm_cvtsi32_si128(per_byte == 8 ? 3 : per_byte == 4 ? 2 : 1);
    const __m512i from = _mm512_add_epi8(_mm512_sll_epi16(i, log_per_byte), k);
    int8_t step[128];
    store_vector(step, _mm512_permutex2var_epi8(a, from, b));
    store_vector(step + 64,
                 _mm512_permutex2var_epi8(a, _mm512_add_epi8(from, _mm512_set1_epi8(4)), b));
    UNROLL
    for (size_t code = 0; code < 8; code++) {
        if (code < per_byte) {
            memcpy(arranged + code * width * 16, step + code * 16, 16);
        }
    }
    const __m512i offset = _mm512_set1_epi8(OFFSET);
    const __m512i sum = _mm512_dpbusd_epi32(_mm512_setzero_si512(), offset, a);
    return per_byte == 8 ? _mm512_dpbusd_epi32(sum, offset, b) : sum;
}

static INLINE void arrange(int bits, size_t width, const struct scan *scan, size_t start, size_t n,
                           struct arranged *arranged) {
    for (size_t j = 0; j < scan->queries; j++) {
        const int8_t *const digits = scan->digits + j * scan->n + start;
        __m512i sum = _mm512_setzero_si512();
        for (size_t at = 0; at < n; at += step_codes(bits)) {
            const size_t left = n - at < step_codes(bits) ? n - at : step_codes(bits);
            int8_t *const to = arranged->digits + at * width + 16 * j;
            sum = _mm512_add_epi32(sum, arrange_step(bits, width, digits + at, left, to));
        }
        arranged->starts[j][0] = -_mm512_reduce_add_epi32(sum);
    }
}

/* ---- Rows -------------------------------------------------------------------------------- */

/* A piece of `bytes` bytes, 16 or 8, of 4 rows; 8 bytes are twice in each lane. part as in
 * add_step, of the bytes of this piece. */
static INLINE __m512i load_group(const uint8_t *const *rows, size_t at, int bytes, uint32_t part) {
    __m128i r[4];
    UNROLL
    for (int l = 0; l < 4; l++) {
        const uint8_t *const p = rows[l] + at;
        r[l] = part > 0      ? _mm_maskz_loadu_epi8((__mmask16)((1u << part) - 1), p)
               : bytes == 16 ? load_16_bytes(p)
                             : load_8_bytes(p);
        r[l] = bytes == 16 ? r[l] : _mm_broadcastq_epi64(r[l]);
    }
    const __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(r[0]), r[1], 1);
    const __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(r[2]), r[3], 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* Indices into the tables of the codes in the lower [0] and upper [1] half of each byte. */
static INLINE void load_indices(int bits, const uint8_t *const *rows, size_t high, size_t step,
                                uint32_t part, __m512i index[2]) {
    const __m512i low_bits = load_group(rows, 16 * step, 16, part);
    index[0] = low_bits;
    index[1] = _mm512_srli_epi16(low_bits, 4);
    if (bits == 3) {
        /* Byte i has bits 4i .. 4i+3 of the high plane: two go to bits 4-5 of each index. */
        const __m512i high_bits = load_group(rows, high + 8 * step, 8, part / 2);
        const __m512i first = _mm512_broadcast_i32x4(
            _mm_setr_epi8(60, 0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 56));
        const __m512i second = _mm512_add_epi8(first, _mm512_set1_epi8(2));
        const __m512i nibble = _mm512_set1_epi8(15);
        enum { NIBBLE_OF_FIRST = 0xE4 }; /* c ? a : b */
        index[0] = _mm512_ternarylogic_epi32(
            index[0], _mm512_multishift_epi64_epi8(first, high_bits), nibble, NIBBLE_OF_FIRST);
        index[1] = _mm512_ternarylogic_epi32(
            index[1], _mm512_multishift_epi64_epi8(second, high_bits), nibble, NIBBLE_OF_FIRST);
    }
}

static INLINE void add_step(int bits, size_t width, const struct tables *tables,
                            const uint8_t *const *rows, size_t high, size_t step, uint32_t part,
                            const int8_t *arranged, struct sums *sums) {
    __m512i index[GROUPS][2];
    UNROLL
    for (size_t g = 0; g < GROUPS; g++) {
        load_indices(bits, rows + 4 * g, high, step, part, index[g]);
    }
    const int8_t *const digits = arranged + step * step_bytes(bits) * width;
    const size_t per_byte = codes_per_byte(bits);
    UNROLL
    for (size_t k = 0; k < 8; k++) {
        if (k < per_byte) {
            const size_t upper = k / (per_byte / 2);
            const __m512i table = tables->of_code[k % (per_byte / 2)];
            const __m512i a = _mm512_permutexvar_epi8(index[0][upper], table);
            const __m512i b = _mm512_permutexvar_epi8(index[1][upper], table);
            UNROLL
            for (size_t j = 0; j < QUERIES; j++) {
                if (j < width) {
                    const __m512i d = broadcast_16_bytes(digits + (k * width + j) * 16);
                    sums->of[0][j] = _mm512_dpbusd_epi32(sums->of[0][j], a, d);
                    sums->of[1][j] = _mm512_dpbusd_epi32(sums->of[1][j], b, d);
                }
            }
        }
    }
}

static INLINE __m512i sum_parts(__m512i a, __m512i b, __m512i c, __m512i d) {
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

DEFINE_SCAN(1, avx512)
DEFINE_SCAN(2, avx512)
DEFINE_SCAN(3, avx512)
DEFINE_SCAN(4, avx512)
