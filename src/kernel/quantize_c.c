/* SPDX-License-Identifier: Apache-2.0 */
/* quantize_c.c: coordinates to codes and back, C reference. */
#include <math.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

struct quash_fit quash_quantize_c(const struct quash_levels *levels, const float *x, size_t n,
                                  float gain, uint8_t *codes) {
    const int32_t half = levels->half;
    float lanes[QUASH_LANES] = { 0.0f };
    int32_t squares = 0;
    for (size_t i = 0; i < n; i++) {
        const float u = x[i] * gain;
        const float magnitude = fabsf(u);
        int32_t above = 0;
        for (int32_t t = 0; t < half - 1; t++) {
            above += levels->thresholds[t] <= magnitude;
        }
        const int32_t code = u < 0.0f ? half - 1 - above : half + above; /* -0 < 0 is false */
        const int32_t integer = levels->integers[code];
        codes[i] = (uint8_t)code;
        lanes[i % QUASH_LANES] += u * (float)integer;
        squares += integer * integer;
    }
    return (struct quash_fit){ quash_sum_lanes(lanes), squares };
}

void quash_dequantize_c(const int8_t *integers, const uint8_t *codes, size_t n, float gain,
                        float *x) {
    for (size_t i = 0; i < n; i++) {
        x[i] = gain * (float)integers[codes[i]];
    }
}
