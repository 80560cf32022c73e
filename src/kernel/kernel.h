/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.h: the fine seam. A kernel is a small loop over plain arrays that knows no codec; each has
 * a C reference (<name>_c.c), and may have one variant per instruction set beside it. The table of
 * a level starts as the C table and is overlaid entry by entry (kernel.c).
 *
 * Exact zone (all entries but the two of attention tiles): every variant must give the bits of the
 * C reference. The rules are in doc/format.md: reductions run over 16 virtual lanes (element i goes
 * to lane i mod 16) and end in a halving tree; no fused multiply-add; correctly rounded operations.
 *
 * Unless stated otherwise pointers need no more alignment than their type, arrays do not overlap,
 * and sizes may be 0. */
#ifndef QUASH_KERNEL_KERNEL_H
#define QUASH_KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/cpu.h"

/* One trial of a step size: the codes' integers against the vector they stand for. */
struct quash_fit {
    float dot;       /* sum of u[i] * integer[i] */
    int32_t squares; /* sum of integer[i]^2 */
};

/* Levels as a kernel sees them: 2^bits integers ascending, and the half - 1 positive thresholds of
 * one step size. The code of u is half + m for u >= 0 (and -0), half - 1 - m for u < 0, where m
 * counts the thresholds <= |u|. */
struct quash_levels {
    int32_t half;
    const int8_t *integers;
    const float *thresholds;
};

/* Query heads that one unpacking of a tile serves. */
#define QUASH_TILE_ROWS_MAX 16

struct quash_kernels {
    /* Largest |x[i]|; 0 for n = 0. No NaN. */
    float (*max_abs)(const float *x, size_t n);

    /* Sum of x[i]^2. */
    float (*sum_squares)(const float *x, size_t n);

    /* x[i] *= factor. */
    void (*multiply)(float *x, size_t n, float factor);

    /* One window step of the rotation: x[i] is negated where bit i of signs (bit i%8 of byte i/8)
     * is set, then the Hadamard butterflies of strides 1, 2, 4, ..., then all times factor.
     * width is a power of two. */
    void (*rotate)(float *x, size_t width, const uint8_t *signs, float factor);

    /* Its inverse: butterflies, factor, signs. */
    void (*unrotate)(float *x, size_t width, const uint8_t *signs, float factor);

    /* (x[i], x[i + ceil(n/2)]) becomes (sum, difference) / sqrt(2) for i < floor(n/2). Its own
     * inverse. */
    void (*half_butterfly)(float *x, size_t n);

    /* Codes of u[i] = x[i] * gain, one per byte, and their fit. */
    struct quash_fit (*quantize)(const struct quash_levels *levels, const float *x, size_t n,
                                 float gain, uint8_t *codes);

    /* x[i] = gain * integers[codes[i]]. */
    void (*dequantize)(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                       float *x);

    /* n codes to packed bits and back, [bits - 1]: element i at bit i*bits, little-endian; 3 bits
     * as a plane of the low two bits, ceil(n/4) bytes, and a plane of the high bit, ceil(n/8)
     * bytes.
     * Unused bits of the last byte are 0. */
    void (*pack[4])(const uint8_t *codes, size_t n, uint8_t *packed);
    void (*unpack[4])(const uint8_t *packed, size_t n, uint8_t *codes);

    /* n elements of a dtype (misaligned allowed) to float, [quash_dtype]; exact. */
    void (*load[5])(const void *source, size_t n, float *x);

    /* Float to F32, F16, BF16 [quash_dtype], round to nearest even; values beyond the range,
     * infinities included, become the largest finite number. No NaN. */
    void (*store[3])(const float *x, size_t n, void *target);

    /* Index scan, [bits - 1]: sums[r * queries + j] = sum of integers[code i of row r] *
     * digits[j * n + i], for rows of packed codes `stride` bytes apart. n is a multiple of 32,
     * |digit| <= 127; |sum| stays below 2^31 up to QUASH_DIM_MAX. */
    void (*scan[4])(const int8_t *integers, const uint8_t *packed, size_t rows, size_t stride,
                    size_t n, const int8_t *digits, size_t queries, int32_t *sums);

    /* Attention, approximate zone, [bits - 2]; layouts in kernel/unit.h.
     * Scores of the 64 tokens of a tile of keys: scores[r][t] = sum over i of q[r * dim_stride + i]
     * * integers[code of dim i of token t], for r < rows <= QUASH_TILE_ROWS_MAX. key_dims is the
     * head_dim rounded up to 32; q is zero beyond head_dim. */
    void (*tile_scores[3])(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                           const float *q, size_t dim_stride, size_t rows, float (*scores)[64]);

    /* out[r * dim_stride + i] += sum over t of weights[r][t] * integers[code of dim i of token t].
     * value_dims is the head_dim rounded up to 16. */
    void (*tile_accumulate[3])(const int8_t *integers, const uint8_t *values, size_t value_dims,
                               const float (*weights)[64], size_t rows, float *out,
                               size_t dim_stride);
};

/* The table of a level; static storage, immutable. */
const struct quash_kernels *quash_kernels_for(enum quash_cpu_level level);

/* ---- C reference ------------------------------------------------------------------------- */

float quash_max_abs_c(const float *x, size_t n);
float quash_sum_squares_c(const float *x, size_t n);
void quash_multiply_c(float *x, size_t n, float factor);
void quash_rotate_c(float *x, size_t width, const uint8_t *signs, float factor);
void quash_unrotate_c(float *x, size_t width, const uint8_t *signs, float factor);
void quash_half_butterfly_c(float *x, size_t n);
struct quash_fit quash_quantize_c(const struct quash_levels *levels, const float *x, size_t n,
                                  float gain, uint8_t *codes);
void quash_dequantize_c(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                        float *x);
void quash_pack_1_c(const uint8_t *codes, size_t n, uint8_t *packed);
void quash_pack_2_c(const uint8_t *codes, size_t n, uint8_t *packed);
void quash_pack_3_c(const uint8_t *codes, size_t n, uint8_t *packed);
void quash_pack_4_c(const uint8_t *codes, size_t n, uint8_t *packed);
void quash_unpack_1_c(const uint8_t *packed, size_t n, uint8_t *codes);
void quash_unpack_2_c(const uint8_t *packed, size_t n, uint8_t *codes);
void quash_unpack_3_c(const uint8_t *packed, size_t n, uint8_t *codes);
void quash_unpack_4_c(const uint8_t *packed, size_t n, uint8_t *codes);
void quash_load_f32_c(const void *source, size_t n, float *x);
void quash_load_f16_c(const void *source, size_t n, float *x);
void quash_load_bf16_c(const void *source, size_t n, float *x);
void quash_load_i8_c(const void *source, size_t n, float *x);
void quash_load_u8_c(const void *source, size_t n, float *x);
void quash_store_f32_c(const float *x, size_t n, void *target);
void quash_store_f16_c(const float *x, size_t n, void *target);
void quash_store_bf16_c(const float *x, size_t n, void *target);

#define QUASH_DECLARE_SCAN_C(bits)                                                                 \
    void quash_scan_##bits##_c(const int8_t *integers, const uint8_t *packed, size_t rows,         \
                               size_t stride, size_t n, const int8_t *digits, size_t queries,      \
                               int32_t *sums)
QUASH_DECLARE_SCAN_C(1);
QUASH_DECLARE_SCAN_C(2);
QUASH_DECLARE_SCAN_C(3);
QUASH_DECLARE_SCAN_C(4);

#define QUASH_DECLARE_TILE_C(bits)                                                                 \
    void quash_tile_scores_##bits##_c(const int8_t *integers, const uint8_t *keys,                 \
                                      size_t key_dims, const float *q, size_t dim_stride,          \
                                      size_t rows, float(*scores)[64]);                            \
    void quash_tile_accumulate_##bits##_c(const int8_t *integers, const uint8_t *values,           \
                                          size_t value_dims, const float(*weights)[64],            \
                                          size_t rows, float *out, size_t dim_stride)
QUASH_DECLARE_TILE_C(2);
QUASH_DECLARE_TILE_C(3);
QUASH_DECLARE_TILE_C(4);

#endif
