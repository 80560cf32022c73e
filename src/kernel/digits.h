/* SPDX-License-Identifier: Apache-2.0 */
/* digits.h: what the kernels of attention on digits share: the numbers of
 * the rules (doc/numerics.md, "Attention"). */
#ifndef QUASH_KERNEL_DIGITS_H
#define QUASH_KERNEL_DIGITS_H

#include <float.h>

#include "kernel/kernel.h"

/* Score times unit of a token that a row does not see. */
#define QUASH_MASKED 1e30f

/* x may exceed the reference of a softmax by this much: sums stay far inside binary32, and out is
 * rescaled almost never. */
#define QUASH_SOFTMAX_SLACK 40.0f

/* Largest digits of weights. One-digit ones are floor(w + dither) <= 254 + .9919. Where sums of 16
 * products live in 16 bits, the digits of a group of 16 tokens add up to at most 511 + 8.6, and
 * 63 * 519 < 2^15. */
#define QUASH_FAST_WEIGHT_TOP 254.0f
#define QUASH_FAST_WEIGHT_GROUP_TOP 511.0f
#define QUASH_EXACT_WEIGHT_TOP_I16 32000.0f
#define QUASH_EXACT_WEIGHT_TOP_U16 65530.0f

/* Dither of token t of a tile: the fractional part of t * (golden ratio - 1). Plain rounding would
 * err in the same direction wherever a tile has one peak and a floor of equal weights. */
static const float quash_dither[64] = {
    0.0000000f, 0.6180340f, 0.2360680f, 0.8541020f, 0.4721360f, 0.0901699f, 0.7082039f, 0.3262379f,
    0.9442719f, 0.5623059f, 0.1803399f, 0.7983739f, 0.4164079f, 0.0344419f, 0.6524758f, 0.2705098f,
    0.8885438f, 0.5065778f, 0.1246118f, 0.7426458f, 0.3606798f, 0.9787138f, 0.5967478f, 0.2147817f,
    0.8328157f, 0.4508497f, 0.0688837f, 0.6869177f, 0.3049517f, 0.9229857f, 0.5410197f, 0.1590537f,
    0.7770876f, 0.3951216f, 0.0131556f, 0.6311896f, 0.2492236f, 0.8672576f, 0.4852916f, 0.1033256f,
    0.7213595f, 0.3393935f, 0.9574275f, 0.5754615f, 0.1934955f, 0.8115295f, 0.4295635f, 0.0475975f,
    0.6656315f, 0.2836654f, 0.9016994f, 0.5197334f, 0.1377674f, 0.7558014f, 0.3738354f, 0.9918694f,
    0.6099034f, 0.2279374f, 0.8459713f, 0.4640053f, 0.0820393f, 0.7000733f, 0.3181073f, 0.9361413f
};

/* Bytes of the digits of a block of rows. */
static inline size_t quash_query_digit_bytes(const struct quash_digit_rule *rule, size_t key_dims) {
    return key_dims * QUASH_DIGIT_ROWS * (rule->planes == 1 ? 1 : 2);
}

#define QUASH_ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, in the low bits */
#define QUASH_ROUNDER_BITS 0x4B400000u

/* Digits are numbers times this, which fits the largest |q| and, where the rule limits them, the
 * largest mean of |q| over a group. 0 if q is not finite: rotated beyond binary32. */
static inline float quash_query_factor(const struct quash_digit_rule *rule, float largest,
                                       float largest_mean) {
    const float factor_max = 1e36f; /* keeps 1/q finite; scores of such small queries vanish */
    const float alone = rule->top / largest; /* infinite for a zero query */
    if (!(largest <= FLT_MAX)) {
        return 0.0f;
    }
    const float together =
        rule->group_top > 0.0f ? rule->group_top * 0.0625f / largest_mean : factor_max;
    const float factor = alone < together ? alone : together;
    return factor < factor_max ? factor : factor_max;
}

#endif
