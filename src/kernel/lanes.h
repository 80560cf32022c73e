/* SPDX-License-Identifier: Apache-2.0 */
/* lanes.h: the fixed order in which every reduction of the exact zone adds: element i goes to lane
 * i mod 16, in ascending order, and the lanes are added by halving. One AVX-512 register, two AVX2
 * or four NEON registers hold the lanes, so that each instruction set can keep this order. */
#ifndef QUASH_KERNEL_LANES_H
#define QUASH_KERNEL_LANES_H

#include <stddef.h>

#define QUASH_LANES 16

/* Overwrites lanes. */
static inline float quash_sum_lanes(float lanes[QUASH_LANES]) {
    for (size_t half = QUASH_LANES / 2; half > 0; half /= 2) {
        for (size_t i = 0; i < half; i++) {
            lanes[i] += lanes[i + half];
        }
    }
    return lanes[0];
}

#endif
