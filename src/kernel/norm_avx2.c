/* SPDX-License-Identifier: Apache-2.0 */
/* norm_avx2.c: sum of squares, AVX2: two registers hold the 16 lanes. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/lanes.h"

float quash_sum_squares_avx2(const float *x, size_t n) {
    __m256 low = _mm256_setzero_ps();
    __m256 high = _mm256_setzero_ps();
    size_t i = 0;
    for (; i + QUASH_LANES <= n; i += QUASH_LANES) {
        const __m256 a = _mm256_loadu_ps(x + i);
        const __m256 b = _mm256_loadu_ps(x + i + 8);
        low = _mm256_add_ps(low, _mm256_mul_ps(a, a));
        high = _mm256_add_ps(high, _mm256_mul_ps(b, b));
    }
    float lanes[QUASH_LANES];
    _mm256_storeu_ps(lanes, low);
    _mm256_storeu_ps(lanes + 8, high);
    for (; i < n; i++) {
        lanes[i % QUASH_LANES] += x[i] * x[i];
    }
    return quash_sum_lanes(lanes);
}
