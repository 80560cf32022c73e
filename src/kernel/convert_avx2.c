/* SPDX-License-Identifier: Apache-2.0 */
/* convert_avx2.c: element types to float and back, and the search for NaN and infinity, AVX2. Load
 * of F32 has no variant: it is the C library's memcpy. */
#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd_x86.h"

/* ---- Load -------------------------------------------------------------------------------- */

static INLINE __m256 load_f16x8(const void *p) {
    return _mm256_cvtph_ps(load_16_bytes(p));
}

static INLINE __m256 load_bf16x8(const void *p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_16_bytes(p)), 16));
}

static INLINE __m256 load_i8x8(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(load_8_bytes(p)));
}

static INLINE __m256 load_u8x8(const void *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(load_8_bytes(p)));
}

/* The last sixteen may repeat some of those before. */
#define DEFINE_LOAD(type, size)                                                                    \
    static INLINE void load_##type##x16(const uint8_t *from, float *x) {                           \
        _mm256_storeu_ps(x, load_##type##x8(from));                                                \
        _mm256_storeu_ps(x + 8, load_##type##x8(from + 8 * (size)));                               \
    }                                                                                              \
    void quash_load_##type##_avx2(const void *source, size_t n, float *x) {                        \
        const uint8_t *const bytes = source;                                                       \
        if (n < 16) {                                                                              \
            quash_load_##type##_c(source, n, x);                                                   \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i + 16 < n; i += 16) {                                                  \
            load_##type##x16(bytes + i * (size), x + i);                                           \
        }                                                                                          \
        load_##type##x16(bytes + (n - 16) * (size), x + n - 16);                                   \
    }

DEFINE_LOAD(f16, 2)
DEFINE_LOAD(bf16, 2)
DEFINE_LOAD(i8, 1)
DEFINE_LOAD(u8, 1)

/* ---- Store ------------------------------------------------------------------------------- */

/* 16-bit floats: an infinity, whose magnitude is `infinity`, becomes the number before it. */
static INLINE __m256i saturate_u16x16(__m256i halves, int16_t infinity) {
    const __m256i magnitude = _mm256_and_si256(halves, _mm256_set1_epi16(0x7FFF));
    const __m256i is_infinity = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(infinity));
    return _mm256_add_epi16(halves, is_infinity);
}

static INLINE void store_f32x16(const float *x, uint8_t *to) {
    UNROLL
    for (size_t i = 0; i < 16; i += 8) {
        const __m256i bits = load_32_bytes(x + i);
        const __m256i sign = _mm256_and_si256(bits, _mm256_set1_epi32(INT32_MIN));
        const __m256i magnitude = _mm256_xor_si256(bits, sign);
        const __m256i largest = _mm256_set1_epi32(0x7F7FFFFF);
        const __m256i saturated = _mm256_or_si256(sign, _mm256_min_epi32(magnitude, largest));
        store_32_bytes(to + 4 * i, saturated);
    }
}

static INLINE void store_f16x16(const float *x, uint8_t *to) {
    enum { NEAREST = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC };
    const __m128i lower = _mm256_cvtps_ph(_mm256_loadu_ps(x), NEAREST);
    const __m128i upper = _mm256_cvtps_ph(_mm256_loadu_ps(x + 8), NEAREST);
    store_32_bytes(to, saturate_u16x16(_mm256_set_m128i(upper, lower), 0x7C00));
}

/* Upper halves of 8 floats rounded to nearest even, in 32 bits each. */
static INLINE __m256i round_bf16x8(const float *x) {
    const __m256i bits = load_32_bytes(x);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF));
    return _mm256_srli_epi32(_mm256_add_epi32(bits, half), 16);
}

static INLINE void store_bf16x16(const float *x, uint8_t *to) {
    const __m256i in_lanes = _mm256_packus_epi32(round_bf16x8(x), round_bf16x8(x + 8));
    const __m256i rounded = _mm256_permute4x64_epi64(in_lanes, _MM_SHUFFLE(3, 1, 2, 0));
    store_32_bytes(to, saturate_u16x16(rounded, 0x7F80));
}

/* The last sixteen may repeat some of those before. */
#define DEFINE_STORE(type, size)                                                                   \
    void quash_store_##type##_avx2(const float *x, size_t n, void *target) {                       \
        uint8_t *const bytes = target;                                                             \
        if (n < 16) {                                                                              \
            quash_store_##type##_c(x, n, target);                                                  \
            return;                                                                                \
        }                                                                                          \
        for (size_t i = 0; i + 16 < n; i += 16) {                                                  \
            store_##type##x16(x + i, bytes + i * (size));                                          \
        }                                                                                          \
        store_##type##x16(x + n - 16, bytes + (n - 16) * (size));                                  \
    }

DEFINE_STORE(f32, 4)
DEFINE_STORE(f16, 2)
DEFINE_STORE(bf16, 2)

/* ---- NaN and infinity -------------------------------------------------------------------- */

/* Whether 128 bytes have a NaN or an infinity: those have the largest magnitudes as integers. */
static INLINE int block_nonfinite_f32(const uint8_t *p) {
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i largest = _mm256_setzero_si256();
    UNROLL
    for (size_t i = 0; i < 128; i += 32) {
        const __m256i x = _mm256_and_si256(load_32_bytes(p + i), magnitude);
        largest = _mm256_max_epi32(largest, x);
    }
    const __m256i is = _mm256_cmpgt_epi32(largest, _mm256_set1_epi32(0x7F7FFFFF));
    return _mm256_movemask_epi8(is) != 0;
}

static INLINE int block_nonfinite_u16(const uint8_t *p, int16_t infinity) {
    const __m256i magnitude = _mm256_set1_epi16(0x7FFF);
    __m256i largest = _mm256_setzero_si256();
    UNROLL
    for (size_t i = 0; i < 128; i += 32) {
        const __m256i x = _mm256_and_si256(load_32_bytes(p + i), magnitude);
        largest = _mm256_max_epi16(largest, x);
    }
    const __m256i is = _mm256_cmpgt_epi16(largest, _mm256_set1_epi16((int16_t)(infinity - 1)));
    return _mm256_movemask_epi8(is) != 0;
}

static INLINE int block_nonfinite_f16(const uint8_t *p) {
    return block_nonfinite_u16(p, 0x7C00);
}

static INLINE int block_nonfinite_bf16(const uint8_t *p) {
    return block_nonfinite_u16(p, 0x7F80);
}

/* The C kernel finds the place in a block that has one; the last block may repeat some elements. */
#define DEFINE_FIND_NONFINITE(type, size)                                                          \
    size_t quash_find_nonfinite_##type##_avx2(const void *source, size_t n) {                      \
        const uint8_t *const bytes = source;                                                       \
        const size_t block = 128 / (size);                                                         \
        size_t i = 0;                                                                              \
        for (; i + block <= n; i += block) {                                                       \
            if (block_nonfinite_##type(bytes + i * (size))) {                                      \
                return i + quash_find_nonfinite_##type##_c(bytes + i * (size), block);             \
            }                                                                                      \
        }                                                                                          \
        if (n >= block && !block_nonfinite_##type(bytes + (n - block) * (size))) {                 \
            return n;                                                                              \
        }                                                                                          \
        return i + quash_find_nonfinite_##type##_c(bytes + i * (size), n - i);                     \
    }

DEFINE_FIND_NONFINITE(f32, 4)
DEFINE_FIND_NONFINITE(f16, 2)
DEFINE_FIND_NONFINITE(bf16, 2)
