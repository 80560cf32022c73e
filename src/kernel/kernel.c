/* SPDX-License-Identifier: Apache-2.0 */
/* kernel.c: the kernel tables, the only file that names every instruction set. */
#include "kernel/kernel.h"

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
    .load = { quash_load_f32_c, quash_load_f16_c, quash_load_bf16_c, quash_load_i8_c,
              quash_load_u8_c },
    .store = { quash_store_f32_c, quash_store_f16_c, quash_store_bf16_c },
    .scan = { quash_scan_1_c, quash_scan_2_c, quash_scan_3_c, quash_scan_4_c },
    .tile_scores = { quash_tile_scores_2_c, quash_tile_scores_3_c, quash_tile_scores_4_c },
    .tile_accumulate = { quash_tile_accumulate_2_c, quash_tile_accumulate_3_c,
                         quash_tile_accumulate_4_c },
};

const struct quash_kernels *quash_kernels_for(enum quash_cpu_level level) {
    (void)level; /* no overlay yet: every level runs the C reference */
    return &table_c;
}
