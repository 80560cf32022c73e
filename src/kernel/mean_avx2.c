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

/* Lists of coefficients [16 tiles] become, 8 lists at a time, 8 coefficients per tile. */
struct collector {
    float lists[8][TILES];
    size_t count;
    float *target;
    size_t tile_stride;
};

/* Blocks of 4 x 4 numbers: two lists, 4 apart, in a register. */
static INLINE void flush(struct collector *all) {
    UNROLL
    for (size_t block = 0; block < 4; block++) { /* of 4 tiles */
        __m256 x[4];
        UNROLL
        for (size_t i = 0; i < 4; i++) {
            const float *const list = all->lists[i] + 4 * block;
            x[i] = _mm256_castps128_ps256(_mm_loadu_ps(list));
            x[i] = _mm256_insertf128_ps(x[i], _mm_loadu_ps(list + 4 * TILES), 1);
        }
        const __m256 low_a = _mm256_unpacklo_ps(x[0], x[1]);
        const __m256 low_b = _mm256_unpacklo_ps(x[2], x[3]);
        const __m256 high_a = _mm256_unpackhi_ps(x[0], x[1]);
        const __m256 high_b = _mm256_unpackhi_ps(x[2], x[3]);
        float *const target = all->target + 4 * block * all->tile_stride;
        _mm256_storeu_ps(target, _mm256_shuffle_ps(low_a, low_b, 0x44));
        _mm256_storeu_ps(target + all->tile_stride, _mm256_shuffle_ps(low_a, low_b, 0xEE));
        _mm256_storeu_ps(target + 2 * all->tile_stride, _mm256_shuffle_ps(high_a, high_b, 0x44));
        _mm256_storeu_ps(target + 3 * all->tile_stride, _mm256_shuffle_ps(high_a, high_b, 0xEE));
    }
    all->target += 8;
    all->count = 0;
}

/* Both halves of two lists. */
static INLINE void collect(struct collector *all, const __m256 *even, const __m256 *odd) {
    UNROLL
    for (size_t half = 0; half < 2; half++) {
        _mm256_storeu_ps(all->lists[all->count] + 8 * half, even[half]);
        _mm256_storeu_ps(all->lists[all->count + 1] + 8 * half, odd[half]);
    }
    all->count += 2;
    if (all->count == 8) {
        flush(all);
    }
}

/* Polynomials first .. first + count - 1; count is constant and at most 2, so that the sums stay in
 * registers. */
static INLINE void sum_slow(const struct quash_mean_pairs *pairs, size_t count, size_t first,
                            const float *a, const float *b, float constant, struct collector *all) {
    __m256 even[2][2];
    __m256 odd[2][2];
    UNROLL
    for (size_t k = 0; k < count; k++) {
        even[k][0] = even[k][1] = first + k == 0 ? _mm256_set1_ps(constant) : _mm256_setzero_ps();
        odd[k][0] = odd[k][1] = _mm256_setzero_ps();
    }
    for (size_t i = 0; i < pairs->slow; i++) {
        const size_t pair = pairs->list[i];
        const float *const e = pairs->even + pair * QUASH_MEAN_POLYNOMIALS + first;
        const float *const o = pairs->odd + pair * QUASH_MEAN_POLYNOMIALS + first;
        UNROLL
        for (size_t half = 0; half < 2; half++) {
            const struct turned turned = turn(pairs, pair, 8 * half, a[i], b[i]);
            UNROLL
            for (size_t k = 0; k < count; k++) {
                even[k][half] = _mm256_fmadd_ps(_mm256_set1_ps(e[k]), turned.a, even[k][half]);
                odd[k][half] = _mm256_fmadd_ps(_mm256_set1_ps(o[k]), turned.b, odd[k][half]);
            }
        }
    }
    UNROLL
    for (size_t k = 0; k < count; k++) {
        collect(all, even[k], odd[k]);
    }
}

void quash_mean_coefficients_avx2(const struct quash_mean_pairs *pairs, const float *a,
                                  const float *b, float constant, float *coefficients,
                                  size_t tile_stride) {
    struct collector all;
    all.count = 0;
    all.target = coefficients;
    all.tile_stride = tile_stride;
    size_t k = 0;
    for (; k + 2 <= pairs->polynomials; k += 2) {
        sum_slow(pairs, 2, k, a, b, constant, &all);
    }
    if (k < pairs->polynomials) {
        sum_slow(pairs, 1, k, a, b, constant, &all);
    }
    for (size_t i = pairs->slow; i < pairs->count; i++) {
        const struct turned first = turn(pairs, pairs->list[i], 0, a[i], b[i]);
        const struct turned second = turn(pairs, pairs->list[i], 8, a[i], b[i]);
        const __m256 even[2] = { first.a, second.a };
        const __m256 odd[2] = { first.b, second.b };
        collect(&all, even, odd);
    }
    const __m256 zeros[2] = { _mm256_setzero_ps(), _mm256_setzero_ps() };
    while (all.count > 0 || (all.target - coefficients) % 16 != 0) {
        collect(&all, zeros, zeros);
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
            const float *const factors = coefficients + r * row_stride + 2 * k;
            e[r] = _mm256_fmadd_ps(even_k, _mm256_set1_ps(factors[0]), e[r]);
            o[r] = _mm256_fmadd_ps(odd_k, _mm256_set1_ps(factors[1]), o[r]);
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
