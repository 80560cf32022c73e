/* SPDX-License-Identifier: Apache-2.0 */
/* reduce_avx2.c: largest magnitude, sum of squares and multiplication by a number, AVX2. */
#include <immintrin.h>

#include "kernel/kernel.h"

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
