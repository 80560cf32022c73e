/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.h: the fine seam. A kernel is a small loop over plain arrays that knows no codec; each has
 * a C reference (<name>_c.c), and may have one variant per instruction set beside it. The table of
 * a level starts as the C table and is overlaid entry by entry (kernel.c).
 *
 * Exact zone (all entries but the two of float tiles, the two of means, and softmax and values of
 * digits): every variant must give the bits of the C reference. The rules are in doc/format.md:
 * reductions run over 16 virtual lanes (element i goes to lane i mod 16) and end in a halving tree;
 * no fused multiply-add; correctly rounded operations.
 *
 * Unless stated otherwise pointers need no more alignment than their type, arrays do not overlap,
 * and sizes may be 0. */
#ifndef QUASH_KERNEL_KERNEL_H
#define QUASH_KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/exact.h"
#include "kernel/mean.h"

/* One trial of a step size: the codes' integers against the vector they stand for. */
struct quash_fit {
    float dot;       /* sum of u[i] * integer[i] */
    int32_t squares; /* sum of integer[i]^2 */
};

/* Levels as a kernel sees them: 2^bits integers ascending and symmetric, integers[half - 1 - m] =
 * -integers[half + m], and the half - 1 ascending positive thresholds of one step size. The code of
 * u is half + m for u >= 0 (and -0), half - 1 - m for u < 0, where m counts the thresholds <= |u|.
 * Both arrays may be read beyond what the bit width uses, as far as 4 bits would. */
struct quash_levels {
    int32_t half;            /* 1, 2, 4 or 8 */
    const int8_t *integers;  /* [16] */
    const float *thresholds; /* [7] */
};

/* Query heads that one unpacking of a tile serves. */
#define QUASH_TILE_ROWS_MAX 16

/* ---- Kernels: one function type each, shared by its variants and their test ---------------- */

/* Largest |x[i]|; 0 for n = 0. No NaN. */
typedef float quash_max_abs_fn(const float *x, size_t n);

/* Sum of x[i]^2. */
typedef float quash_sum_squares_fn(const float *x, size_t n);

/* x[i] *= factor. */
typedef void quash_multiply_fn(float *x, size_t n, float factor);

/* One window step of the rotation: x[i] is negated where bit i of signs (bit i%8 of byte i/8) is
 * set, then the Hadamard butterflies of strides 1, 2, 4, ..., then all times factor. width is a
 * power of two; signs has whole 64-bit words. */
typedef void quash_rotate_fn(float *x, size_t width, const uint8_t *signs, float factor);

/* Its inverse: butterflies, factor, signs. */
typedef void quash_unrotate_fn(float *x, size_t width, const uint8_t *signs, float factor);

/* (x[i], x[i + ceil(n/2)]) becomes (sum, difference) / sqrt(2) for i < floor(n/2). Its own
 * inverse. */
typedef void quash_half_butterfly_fn(float *x, size_t n);

/* Codes of u[i] = x[i] * gain, one per byte, and their fit. */
typedef struct quash_fit quash_quantize_fn(const struct quash_levels *levels, const float *x,
                                           size_t n, float gain, uint8_t *codes);

/* x[i] = gain * integers[codes[i]]; codes below 16, integers has 16 bytes. */
typedef void quash_dequantize_fn(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                                 float *x);

/* n codes to packed bits and back: element i at bit i*bits, little-endian; 3 bits as a plane of the
 * low two bits, ceil(n/4) bytes, and a plane of the high bit, ceil(n/8) bytes. Unused bits of the
 * last byte are 0. */
typedef void quash_pack_fn(const uint8_t *codes, size_t n, uint8_t *packed);
typedef void quash_unpack_fn(const uint8_t *packed, size_t n, uint8_t *codes);

/* A unit of a cache tile (kernel/unit.h) from codes, one per byte, each below 2^bits: that of
 * (lane, element) is codes[lane * lane_stride + element * element_stride], one of the strides is 1.
 */
typedef void quash_pack_unit_fn(const uint8_t *codes, size_t lane_stride, size_t element_stride,
                                uint8_t *unit);

/* n elements of a dtype (misaligned allowed) to float; exact, and a NaN becomes some NaN. */
typedef void quash_load_fn(const void *source, size_t n, float *x);

/* Float to a dtype (misaligned allowed), round to nearest even; values beyond the range, infinities
 * included, become the largest finite number. No NaN. */
typedef void quash_store_fn(const float *x, size_t n, void *target);

/* Position of the first NaN or infinity among n elements of a dtype (misaligned allowed); n when
 * all are finite. */
typedef size_t quash_find_nonfinite_fn(const void *source, size_t n);

/* Index scan: sums[r * queries + j] = sum of integers[code i of row r] * digits[j * n + i], for rows
 * of packed codes `stride` bytes apart. n is a multiple of 32, |digit| <= 127; |integer| <= 63 at 4
 * bits and <= 32 below, so that the sum of a few products fits 16 bits; |sum| stays below 2^31 up to
 * QUASH_DIM_MAX. */
typedef void quash_scan_fn(const int8_t *integers, const uint8_t *packed, size_t rows,
                           size_t stride, size_t n, const int8_t *digits, size_t queries,
                           int32_t *sums);

/* Attention, approximate zone; layouts in kernel/unit.h.
 * Scores of the 64 tokens of a tile of keys: scores[r][t] = sum over i of q[r * dim_stride + i] *
 * integers[code of dim i of token t], for r < rows <= QUASH_TILE_ROWS_MAX. key_dims is the head_dim
 * rounded up to 32; q is zero beyond head_dim. */
typedef void quash_tile_scores_fn(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                                  const float *q, size_t dim_stride, size_t rows,
                                  float (*scores)[64]);

/* out[r * dim_stride + i] += sum over t of weights[r][t] * integers[code of dim i of token t].
 * value_dims is the head_dim rounded up to 16. */
typedef void quash_tile_accumulate_fn(const int8_t *integers, const uint8_t *values,
                                      size_t value_dims, const float (*weights)[64], size_t rows,
                                      float *out, size_t dim_stride);

/* ---- Attention on digits: queries and weights as small integers ------------------------------
 *
 * Queries become digits once, then three kernels handle each tile for up to QUASH_DIGIT_ROWS rows of
 * queries at once: scores, softmax, values. All work in one of two modes; the rule that turns
 * numbers into digits belongs to mode and CPU level (doc/numerics.md, "Attention"). Products of
 * digits and codes are exact sums of 32 bits. */
#define QUASH_DIGIT_ROWS 4

enum quash_digit_mode { QUASH_DIGITS_FAST, QUASH_DIGITS_EXACT };

/* How the digits of a query are made and laid out. Element i of row r of a block of rows has the
 * index ((i/4) * QUASH_DIGIT_ROWS + r) * 4 + i%4. */
struct quash_digit_rule {
    float top;       /* largest |digit| */
    float group_top; /* largest sum of |digit| over a group: the 16 elements of a unit whose i%4 is
                        0 or 1, or is 2 or 3; 0: no limit */
    int32_t planes; /* int8 digits per number: 1 (FAST); 2, a plane of h and one of l for the number
                        256h + l (EXACT); 0: one int16 (EXACT) */
};

/* Rows of queries as digits; those beyond the last row are 0. */
struct quash_query_digits {
    const void *digits;       /* [key_dims/4][QUASH_DIGIT_ROWS][4], once for each plane */
    const int32_t *bias;      /* [QUASH_DIGIT_ROWS]: -64 * sum of the row's digits */
    const int16_t *unit_bias; /* [key_dims/32][QUASH_DIGIT_ROWS][2]: -64 * sum of a group's digits,
                                 modulo 2^16; only where groups have a limit */
};

/* Writes row `row` of a block, zero so far: digits, bias and unit biases (NULL: none) of the key_dims
 * numbers q, a multiple of 32. Returns the size of a digit: q is about digit times this; > 0, and
 * infinite, without digits, if q is not finite. */
typedef float quash_query_digits_fn(const struct quash_digit_rule *rule, const float *q,
                                    size_t key_dims, size_t row, void *digits, int32_t *bias,
                                    int16_t *unit_bias);

/* scores[r][t] = (float)(sum of digit * integers[code]) * key_scales[t], correctly rounded, for the
 * 64 tokens of a tile and rows 1..QUASH_DIGIT_ROWS; scores has QUASH_DIGIT_ROWS rows, of which those
 * beyond `rows` may be overwritten. key_scales: 64 binary16. As many bytes as the keys have are
 * prefetched from `ahead` on. */
typedef void quash_digit_scores_fn(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                                   const struct quash_query_digits *query, size_t rows,
                                   const uint8_t *key_scales, const uint8_t *ahead,
                                   float (*scores)[64]);

/* Running softmax of one row of queries, in powers of two: with x = score * unit, the sum of the
 * lanes is that of 2^(x - reference), and out is relative to the reference likewise. */
struct quash_softmax_row {
    float unit;      /* > 0 */
    float reference; /* at least the largest x, minus 40; at first -FLT_MAX */
    float lanes[16];
};

/* The digits that stand for 2^x * value scale of the tokens of a tile, and their weights. */
struct quash_weight_digits {
    /* FAST: uint8; EXACT: int16, or planes of uint8: [plane][QUASH_DIGIT_ROWS][64] */
    _Alignas(64) uint8_t digits[2 * QUASH_DIGIT_ROWS * 64];
    float weight[QUASH_DIGIT_ROWS]; /* of a digit 1 in row r, relative to the reference */
};

/* Takes the scores of a tile into the rows' softmax and makes digits and weights of row first ..
 * first + rows - 1 of a block. Where a reference rises, out[r * dim_stride + i], i < dims, follows.
 * A token with score -QUASH_MASKED / unit has weight 0. */
typedef void quash_digit_softmax_fn(const float (*scores)[64], const uint8_t *value_scales,
                                    size_t first, size_t rows, struct quash_softmax_row *softmax,
                                    struct quash_weight_digits *weights, float *out, size_t dims,
                                    size_t dim_stride);

/* out[r * dim_stride + i] += weight[r] * (sum over t of digit * integers[code of dim i of token t])
 * for rows 1..QUASH_DIGIT_ROWS; out has QUASH_DIGIT_ROWS rows, of which those beyond `rows` have
 * digits and weights of 0. As many bytes as values and scales have are prefetched from `ahead` on. */
typedef void quash_digit_values_fn(const int8_t *integers, const uint8_t *values, size_t value_dims,
                                   const struct quash_weight_digits *weights, size_t rows,
                                   const uint8_t *ahead, float *out, size_t dim_stride);

/* Those of one mode, which belong together: they agree on rule and layout. */
struct quash_digit_kernels {
    struct quash_digit_rule rule;
    quash_digit_scores_fn *scores[3]; /* [bits - 2] */
    quash_digit_softmax_fn *softmax;
    quash_digit_values_fn *values[3]; /* [bits - 2] */
};

/* ---- The mean of keys at attention, approximate zone (kernel/mean.h) ------------------------- */

/* Coefficients of one row for a batch of tiles: at coefficients[t * tile_stride + 2k] those of the
 * even function of term k at tile t, at 2k + 1 of the odd one, and zeros up to a multiple of 16.
 * With pair p = list[i] turned to the centre of a tile,
 *     a' = a[i] * cos + b[i] * sin,   b' = b[i] * cos - a[i] * sin,
 * those of a fast pair are a' and b'; those of polynomial k are the sums of even[p][k] * a' and of
 * odd[p][k] * b' over the slow pairs, the first plus `constant` for k = 0. Without polynomials
 * constant is 0. */
typedef void quash_mean_coefficients_fn(const struct quash_mean_pairs *pairs, const float *a,
                                        const float *b, float constant, float *coefficients,
                                        size_t tile_stride);

/* scores[r][32 + j] += e + o and scores[r][31 - j] += e - o for rows r < rows and j < 32, where e
 * is the sum over k < terms of even[32 * k + j] * coefficient 2k, and o that of odd[32 * k + j] *
 * coefficient 2k + 1. Coefficient c of row r is coefficients[r * row_stride + c]. */
typedef void quash_mean_term_fn(const float *even, const float *odd, size_t terms,
                                const float *coefficients, size_t row_stride, size_t rows,
                                float (*scores)[64]);

struct quash_kernels {
    quash_max_abs_fn *max_abs;
    quash_sum_squares_fn *sum_squares;
    quash_multiply_fn *multiply;
    quash_rotate_fn *rotate;
    quash_unrotate_fn *unrotate;
    quash_half_butterfly_fn *half_butterfly;
    quash_quantize_fn *quantize;
    quash_dequantize_fn *dequantize;
    quash_pack_fn *pack[4];                     /* [bits - 1] */
    quash_unpack_fn *unpack[4];                 /* [bits - 1] */
    quash_pack_unit_fn *pack_unit[3];           /* [bits - 2] */
    quash_load_fn *load[5];                     /* [quash_dtype] */
    quash_store_fn *store[3];                   /* [quash_dtype] F32, F16, BF16 */
    quash_find_nonfinite_fn *find_nonfinite[3]; /* [quash_dtype] F32, F16, BF16 */
    quash_scan_fn *scan[4];                     /* [bits - 1] */
    quash_tile_scores_fn *tile_scores[3];       /* [bits - 2] */
    quash_tile_accumulate_fn *tile_accumulate[3];
    quash_query_digits_fn *query_digits;
    quash_mean_coefficients_fn *mean_coefficients;
    quash_mean_term_fn *mean_term;
    struct quash_digit_kernels digits[2]; /* [quash_digit_mode]; last: a level has all or none */
};

/* Fills the table of a level: the C reference, and over it what each instruction set up to that
 * level has. A level this build was made without has the C reference. */
void quash_kernels_fill(struct quash_kernels *kernels, enum quash_cpu_level level);

/* ---- Variants: declared for every instruction set, defined where a file exists -------------- */

#define QUASH_VARIANTS(type, name)                                                                 \
    type quash_##name##_c, quash_##name##_avx2, quash_##name##_avx512, quash_##name##_neon,        \
        quash_##name##_dotprod
#define QUASH_VARIANTS_OF_2_TO_4(type, name)                                                       \
    QUASH_VARIANTS(type, name##_2);                                                                \
    QUASH_VARIANTS(type, name##_3);                                                                \
    QUASH_VARIANTS(type, name##_4)
#define QUASH_VARIANTS_OF_1_TO_4(type, name)                                                       \
    QUASH_VARIANTS(type, name##_1);                                                                \
    QUASH_VARIANTS_OF_2_TO_4(type, name)
#define QUASH_VARIANTS_OF_FLOATS(type, name)                                                       \
    QUASH_VARIANTS(type, name##_f32);                                                              \
    QUASH_VARIANTS(type, name##_f16);                                                              \
    QUASH_VARIANTS(type, name##_bf16)

QUASH_VARIANTS(quash_max_abs_fn, max_abs);
QUASH_VARIANTS(quash_sum_squares_fn, sum_squares);
QUASH_VARIANTS(quash_multiply_fn, multiply);
QUASH_VARIANTS(quash_rotate_fn, rotate);
QUASH_VARIANTS(quash_unrotate_fn, unrotate);
QUASH_VARIANTS(quash_half_butterfly_fn, half_butterfly);
QUASH_VARIANTS(quash_quantize_fn, quantize);
QUASH_VARIANTS(quash_dequantize_fn, dequantize);
QUASH_VARIANTS_OF_1_TO_4(quash_pack_fn, pack);
QUASH_VARIANTS_OF_1_TO_4(quash_unpack_fn, unpack);
QUASH_VARIANTS_OF_2_TO_4(quash_pack_unit_fn, pack_unit);
QUASH_VARIANTS_OF_FLOATS(quash_load_fn, load);
QUASH_VARIANTS(quash_load_fn, load_i8);
QUASH_VARIANTS(quash_load_fn, load_u8);
QUASH_VARIANTS_OF_FLOATS(quash_store_fn, store);
QUASH_VARIANTS_OF_FLOATS(quash_find_nonfinite_fn, find_nonfinite);
QUASH_VARIANTS_OF_1_TO_4(quash_scan_fn, scan);
QUASH_VARIANTS_OF_2_TO_4(quash_tile_scores_fn, tile_scores);
QUASH_VARIANTS_OF_2_TO_4(quash_tile_accumulate_fn, tile_accumulate);
QUASH_VARIANTS(quash_query_digits_fn, query_digits);
QUASH_VARIANTS(quash_mean_coefficients_fn, mean_coefficients);
QUASH_VARIANTS(quash_mean_term_fn, mean_term);
QUASH_VARIANTS_OF_2_TO_4(quash_digit_scores_fn, fast_scores);
QUASH_VARIANTS_OF_2_TO_4(quash_digit_scores_fn, exact_scores);
QUASH_VARIANTS(quash_digit_softmax_fn, fast_softmax);
QUASH_VARIANTS(quash_digit_softmax_fn, exact_softmax);
QUASH_VARIANTS_OF_2_TO_4(quash_digit_values_fn, fast_values);
QUASH_VARIANTS_OF_2_TO_4(quash_digit_values_fn, exact_values);

#endif
