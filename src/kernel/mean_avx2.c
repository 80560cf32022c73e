/* SPDX-License-Identifier: Apache-2.0 */
/* mean_avx2.c: the mean of keys at attention with AVX2. A register holds 8 of the 16 tiles of a
 * batch, or 8 offsets; 4 rows share each load of a basis function. */
#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

#define TILES QUASH_MEAN_TILES
#define OFFSETS QUASH_MEAN_OFFSETS

/* ---- Coefficients ------------------------------------------------------------------------ */

struct turned {
    __m256 a;
    __m256 b;
};

static INLINE struct turned turn(const struct quash_mean_pairs *pairs, size_t pair, size_t first,
                                 float a, float b) {
    const __m256 c = _mm256_loadu_ps(pairs->cos + pair * pairs->stride + first);
    const __m256 s = _mm256_loadu_ps(pairs->sin + pair * pairs->stride + first);
    const __m256 x = _mm256_set1_ps(a);
    const __m256 y = _mm256_set1_ps(b);
    return (struct turned){ _mm256_fmadd_ps(x, c, _mm256_mul_ps(y, s)),
                            _mm256_fmsub_ps(y, c, _mm256_mul_ps(x, s)) };
}

/* Polynomials first_term .. first_term + count - 1 at tiles first .. first + 7; count is constant and
 * at most 4, so that the sums stay in registers. */
static INLINE void sum_slow(const struct quash_mean_pairs *pairs, size_t count, size_t first_term,
                            size_t first, const float *a, const float *b, float constant,
                            float *coefficients) {
    __m256 even[4];
    __m256 odd[4];
    UNROLL
    for (size_t k = 0; k < count; k++) {
        even[k] = first_term + k == 0 ? _mm256_set1_ps(constant) : _mm256_setzero_ps();
        odd[k] = _mm256_setzero_ps();
    }
    for (size_t i = 0; i < pairs->slow; i++) {
        const size_t pair = pairs->list[i];
        const float *const e = pairs->even + pair * QUASH_MEAN_POLYNOMIALS + first_term;
        const float *const o = pairs->odd + pair * QUASH_MEAN_POLYNOMIALS + first_term;
        const struct turned turned = turn(pairs, pair, first, a[i], b[i]);
        UNROLL
        for (size_t k = 0; k < count; k++) {
            even[k] = _mm256_fmadd_ps(_mm256_set1_ps(e[k]), turned.a, even[k]);
            odd[k] = _mm256_fmadd_ps(_mm256_set1_ps(o[k]), turned.b, odd[k]);
        }
    }
    UNROLL
    for (size_t k = 0; k < count; k++) {
        float *const target = coefficients + 2 * (first_term + k) * TILES + first;
        _mm256_storeu_ps(target, even[k]);
        _mm256_storeu_ps(target + TILES, odd[k]);
    }
}

void quash_mean_coefficients_avx2(const struct quash_mean_pairs *pairs, const float *a,
                                  const float *b, float constant, float *coefficients) {
    for (size_t first = 0; first < TILES; first += 8) {
        float *fast = coefficients + 2 * pairs->polynomials * TILES + first;
        size_t k = 0;
        for (; k + 4 <= pairs->polynomials; k += 4) {
            sum_slow(pairs, 4, k, first, a, b, constant, coefficients);
        }
        switch (pairs->polynomials - k) {
        case 0: break;
        case 1: sum_slow(pairs, 1, k, first, a, b, constant, coefficients); break;
        case 2: sum_slow(pairs, 2, k, first, a, b, constant, coefficients); break;
        default: sum_slow(pairs, 3, k, first, a, b, constant, coefficients); break;
        }
        for (size_t i = pairs->slow; i < pairs->count; i++) {
            const struct turned turned = turn(pairs, pairs->list[i], first, a[i], b[i]);
            _mm256_storeu_ps(fast, turned.a);
            _mm256_storeu_ps(fast + TILES, turned.b);
            fast += 2 * TILES;
        }
    }
}

/* ---- Term -------------------------------------------------------------------------------- */

static INLINE void add_8(float *scores, __m256 x) {
    _mm256_storeu_ps(scores, _mm256_add_ps(_mm256_loadu_ps(scores), x));
}

/* The offsets first .. first + 7, on both sides of the centre. */
static INLINE void term_of_rows(size_t rows, size_t first, const float *even, const float *odd,
                                size_t terms, const float *coefficients, size_t row_stride,
                                float (*scores)[64]) {
    const __m256i backwards = _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    __m256 e[4];
    __m256 o[4];
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        e[r] = o[r] = _mm256_setzero_ps();
    }
    for (size_t k = 0; k < terms; k++) {
        const __m256 even_k = _mm256_loadu_ps(even + k * OFFSETS + first);
        const __m256 odd_k = _mm256_loadu_ps(odd + k * OFFSETS + first);
        UNROLL
        for (size_t r = 0; r < rows; r++) {
            const float *const factors = coefficients + r * row_stride + 2 * k * TILES;
            e[r] = _mm256_fmadd_ps(even_k, _mm256_set1_ps(factors[0]), e[r]);
            o[r] = _mm256_fmadd_ps(odd_k, _mm256_set1_ps(factors[TILES]), o[r]);
        }
    }
    UNROLL
    for (size_t r = 0; r < rows; r++) {
        add_8(scores[r] + 32 + first, _mm256_add_ps(e[r], o[r]));
        add_8(scores[r] + 24 - first,
              _mm256_permutevar8x32_ps(_mm256_sub_ps(e[r], o[r]), backwards));
    }
}

void quash_mean_term_avx2(const float *even, const float *odd, size_t terms,
                          const float *coefficients, size_t row_stride, size_t rows,
                          float (*scores)[64]) {
    for (; rows >= 4; rows -= 4) {
        for (size_t first = 0; first < OFFSETS; first += 8) {
            term_of_rows(4, first, even, odd, terms, coefficients, row_stride, scores);
        }
        coefficients += 4 * row_stride;
        scores += 4;
    }
    for (; rows > 0; rows--) {
        for (size_t first = 0; first < OFFSETS; first += 8) {
            term_of_rows(1, first, even, odd, terms, coefficients, row_stride, scores);
        }
        coefficients += row_stride;
        scores += 1;
    }
}
