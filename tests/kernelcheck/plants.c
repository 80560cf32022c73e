/* SPDX-License-Identifier: Apache-2.0 */
/* plants.c: the mistakes that writers of SIMD make, one kernel each. Most call the reference and
 * then spoil what it did. */
#include "plants.h"

#include <float.h>
#include <signal.h>

#include "base/half.h"
#include "codec/row.h"
#include "hostile_state.h"
#include "kernel/lanes.h"
#include "kernel/unit.h"

static volatile unsigned char sink; /* so that reads are not left out */

/* ---- Wrong results ----------------------------------------------------------------------- */

static void off_by_one_ulp(float *x, size_t n, float factor) {
    quash_multiply_c(x, n, factor);
    if (n == 97) {
        x[60] = nextafterf(x[60], INFINITY);
    }
}

static void wrong_tail(const uint8_t *packed, size_t n, uint8_t *codes) {
    quash_unpack_4_c(packed, n / 16 * 16, codes);
}

static void writes_unused_bits(const uint8_t *codes, size_t n, uint8_t *packed) {
    quash_pack_2_c(codes, n, packed);
    if (n % 4 != 0) {
        packed[n / 4] |= 0x80;
    }
}

static float adds_in_order(const float *x, size_t n) {
    float sum = 0.0f;
    for (size_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sum;
}

static float adds_fused(const float *x, size_t n) {
    float lanes[QUASH_LANES] = { 0.0f };
    for (size_t i = 0; i < n; i++) {
        lanes[i % QUASH_LANES] = fmaf(x[i], x[i], lanes[i % QUASH_LANES]);
    }
    return quash_sum_lanes(lanes);
}

static void flushes_denormals(float *x, size_t n, float factor) {
    quash_multiply_c(x, n, factor);
    for (size_t i = 0; i < n; i++) {
        x[i] = fabsf(x[i]) < FLT_MIN ? copysignf(0.0f, x[i]) : x[i];
    }
}

static void loses_sign_of_zero(float *x, size_t width, const uint8_t *signs, float factor) {
    quash_rotate_c(x, width, signs, factor);
    for (size_t i = 0; i < width; i++) {
        x[i] += 0.0f;
    }
}

static struct quash_fit excludes_thresholds(const struct quash_levels *levels, const float *x,
                                            size_t n, float gain, uint8_t *codes) {
    struct quash_levels above = *levels;
    float thresholds[7];
    for (int32_t t = 0; t < 7; t++) {
        thresholds[t] = nextafterf(levels->thresholds[t], INFINITY);
    }
    above.thresholds = thresholds;
    return quash_quantize_c(&above, x, n, gain, codes);
}

static struct quash_fit forgets_squares(const struct quash_levels *levels, const float *x, size_t n,
                                        float gain, uint8_t *codes) {
    struct quash_fit fit = quash_quantize_c(levels, x, n, gain, codes);
    fit.squares -= n == 113;
    return fit;
}

static void rounds_ties_away(const float *x, size_t n, void *target) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = quash_f32_bits(x[i]);
        const uint32_t magnitude = bits & 0x7FFFFFFFu;
        const uint32_t rounded = magnitude < 0x7F7F0000u ? (magnitude + 0x8000u) >> 16 : 0x7F7Fu;
        const uint16_t result = (uint16_t)(bits >> 31 << 15 | rounded);
        memcpy((unsigned char *)target + 2 * i, &result, sizeof result);
    }
}

static void stores_infinity(const float *x, size_t n, void *target) {
    for (size_t i = 0; i < n; i++) {
        const uint16_t result = quash_f32_to_f16(x[i]);
        memcpy((unsigned char *)target + 2 * i, &result, sizeof result);
    }
}

static size_t finds_another(const void *source, size_t n) {
    size_t found = n;
    for (size_t i = 0; i < n; i++) {
        found =
            quash_find_nonfinite_f16_c((const unsigned char *)source + 2 * i, 1) == 0 ? i : found;
    }
    return found;
}

static void takes_infinity_for_finite(const void *source, size_t n, float *x) {
    quash_load_f16_c(source, n, x);
    for (size_t i = 0; i < n; i++) {
        x[i] = isinf(x[i]) ? copysignf(65536.0f, x[i]) : x[i];
    }
}

static void saturates_sums(const int8_t *integers, const uint8_t *packed, size_t rows,
                           size_t stride, size_t n, const int8_t *digits, size_t queries,
                           int32_t *sums) {
    quash_scan_4_c(integers, packed, rows, stride, n, digits, queries, sums);
    for (size_t i = 0; i < rows * queries; i++) {
        sums[i] = sums[i] > 4000000 ? 4000000 : sums[i];
    }
}

/* ---- Wrong memory ------------------------------------------------------------------------ */

static void writes_one_byte_beyond(const uint8_t *codes, size_t n, uint8_t *packed) {
    quash_pack_3_c(codes, n, packed);
    packed[quash_packed_bytes(n, 3)] = 0;
}

static void writes_one_byte_before(const uint8_t *packed, size_t n, uint8_t *codes) {
    quash_unpack_1_c(packed, n, codes);
    codes[-1] = 0;
}

static float reads_one_beyond(const float *x, size_t n) {
    sink = ((const volatile unsigned char *)(x + n))[0];
    return quash_max_abs_c(x, n);
}

static float reads_one_before(const float *x, size_t n) {
    sink = ((const volatile unsigned char *)x)[-1];
    return quash_max_abs_c(x, n);
}

/* Many an over-read happens in whole registers: from the last multiple of 16 bytes on. */
static void reads_a_whole_register(const void *source, size_t n, float *x) {
    const volatile unsigned char *const bytes = source;
    for (size_t i = 0; n % 16 != 0 && i < 16; i++) {
        sink = bytes[n / 16 * 16 + i];
    }
    quash_load_u8_c(source, n, x);
}

static void reads_beyond_the_last_row(const int8_t *integers, const uint8_t *packed, size_t rows,
                                      size_t stride, size_t n, const int8_t *digits, size_t queries,
                                      int32_t *sums) {
    for (size_t i = 0; rows > 0 && i < stride; i++) {
        sink = ((const volatile unsigned char *)packed)[(rows - 1) * stride + i];
    }
    quash_scan_1_c(integers, packed, rows, stride, n, digits, queries, sums);
}

static void needs_alignment(const void *source, size_t n, float *x) {
    quash_load_bf16_c((const unsigned char *)source - (uintptr_t)source % 2, n, x);
}

/* The contract has it const; whoever casts that away has the reference's results, and a changed
 * input. */
static void changes_input(const float *x, size_t n, void *target) {
    quash_store_f32_c(x, n, target);
    if (n > 3) {
        ((float *)(uintptr_t)x)[3] += 1.0f;
    }
}

static void dies(const int8_t *integers, const uint8_t *codes, size_t n, float gain, float *x) {
    quash_dequantize_c(integers, codes, n, gain, x);
    if (n == 70) {
        (void)raise(SIGILL);
    }
}

static void asserts(const uint8_t *codes, size_t lane_stride, size_t element_stride,
                    uint8_t *unit) {
    quash_pack_unit_2_c(codes, lane_stride, element_stride, unit);
    if (element_stride == 80) {
        abort();
    }
}

static void leaves_state_changed(float *x, size_t n) {
    quash_half_butterfly_c(x, n);
    set_state(hostile_state());
}

/* ---- Approximate zone -------------------------------------------------------------------- */

/* A query of 12 bits of precision. */
static void rounds_queries(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                           const float *q, size_t dim_stride, size_t rows, float (*scores)[64]) {
    static float rounded[KC_ARRAY_BYTES_MAX / sizeof(float)];
    const size_t count = rows > 0 ? (rows - 1) * dim_stride + key_dims : 0;
    for (size_t i = 0; i < count; i++) {
        rounded[i] = quash_f32_from_bits((quash_f32_bits(q[i]) + 0x800u) & 0xFFFFF000u);
    }
    quash_tile_scores_3_c(integers, keys, key_dims, rounded, dim_stride, rows, scores);
}

/* The dot product as anyone would write it. No element is beyond the bound of any order of adding,
 * so that the two-fold rule alone can find it. */
static void adds_all_dims_in_order(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                                   const float *q, size_t dim_stride, size_t rows,
                                   float (*scores)[64]) {
    const size_t units = key_dims / QUASH_UNIT_ELEMENTS;
    for (size_t i = 0; i < rows * QUASH_TILE_TOKENS; i++) {
        const size_t row = i / QUASH_TILE_TOKENS;
        const size_t token = i % QUASH_TILE_TOKENS;
        const uint8_t *const block = keys + token / QUASH_UNIT_LANES * units * quash_unit_bytes(4);
        float sum = 0.0f;
        for (size_t d = 0; d < key_dims; d++) {
            const uint32_t code =
                quash_unit_get(block + d / QUASH_UNIT_ELEMENTS * quash_unit_bytes(4), 4,
                               token % QUASH_UNIT_LANES, d % QUASH_UNIT_ELEMENTS);
            sum += q[row * dim_stride + d] * (float)integers[code];
        }
        scores[row][token] = sum;
    }
}

static void flushes_scores(const int8_t *integers, const uint8_t *keys, size_t key_dims,
                           const float *q, size_t dim_stride, size_t rows, float (*scores)[64]) {
    quash_tile_scores_2_c(integers, keys, key_dims, q, dim_stride, rows, scores);
    for (size_t i = 0; i < rows * 64; i++) {
        float *const score = &scores[i / 64][i % 64];
        *score = fabsf(*score) < FLT_MIN ? 0.0f : *score;
    }
}

static void forgets_to_add(const int8_t *integers, const uint8_t *values, size_t value_dims,
                           const float (*weights)[64], size_t rows, float *out, size_t dim_stride) {
    for (size_t r = 0; r < rows; r++) {
        memset(out + r * dim_stride, 0, value_dims * sizeof *out);
    }
    quash_tile_accumulate_4_c(integers, values, value_dims, weights, rows, out, dim_stride);
}

static void writes_between_rows(const int8_t *integers, const uint8_t *values, size_t value_dims,
                                const float (*weights)[64], size_t rows, float *out,
                                size_t dim_stride) {
    quash_tile_accumulate_2_c(integers, values, value_dims, weights, rows, out, dim_stride);
    if (rows > 1 && dim_stride > value_dims) {
        out[value_dims] += 1.0f;
    }
}

/* ---- The list ---------------------------------------------------------------------------- */

PLANT(multiply, off_by_one_ulp)
PLANT(unpack[3], wrong_tail)
PLANT(pack[1], writes_unused_bits)
PLANT(sum_squares, adds_in_order)
PLANT(sum_squares, adds_fused)
PLANT(multiply, flushes_denormals)
PLANT(rotate, loses_sign_of_zero)
PLANT(quantize, excludes_thresholds)
PLANT(quantize, forgets_squares)
PLANT(store[QUASH_BF16], rounds_ties_away)
PLANT(store[QUASH_F16], stores_infinity)
PLANT(find_nonfinite[QUASH_F16], finds_another)
PLANT(load[QUASH_F16], takes_infinity_for_finite)
PLANT(scan[3], saturates_sums)
PLANT(pack[2], writes_one_byte_beyond)
PLANT(unpack[0], writes_one_byte_before)
PLANT(max_abs, reads_one_beyond)
PLANT(max_abs, reads_one_before)
PLANT(load[QUASH_U8], reads_a_whole_register)
PLANT(scan[0], reads_beyond_the_last_row)
PLANT(load[QUASH_BF16], needs_alignment)
PLANT(store[QUASH_F32], changes_input)
PLANT(dequantize, dies)
PLANT(pack_unit[0], asserts)
PLANT(half_butterfly, leaves_state_changed)
PLANT(tile_scores[1], rounds_queries)
PLANT(tile_scores[2], adds_all_dims_in_order)
PLANT(tile_scores[0], flushes_scores)
PLANT(tile_accumulate[2], forgets_to_add)
PLANT(tile_accumulate[0], writes_between_rows)

const struct kc_plant kc_plants[] = {
    LINE("multiply", 0, off_by_one_ulp, KC_DIFFERS),
    LINE("unpack", 3, wrong_tail, KC_DIFFERS),
    LINE("pack", 1, writes_unused_bits, KC_DIFFERS),
    LINE("sum_squares", 0, adds_in_order, KC_DIFFERS),
    LINE("sum_squares", 0, adds_fused, KC_DIFFERS),
    LINE("multiply", 0, flushes_denormals, KC_DIFFERS),
    LINE("rotate", 0, loses_sign_of_zero, KC_DIFFERS),
    LINE("quantize", 1, excludes_thresholds, KC_DIFFERS),
    LINE("quantize", 3, forgets_squares, KC_DIFFERS),
    LINE("store", QUASH_BF16, rounds_ties_away, KC_DIFFERS),
    LINE("store", QUASH_F16, stores_infinity, KC_DIFFERS),
    LINE("find_nonfinite", QUASH_F16, finds_another, KC_DIFFERS),
    LINE("load", QUASH_F16, takes_infinity_for_finite, KC_DIFFERS),
    LINE("scan", 3, saturates_sums, KC_DIFFERS),
    LINE("pack", 2, writes_one_byte_beyond, KC_WRITES_BEYOND),
    LINE("pack", 2, writes_one_byte_beyond, KC_CRASHES),
    LINE("unpack", 0, writes_one_byte_before, KC_WRITES_BEYOND),
    LINE("max_abs", 0, reads_one_beyond, KC_CRASHES),
    LINE("max_abs", 0, reads_one_before, KC_CRASHES),
    LINE("load", QUASH_U8, reads_a_whole_register, KC_CRASHES),
    LINE("scan", 0, reads_beyond_the_last_row, KC_CRASHES),
    LINE("load", QUASH_BF16, needs_alignment, KC_DIFFERS),
    LINE("store", QUASH_F32, changes_input, KC_CHANGES_INPUT),
    LINE("dequantize", 0, dies, KC_CRASHES),
    LINE("pack_unit", 0, asserts, KC_CRASHES),
    LINE("half_butterfly", 0, leaves_state_changed, KC_CHANGES_FLOAT_STATE),
    LINE("tile_scores", 1, rounds_queries, KC_DIFFERS),
    LINE("tile_scores", 2, adds_all_dims_in_order, KC_INACCURATE),
    LINE("tile_scores", 0, flushes_scores, KC_DIFFERS),
    LINE("tile_accumulate", 2, forgets_to_add, KC_DIFFERS),
    LINE("tile_accumulate", 0, writes_between_rows, KC_DIFFERS),
};
const size_t kc_plant_count = COUNT_OF(kc_plants);
