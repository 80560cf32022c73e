/* SPDX-License-Identifier: Apache-2.0 */
/* convert_avx2.c: element types to float and back, and the search for NaN and infinity, AVX2. The
 * last few elements are left to the C reference. */
#include <float.h>
#include <immintrin.h>

#include "kernel/kernel.h"

void quash_load_f16_avx2(const void *source, size_t n, float *x) {
    const unsigned char *const bytes = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m128i halves = _mm_loadu_si128((const void *)(bytes + 2 * i));
        _mm256_storeu_ps(x + i, _mm256_cvtph_ps(halves));
    }
    quash_load_f16_c(bytes + 2 * i, n - i, x + i);
}

void quash_load_bf16_avx2(const void *source, size_t n, float *x) {
    const unsigned char *const bytes = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i upper = _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(bytes + 2 * i)));
        _mm256_storeu_si256((void *)(x + i), _mm256_slli_epi32(upper, 16));
    }
    quash_load_bf16_c(bytes + 2 * i, n - i, x + i);
}

void quash_load_i8_avx2(const void *source, size_t n, float *x) {
    const unsigned char *const bytes = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i wide = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)(bytes + i)));
        _mm256_storeu_ps(x + i, _mm256_cvtepi32_ps(wide));
    }
    quash_load_i8_c(bytes + i, n - i, x + i);
}

void quash_load_u8_avx2(const void *source, size_t n, float *x) {
    const unsigned char *const bytes = source;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(bytes + i)));
        _mm256_storeu_ps(x + i, _mm256_cvtepi32_ps(wide));
    }
    quash_load_u8_c(bytes + i, n - i, x + i);
}

void quash_store_f32_avx2(const float *x, size_t n, void *target) {
    unsigned char *const bytes = target;
    const __m256 limit = _mm256_set1_ps(FLT_MAX);
    const __m256 lower = _mm256_set1_ps(-FLT_MAX);
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256 above = _mm256_max_ps(_mm256_loadu_ps(x + i), lower);
        _mm256_storeu_ps((void *)(bytes + 4 * i), _mm256_min_ps(above, limit));
    }
    quash_store_f32_c(x + i, n - i, bytes + 4 * i);
}

/* Infinity, of either sign, becomes the number before it. */
static inline __m128i saturate_u16x8(__m128i x, int32_t infinity) {
    const __m128i magnitude = _mm_and_si128(x, _mm_set1_epi16(0x7FFF));
    return _mm_add_epi16(x, _mm_cmpeq_epi16(magnitude, _mm_set1_epi16((int16_t)infinity)));
}

void quash_store_f16_avx2(const float *x, size_t n, void *target) {
    unsigned char *const bytes = target;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m128i halves = _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT);
        _mm_storeu_si128((void *)(bytes + 2 * i), saturate_u16x8(halves, 0x7C00));
    }
    quash_store_f16_c(x + i, n - i, bytes + 2 * i);
}

void quash_store_bf16_avx2(const float *x, size_t n, void *target) {
    unsigned char *const bytes = target;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const __m256i bits = _mm256_loadu_si256((const void *)(x + i));
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
        const __m256i upper = _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
        const __m128i words =
            _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
        _mm_storeu_si128((void *)(bytes + 2 * i), saturate_u16x8(words, 0x7F80));
    }
    quash_store_bf16_c(x + i, n - i, bytes + 2 * i);
}

/* ---- NaN and infinity: all bits of the exponent are set ---------------------------------- */

size_t quash_find_nonfinite_f32_avx2(const void *source, size_t n) {
    const unsigned char *const bytes = source;
    const __m256i exponent = _mm256_set1_epi32(0x7F800000);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        __m256i found = _mm256_setzero_si256();
        for (size_t j = 0; j < 4; j++) {
            const __m256i x = _mm256_loadu_si256((const void *)(bytes + 4 * i + 32 * j));
            const __m256i bad = _mm256_cmpeq_epi32(_mm256_and_si256(x, exponent), exponent);
            found = _mm256_or_si256(found, bad);
        }
        if (!_mm256_testz_si256(found, found)) {
            break;
        }
    }
    return i + quash_find_nonfinite_f32_c(bytes + 4 * i, n - i);
}

static inline size_t skip_finite_u16(const unsigned char *bytes, size_t n, int32_t mask) {
    const __m256i exponent = _mm256_set1_epi16((int16_t)mask);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i a = _mm256_loadu_si256((const void *)(bytes + 2 * i));
        const __m256i b = _mm256_loadu_si256((const void *)(bytes + 2 * i + 32));
        const __m256i bad_a = _mm256_cmpeq_epi16(_mm256_and_si256(a, exponent), exponent);
        const __m256i bad_b = _mm256_cmpeq_epi16(_mm256_and_si256(b, exponent), exponent);
        const __m256i found = _mm256_or_si256(bad_a, bad_b);
        if (!_mm256_testz_si256(found, found)) {
            break;
        }
    }
    return i;
}

size_t quash_find_nonfinite_f16_avx2(const void *source, size_t n) {
    const unsigned char *const bytes = source;
    const size_t i = skip_finite_u16(bytes, n, 0x7C00);
    return i + quash_find_nonfinite_f16_c(bytes + 2 * i, n - i);
}

size_t quash_find_nonfinite_bf16_avx2(const void *source, size_t n) {
    const unsigned char *const bytes = source;
    const size_t i = skip_finite_u16(bytes, n, 0x7F80);
    return i + quash_find_nonfinite_bf16_c(bytes + 2 * i, n - i);
}
