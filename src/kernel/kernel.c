/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c: the kernel tables, the only file that names every instruction set. The build defines
 * QUASH_BUILT_<ISA> for those whose files it compiles (cmake/isa.cmake). */
#include "kernel/kernel.h"

/* Those of a mode and an instruction set; then the rule. */
#define DIGIT_KERNELS(mode, isa, ...)                                                              \
    {                                                                                              \
        { __VA_ARGS__ },                                                                           \
            { quash_##mode##_scores_2_##isa, quash_##mode##_scores_3_##isa,                        \
              quash_##mode##_scores_4_##isa },                                                     \
            quash_##mode##_softmax_##isa,                                                          \
            { quash_##mode##_values_2_##isa, quash_##mode##_values_3_##isa,                        \
              quash_##mode##_values_4_##isa },                                                     \
    }

static const struct quash_kernels table_c = {
    .max_abs = quash_max_abs_c,
    .sum_squares = quash_sum_squares_c,
    .multiply = quash_multiply_c,
    .rotate = quash_rotate_c,
    .unrotate = quash_unrotate_c,
    .half_butterfly = quash_half_butterfly_c,
    .quantize = quash_quantize_c,
    .dequantize = quash_dequantize_c,
    .pack = { quash_pack_1_c, quash_pack_2_c, quash_pack_3_c, quash_pack_4_c },
    .unpack = { quash_unpack_1_c, quash_unpack_2_c, quash_unpack_3_c, quash_unpack_4_c },
    .pack_unit = { quash_pack_unit_2_c, quash_pack_unit_3_c, quash_pack_unit_4_c },
    .load = { quash_load_f32_c, quash_load_f16_c, quash_load_bf16_c, quash_load_i8_c,
              quash_load_u8_c },
    .store = { quash_store_f32_c, quash_store_f16_c, quash_store_bf16_c },
    .find_nonfinite = { quash_find_nonfinite_f32_c, quash_find_nonfinite_f16_c,
                        quash_find_nonfinite_bf16_c },
    .scan = { quash_scan_1_c, quash_scan_2_c, quash_scan_3_c, quash_scan_4_c },
    .tile_scores = { quash_tile_scores_2_c, quash_tile_scores_3_c, quash_tile_scores_4_c },
    .tile_accumulate = { quash_tile_accumulate_2_c, quash_tile_accumulate_3_c,
                         quash_tile_accumulate_4_c },
    .query_digits = quash_query_digits_c,
    .mean_coefficients = quash_mean_coefficients_c,
    .mean_term = quash_mean_term_c,
    .digits = {
        DIGIT_KERNELS(fast, c, .top = 127.0f, .group_top = 511.0f, .planes = 1),
        DIGIT_KERNELS(exact, c, .top = 32000.0f, .planes = 0),
    },
};

#ifdef QUASH_BUILT_AVX2
static void overlay_avx2(struct quash_kernels *k) {
    k->digits[QUASH_DIGITS_FAST] = (struct quash_digit_kernels)DIGIT_KERNELS(
        fast, avx2, .top = 127.0f, .group_top = 511.0f, .planes = 1);
    k->digits[QUASH_DIGITS_EXACT] =
        (struct quash_digit_kernels)DIGIT_KERNELS(exact, avx2, .top = 32000.0f, .planes = 0);
    k->query_digits = quash_query_digits_avx2;
    k->mean_coefficients = quash_mean_coefficients_avx2;
    k->mean_term = quash_mean_term_avx2;
    k->max_abs = quash_max_abs_avx2;
    k->sum_squares = quash_sum_squares_avx2;
    k->multiply = quash_multiply_avx2;
    k->rotate = quash_rotate_avx2;
    k->unrotate = quash_unrotate_avx2;
    k->half_butterfly = quash_half_butterfly_avx2;
    k->quantize = quash_quantize_avx2;
    k->dequantize = quash_dequantize_avx2;
    k->pack[0] = quash_pack_1_avx2;
    k->pack[1] = quash_pack_2_avx2;
    k->pack[2] = quash_pack_3_avx2;
    k->pack[3] = quash_pack_4_avx2;
    k->unpack[0] = quash_unpack_1_avx2;
    k->unpack[1] = quash_unpack_2_avx2;
    k->unpack[2] = quash_unpack_3_avx2;
    k->unpack[3] = quash_unpack_4_avx2;
    k->pack_unit[0] = quash_pack_unit_2_avx2;
    k->pack_unit[1] = quash_pack_unit_3_avx2;
    k->pack_unit[2] = quash_pack_unit_4_avx2;
    k->load[QUASH_F16] = quash_load_f16_avx2;
    k->load[QUASH_BF16] = quash_load_bf16_avx2;
    k->load[QUASH_I8] = quash_load_i8_avx2;
    k->load[QUASH_U8] = quash_load_u8_avx2;
    k->store[QUASH_F32] = quash_store_f32_avx2;
    k->store[QUASH_F16] = quash_store_f16_avx2;
    k->store[QUASH_BF16] = quash_store_bf16_avx2;
    k->find_nonfinite[QUASH_F32] = quash_find_nonfinite_f32_avx2;
    k->find_nonfinite[QUASH_F16] = quash_find_nonfinite_f16_avx2;
    k->find_nonfinite[QUASH_BF16] = quash_find_nonfinite_bf16_avx2;
    k->scan[0] = quash_scan_1_avx2;
    k->scan[1] = quash_scan_2_avx2;
    k->scan[2] = quash_scan_3_avx2;
    k->scan[3] = quash_scan_4_avx2;
}
#endif

#ifdef QUASH_BUILT_AVX512
static void overlay_avx512(struct quash_kernels *k) {
    k->digits[QUASH_DIGITS_FAST] =
        (struct quash_digit_kernels)DIGIT_KERNELS(fast, avx512, .top = 127.0f, .planes = 1);
    k->digits[QUASH_DIGITS_EXACT] =
        (struct quash_digit_kernels)DIGIT_KERNELS(exact, avx512, .top = 32000.0f, .planes = 2);
    k->mean_coefficients = quash_mean_coefficients_avx512;
    k->mean_term = quash_mean_term_avx512;
    k->rotate = quash_rotate_avx512;
    k->unrotate = quash_unrotate_avx512;
    k->quantize = quash_quantize_avx512;
    k->dequantize = quash_dequantize_avx512;
    k->pack[0] = quash_pack_1_avx512;
    k->pack[1] = quash_pack_2_avx512;
    k->pack[2] = quash_pack_3_avx512;
    k->pack[3] = quash_pack_4_avx512;
    k->unpack[0] = quash_unpack_1_avx512;
    k->unpack[1] = quash_unpack_2_avx512;
    k->unpack[2] = quash_unpack_3_avx512;
    k->unpack[3] = quash_unpack_4_avx512;
    k->scan[0] = quash_scan_1_avx512;
    k->scan[1] = quash_scan_2_avx512;
    k->scan[2] = quash_scan_3_avx512;
    k->scan[3] = quash_scan_4_avx512;
}
#endif

#ifdef QUASH_BUILT_NEON
static void overlay_neon(struct quash_kernels *k) {
    k->max_abs = quash_max_abs_neon;
    k->sum_squares = quash_sum_squares_neon;
    k->multiply = quash_multiply_neon;
    k->rotate = quash_rotate_neon;
    k->unrotate = quash_unrotate_neon;
    k->half_butterfly = quash_half_butterfly_neon;
    k->quantize = quash_quantize_neon;
    k->dequantize = quash_dequantize_neon;
    k->pack[0] = quash_pack_1_neon;
    k->pack[1] = quash_pack_2_neon;
    k->pack[2] = quash_pack_3_neon;
    k->pack[3] = quash_pack_4_neon;
    k->unpack[0] = quash_unpack_1_neon;
    k->unpack[1] = quash_unpack_2_neon;
    k->unpack[2] = quash_unpack_3_neon;
    k->unpack[3] = quash_unpack_4_neon;
    k->load[QUASH_F16] = quash_load_f16_neon;
    k->load[QUASH_BF16] = quash_load_bf16_neon;
    k->load[QUASH_I8] = quash_load_i8_neon;
    k->load[QUASH_U8] = quash_load_u8_neon;
    k->store[QUASH_F32] = quash_store_f32_neon;
    k->store[QUASH_F16] = quash_store_f16_neon;
    k->store[QUASH_BF16] = quash_store_bf16_neon;
    k->find_nonfinite[QUASH_F32] = quash_find_nonfinite_f32_neon;
    k->find_nonfinite[QUASH_F16] = quash_find_nonfinite_f16_neon;
    k->find_nonfinite[QUASH_BF16] = quash_find_nonfinite_bf16_neon;
    k->scan[0] = quash_scan_1_neon;
    k->scan[1] = quash_scan_2_neon;
    k->scan[2] = quash_scan_3_neon;
    k->scan[3] = quash_scan_4_neon;
}
#endif

#ifdef QUASH_BUILT_DOTPROD
static void overlay_dotprod(struct quash_kernels *k) {
    k->digits[QUASH_DIGITS_FAST] =
        (struct quash_digit_kernels)DIGIT_KERNELS(fast, dotprod, .top = 127.0f, .planes = 1);
    k->digits[QUASH_DIGITS_EXACT] =
        (struct quash_digit_kernels)DIGIT_KERNELS(exact, dotprod, .top = 32000.0f, .planes = 2);
    k->scan[0] = quash_scan_1_dotprod;
    k->scan[1] = quash_scan_2_dotprod;
    k->scan[2] = quash_scan_3_dotprod;
    k->scan[3] = quash_scan_4_dotprod;
}
#endif

void quash_kernels_fill(struct quash_kernels *kernels, enum quash_cpu_level level) {
    *kernels = table_c;
#ifdef QUASH_BUILT_AVX2
    if (level == QUASH_CPU_AVX2 || level == QUASH_CPU_AVX512) {
        overlay_avx2(kernels);
    }
#endif
#ifdef QUASH_BUILT_AVX512
    if (level == QUASH_CPU_AVX512) {
        overlay_avx512(kernels);
    }
#endif
#ifdef QUASH_BUILT_NEON
    if (level == QUASH_CPU_NEON || level == QUASH_CPU_DOTPROD) {
        overlay_neon(kernels);
    }
#endif
#ifdef QUASH_BUILT_DOTPROD
    if (level == QUASH_CPU_DOTPROD) {
        overlay_dotprod(kernels);
    }
#endif
    (void)level; /* without any instruction set */
}
