/* SPDX-License-Identifier: Apache-2.0 */
/* kernels.h: the descriptors, which registry.c lists, and what several of them use. */
#ifndef QUASH_KERNELCHECK_KERNELS_H
#define QUASH_KERNELCHECK_KERNELS_H

#include "kernelcheck.h"

extern const struct kc_kernel kc_max_abs, kc_sum_squares, kc_multiply, kc_rotate, kc_unrotate,
    kc_half_butterfly; /* kernels_float.c */
extern const struct kc_kernel kc_quantize, kc_dequantize, kc_pack, kc_unpack,
    kc_pack_unit;                                                          /* kernels_codes.c */
extern const struct kc_kernel kc_load, kc_store, kc_find_nonfinite;        /* kernels_convert.c */
extern const struct kc_kernel kc_scan, kc_tile_scores, kc_tile_accumulate; /* kernels_products.c */
extern const struct kc_kernel kc_fast_scores, kc_fast_values, kc_exact_scores,
    kc_exact_values;                                              /* kernels_digits.c */
extern const struct kc_kernel kc_query_digits;                    /* kernels_query.c */
extern const struct kc_kernel kc_fast_softmax, kc_exact_softmax;  /* kernels_softmax.c */
extern const struct kc_kernel kc_mean_coefficients, kc_mean_term; /* kernels_mean.c */

/* 0 to 130, then larger ones, odd and even, up to the largest dim. */
extern const struct kc_sizes kc_any_size;

#define KC_CODE_DATA                                                                               \
    (KC_SET(KC_BITS) | KC_SET(KC_ZEROS) | KC_SET(KC_HUGE) | KC_SET(KC_ALTERNATING) |               \
     KC_SET(KC_ONE_HOT) | KC_SET(KC_SPECIAL))

/* A digit of a row's weights, in the layout of a table. */
int32_t kc_weight_digit(const struct quash_kernels *kernels, enum quash_digit_mode mode,
                        const struct quash_weight_digits *weights, size_t row, size_t token);

/* 64 finite scales in binary16: ordinary ones, or as the data of the call has them. */
void kc_add_scales(struct kc_call *call, const char *name);

/* Names of the functions by bits. */
extern const char *const kc_bits_1_to_4[4];
extern const char *const kc_bits_2_to_4[3];

#endif
