/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_avx2.c: largest magnitude and multiplication by a number, AVX2. */
#include <immintrin.h>
#include <math.h>

#include "kernel/kernel.h"

float quash_max_abs_avx2(const float *x, size_t n) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 largest[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(),
                          _mm256_setzero_ps() };
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        for (size_t j = 0; j < 4; j++) {
            const __m256 part = _mm256_loadu_ps(x + i + 8 * j);
            largest[j] = _mm256_max_ps(largest[j], _mm256_andnot_ps(sign, part));
        }
    }
    largest[0] = _mm256_max_ps(largest[0], largest[1]);
    largest[2] = _mm256_max_ps(largest[2], largest[3]);
    float lanes[8];
    _mm256_storeu_ps(lanes, _mm256_max_ps(largest[0], largest[2]));
    float result = 0.0f;
    for (size_t j = 0; j < 8; j++) {
        result = lanes[j] > result ? lanes[j] : result;
    }
    for (; i < n; i++) {
        const float magnitude = fabsf(x[i]);
        result = magnitude > result ? magnitude : result;
    }
    return result;
}

void quash_multiply_avx2(float *x, size_t n, float factor) {
    const __m256 by = _mm256_set1_ps(factor);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), by));
    }
    for (; i < n; i++) {
        x[i] *= factor;
    }
}
