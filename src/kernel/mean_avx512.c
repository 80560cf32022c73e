/* SPDX-License-Identifier: Apache-2.0 */
/* mean_avx512.c: the mean of keys at attention with AVX-512. A register holds the 16 tiles of a
 * batch, or 16 offsets; up to 4 rows share each load of a basis function. */
#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

#define TILES QUASH_MEAN_TILES
#define OFFSETS QUASH_MEAN_OFFSETS

/* ---- Coefficients ------------------------------------------------------------------------ */

struct turned {
    __m512 a;
    __m512 b;
};

static INLINE struct turned turn(const struct quash_mean_pairs *pairs, size_t pair, float a,
                                 float b) {
    const __m512 c = _mm512_loadu_ps(pairs->cos + pair * pairs->stride);
    const __m512 s = _mm512_loadu_ps(pairs->sin + pair * pairs->stride);
    const __m512 x = _mm512_set1_ps(a);
    const __m512 y = _mm512_set1_ps(b);
    return (struct turned){ _mm512_fmadd_ps(x, c, _mm512_mul_ps(y, s)),
                            _mm512_fmsub_ps(y, c, _mm512_mul_ps(x, s)) };
}

/* Lists of coefficients [16 tiles] become, 16 lists at a time, 16 coefficients per tile. */
struct collector {
    float lists[16][TILES];
    size_t count;
    float *target;
    size_t tile_stride;
};

/* 4 x 4 blocks of 4 x 4 numbers: the blocks by loads, the numbers in a block by shuffles. */
static INLINE void flush(struct collector *all) {
    UNROLL
    for (size_t block = 0; block < 4; block++) { /* of 4 tiles */
        __m512 x[4];
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            const float *const list = all->lists[i] + 4 * block;
            x[i] = _mm512_castps128_ps512(_mm_loadu_ps(list));
            x[i] = _mm512_insertf32x4(x[i], _mm_loadu_ps(list + 4 * TILES), 1);
            x[i] = _mm512_insertf32x4(x[i], _mm_loadu_ps(list + 8 * TILES), 2);
            x[i] = _mm512_insertf32x4(x[i], _mm_loadu_ps(list + 12 * TILES), 3);
        }
        const __m512 low_a = _mm512_unpacklo_ps(x[0], x[1]);
        const __m512 low_b = _mm512_unpacklo_ps(x[2], x[3]);
        const __m512 high_a = _mm512_unpackhi_ps(x[0], x[1]);
        const __m512 high_b = _mm512_unpackhi_ps(x[2], x[3]);
        float *const target = all->target + 4 * block * all->tile_stride;
        _mm512_storeu_ps(target, _mm512_shuffle_ps(low_a, low_b, 0x44));
        _mm512_storeu_ps(target + all->tile_stride, _mm512_shuffle_ps(low_a, low_b, 0xEE));
        _mm512_storeu_ps(target + 2 * all->tile_stride, _mm512_shuffle_ps(high_a, high_b, 0x44));
        _mm512_storeu_ps(target + 3 * all->tile_stride, _mm512_shuffle_ps(high_a, high_b, 0xEE));
    }
    all->target += 16;
    all->count = 0;
}

static INLINE void collect(struct collector *all, __m512 even, __m512 odd) {
    _mm512_storeu_ps(all->lists[all->count], even);
    _mm512_storeu_ps(all->lists[all->count + 1], odd);
    all->count += 2;
    if (all->count == 16) {
        flush(all);
    }
}

/* A constant number of polynomials stays in registers. */
static INLINE void sum_slow(const struct quash_mean_pairs *pairs, size_t polynomials,
                            const float *a, const float *b, float constant, struct collector *all) {
    __m512 even[QUASH_MEAN_POLYNOMIALS];
    __m512 odd[QUASH_MEAN_POLYNOMIALS];
    UNROLL
    for (size_t k = 0; k < polynomials; k++) {
        even[k] = k == 0 ? _mm512_set1_ps(constant) : _mm512_setzero_ps();
        odd[k] = _mm512_setzero_ps();
    }
    for (size_t i = 0; i < pairs->slow; i++) {
        const size_t pair = pairs->list[i];
        const float *const e = pairs->even + pair * QUASH_MEAN_POLYNOMIALS;
        const float *const o = pairs->odd + pair * QUASH_MEAN_POLYNOMIALS;
        const struct turned turned = turn(pairs, pair, a[i], b[i]);
        UNROLL
        for (size_t k = 0; k < polynomials; k++) {
            even[k] = _mm512_fmadd_ps(_mm512_set1_ps(e[k]), turned.a, even[k]);
            odd[k] = _mm512_fmadd_ps(_mm512_set1_ps(o[k]), turned.b, odd[k]);
        }
    }
    UNROLL
    for (size_t k = 0; k < polynomials; k++) {
        collect(all, even[k], odd[k]);
    }
}

void quash_mean_coefficients_avx512(const struct quash_mean_pairs *pairs, const float *a,
                                    const float *b, float constant, float *coefficients,
                                    size_t tile_stride) {
    struct collector all;
    all.count = 0;
    all.target = coefficients;
    all.tile_stride = tile_stride;
    switch (pairs->polynomials) {
    case 0: break;
    case 1: sum_slow(pairs, 1, a, b, constant, &all); break;
    case 2: sum_slow(pairs, 2, a, b, constant, &all); break;
    case 3: sum_slow(pairs, 3, a, b, constant, &all); break;
    case 4: sum_slow(pairs, 4, a, b, constant, &all); break;
    case 5: sum_slow(pairs, 5, a, b, constant, &all); break;
    case 6: sum_slow(pairs, 6, a, b, constant, &all); break;
    case 7: sum_slow(pairs, 7, a, b, constant, &all); break;
    default: sum_slow(pairs, 8, a, b, constant, &all); break;
    }
    for (size_t i = pairs->slow; i < pairs->count; i++) {
        const struct turned turned = turn(pairs, pairs->list[i], a[i], b[i]);
        collect(&all, turned.a, turned.b);
    }
    while (all.count > 0) {
        collect(&all, _mm512_setzero_ps(), _mm512_setzero_ps());
    }
}

/* ---- Term -------------------------------------------------------------------------------- */

static INLINE void add_16(float *scores, __m512 x) {
    _mm512_storeu_ps(scores, _mm512_add_ps(_mm512_loadu_ps(scores), x));
}

static INLINE void term_of_rows(size_t rows, const float *even, const float *odd, size_t terms,
                                const float *coefficients, size_t row_stride, float (*scores)[64]) {
    const __m512i backwards =
        _mm512_setr_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m512 e[4][2];
    __m512 o[4][2];
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        e[r][0] = e[r][1] = o[r][0] = o[r][1] = _mm512_setzero_ps();
    }
    for (size_t k = 0; k < terms; k++) {
        const __m512 even_a = _mm512_loadu_ps(even + k * OFFSETS);
        const __m512 even_b = _mm512_loadu_ps(even + k * OFFSETS + 16);
        const __m512 odd_a = _mm512_loadu_ps(odd + k * OFFSETS);
        const __m512 odd_b = _mm512_loadu_ps(odd + k * OFFSETS + 16);
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            const float *const factors = coefficients + r * row_stride + 2 * k;
            const __m512 x = _mm512_set1_ps(factors[0]);
            const __m512 y = _mm512_set1_ps(factors[1]);
            e[r][0] = _mm512_fmadd_ps(even_a, x, e[r][0]);
            e[r][1] = _mm512_fmadd_ps(even_b, x, e[r][1]);
            o[r][0] = _mm512_fmadd_ps(odd_a, y, o[r][0]);
            o[r][1] = _mm512_fmadd_ps(odd_b, y, o[r][1]);
        }
    }
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        add_16(scores[r] + 32, _mm512_add_ps(e[r][0], o[r][0]));
        add_16(scores[r] + 48, _mm512_add_ps(e[r][1], o[r][1]));
        add_16(scores[r] + 16, _mm512_permutexvar_ps(backwards, _mm512_sub_ps(e[r][0], o[r][0])));
        add_16(scores[r], _mm512_permutexvar_ps(backwards, _mm512_sub_ps(e[r][1], o[r][1])));
    }
}

void quash_mean_term_avx512(const float *even, const float *odd, size_t terms,
                            const float *coefficients, size_t row_stride, size_t rows,
                            float (*scores)[64]) {
    for (; rows >= 4; rows -= 4) {
        term_of_rows(4, even, odd, terms, coefficients, row_stride, scores);
        coefficients += 4 * row_stride;
        scores += 4;
    }
    if (rows >= 2) {
        term_of_rows(2, even, odd, terms, coefficients, row_stride, scores);
        coefficients += 2 * row_stride;
        scores += 2;
    }
    if (rows % 2 == 1) {
        term_of_rows(1, even, odd, terms, coefficients, row_stride, scores);
    }
}
