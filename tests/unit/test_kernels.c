/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the kernels of encoding and decoding against their definitions in kernel.h, computed here
 * in double or integers: reductions, rotation, quantization at and around its thresholds, and the
 * element types. Every CPU level that this machine has is tested. */
#include <float.h>

#include "levels.h"
#include "support.h"

#include "base/half.h"
#include "codec/codebook.h"
#include "kernel/kernel.h"

#define MAX 512

/* The table under test; set by main. */
static struct quash_kernels table;
static const struct quash_kernels *const kernels = &table;

/* ---- Reductions -------------------------------------------------------------------------- */

TEST(max_abs_is_the_largest_magnitude) {
    struct test_rng rng = test_rng_start(1);
    float x[MAX] = { 0.0f };
    for (size_t n = 0; n <= 100; n++) {
        test_fill_gaussian(&rng, x, n);
        float largest = 0.0f;
        for (size_t i = 0; i < n; i++) {
            largest = fmaxf(largest, fabsf(x[i]));
        }
        CHECK(kernels->max_abs(x, n) == largest);
        if (n > 0) {
            x[test_below(&rng, n)] = -FLT_MAX;
            CHECK(kernels->max_abs(x, n) == FLT_MAX);
        }
    }
    x[0] = -0x1p-149f;
    CHECK(kernels->max_abs(x, 1) == 0x1p-149f);
}

TEST(sum_squares_adds_in_its_fixed_order) {
    struct test_rng rng = test_rng_start(2);
    float x[MAX] = { 0.0f };
    for (size_t n = 0; n <= MAX; n++) {
        test_fill_gaussian(&rng, x, n);
        const float sum = kernels->sum_squares(x, n);
        const double naive = test_dot(x, x, n);
        CHECK_NEAR((double)sum, naive, 1e-6 * naive);
        float lanes[16] = { 0.0f }; /* the order of doc/format.md */
        for (size_t i = 0; i < n; i++) {
            const float square = x[i] * x[i];
            lanes[i % 16] += square;
        }
        for (size_t half = 8; half >= 1; half /= 2) {
            for (size_t i = 0; i < half; i++) {
                lanes[i] += lanes[i + half];
            }
        }
        CHECK(sum == lanes[0]);
    }
}

TEST(multiply_rounds_each_product_once) {
    struct test_rng rng = test_rng_start(3);
    for (size_t n = 0; n <= 100; n++) {
        float x[MAX] = { 0.0f };
        float y[MAX];
        test_fill_gaussian(&rng, x, n + 1);
        memcpy(y, x, sizeof y);
        kernels->multiply(y, n, 0.37f);
        for (size_t i = 0; i < n; i++) {
            CHECK(y[i] == (float)((double)x[i] * (double)0.37f)); /* exact in double */
        }
        CHECK(y[n] == x[n]);
    }
}

/* ---- Rotation ---------------------------------------------------------------------------- */

static int parity(size_t bits) {
    int odd = 0;
    for (; bits != 0; bits &= bits - 1) {
        odd ^= 1;
    }
    return odd;
}

/* Element (i, j) of the Hadamard matrix is -1 to the number of common one bits of i and j. */
TEST(rotate_is_signs_then_hadamard) {
    struct test_rng rng = test_rng_start(4);
    for (size_t width = 1; width <= MAX; width *= 2) {
        float x[MAX] = { 0.0f };
        float y[MAX];
        uint8_t signs[MAX / 8 + 1];
        for (size_t i = 0; i < sizeof signs; i++) {
            signs[i] = (uint8_t)test_word(&rng);
        }
        const float factor = (float)(1.0 / sqrt((double)width));
        test_fill_gaussian(&rng, x, width);
        memcpy(y, x, sizeof y);
        kernels->rotate(y, width, signs, factor);
        const double norm = sqrt(test_dot(x, x, width));
        for (size_t i = 0; i < width; i++) {
            double sum = 0.0;
            for (size_t j = 0; j < width; j++) {
                const int negative = parity(i & j) ^ (signs[j / 8] >> j % 8 & 1);
                sum += negative ? -(double)x[j] : (double)x[j];
            }
            CHECK_NEAR((double)y[i], sum * (double)factor, 1e-6 * norm);
        }
        kernels->unrotate(y, width, signs, factor);
        CHECK(test_squared_error(x, y, width) <= 1e-12 * norm * norm);
    }
}

TEST(half_butterfly_is_its_own_inverse) {
    struct test_rng rng = test_rng_start(5);
    for (size_t n = 0; n <= 67; n++) {
        float x[MAX] = { 0.0f };
        float y[MAX];
        test_fill_gaussian(&rng, x, n + 1);
        memcpy(y, x, sizeof y);
        kernels->half_butterfly(y, n);
        const size_t upper = (n + 1) / 2;
        for (size_t i = 0; i < n / 2; i++) {
            const double a = (double)x[i];
            const double b = (double)x[i + upper];
            CHECK_NEAR((double)y[i], (a + b) / sqrt(2.0), 1e-6);
            CHECK_NEAR((double)y[i + upper], (a - b) / sqrt(2.0), 1e-6);
        }
        if (n % 2 == 1) {
            CHECK(y[n / 2] == x[n / 2]); /* the middle stays */
        }
        CHECK(y[n] == x[n]);
        kernels->half_butterfly(y, n);
        CHECK(test_squared_error(x, y, n) <= 1e-12 * (double)(n + 1));
    }
}

/* ---- Quantization ------------------------------------------------------------------------ */

static struct quash_levels levels_of(int32_t bits) {
    const struct quash_codebook *const book = quash_codebook_for(bits);
    return (struct quash_levels){ book->half, book->values, book->thresholds };
}

static int32_t naive_code(const struct quash_levels *levels, float u) {
    int32_t above = 0;
    for (int32_t t = 0; t + 1 < levels->half; t++) {
        above += (double)levels->thresholds[t] <= fabs((double)u) ? 1 : 0;
    }
    return u < 0.0f ? levels->half - 1 - above : levels->half + above;
}

static void check_quantize(int32_t bits, const float *x, size_t n, float gain) {
    const struct quash_levels levels = levels_of(bits);
    uint8_t codes[MAX + 1];
    memset(codes, 0xEE, sizeof codes);
    const struct quash_fit fit = kernels->quantize(&levels, x, n, gain, codes);
    double dot = 0.0;
    double size = 0.0;
    int64_t squares = 0;
    for (size_t i = 0; i < n; i++) {
        const float u = (float)((double)x[i] * (double)gain);
        const int32_t code = naive_code(&levels, u);
        CHECK_EQ(codes[i], code);
        dot += (double)u * levels.integers[code];
        size += fabs((double)u * levels.integers[code]);
        squares += levels.integers[code] * levels.integers[code];
    }
    CHECK_EQ(codes[n], 0xEE);
    CHECK_EQ(fit.squares, squares);
    CHECK_NEAR((double)fit.dot, dot, 1e-5 * size);
}

TEST(quantize_keeps_its_definition) {
    struct test_rng rng = test_rng_start(6);
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (size_t n = 0; n <= 100; n++) {
            float x[MAX] = { 0.0f };
            test_fill_gaussian(&rng, x, n);
            check_quantize(bits, x, n, 1.0f);
            check_quantize(bits, x, n, 0.3f);
        }
    }
}

/* A magnitude equal to a threshold belongs to the outer level, one binary32 below to the inner. */
TEST(quantize_at_its_thresholds) {
    for (int32_t bits = 1; bits <= 4; bits++) {
        const struct quash_levels levels = levels_of(bits);
        const int32_t half = levels.half;
        for (int32_t t = 0; t + 1 < half; t++) {
            const float threshold = levels.thresholds[t];
            const float below = nextafterf(threshold, 0.0f);
            const float x[5] = { threshold, -threshold, below, -below,
                                 nextafterf(threshold, 9.0f) };
            uint8_t codes[5];
            (void)kernels->quantize(&levels, x, 5, 1.0f, codes);
            CHECK_EQ(codes[0], half + t + 1);
            CHECK_EQ(codes[1], half - 2 - t);
            CHECK_EQ(codes[2], half + t);
            CHECK_EQ(codes[3], half - 1 - t);
            CHECK_EQ(codes[4], half + t + 1);
        }
        const float x[6] = { 0.0f, -0.0f, 0x1p-149f, -0x1p-149f, FLT_MAX, -FLT_MAX };
        uint8_t codes[6];
        (void)kernels->quantize(&levels, x, 6, 1.0f, codes);
        CHECK_EQ(codes[0], half);
        CHECK_EQ(codes[1], half);
        CHECK_EQ(codes[2], half);
        CHECK_EQ(codes[3], half - 1);
        CHECK_EQ(codes[4], 2 * half - 1);
        CHECK_EQ(codes[5], 0);
    }
}

TEST(dequantize_looks_up_and_multiplies) {
    for (int32_t bits = 1; bits <= 4; bits++) {
        const struct quash_levels levels = levels_of(bits);
        for (size_t n = 0; n <= 70; n++) {
            uint8_t codes[MAX];
            float x[MAX] = { 0.0f };
            for (size_t i = 0; i < n; i++) {
                codes[i] = (uint8_t)(i * 7 % (size_t)(2 * levels.half));
            }
            x[n] = 5.0f;
            kernels->dequantize(levels.integers, codes, n, 0.37f, x);
            for (size_t i = 0; i < n; i++) {
                CHECK(x[i] == (float)((double)0.37f * levels.integers[codes[i]]));
            }
            CHECK(x[n] == 5.0f);
        }
    }
}

/* ---- Element types ----------------------------------------------------------------------- */

TEST(load_is_exact_and_needs_no_alignment) {
    static unsigned char bytes[1 + 65536 * 2];
    static float x[65537];
    for (uint32_t half = 0; half < 65536; half++) {
        const uint16_t pattern = (uint16_t)half;
        memcpy(bytes + 1 + 2 * half, &pattern, 2);
    }
    kernels->load[QUASH_F16](bytes + 1, 65536, x);
    bool same = true;
    for (uint32_t half = 0; half < 65536; half++) {
        const float value = quash_f16_to_f32((uint16_t)half);
        same &= isnan(value) ? isnan(x[half]) : quash_f32_bits(x[half]) == quash_f32_bits(value);
    }
    CHECK(same);
    kernels->load[QUASH_BF16](bytes + 1, 65536, x);
    for (uint32_t half = 0; half < 65536; half++) {
        const float value = quash_bf16_to_f32((uint16_t)half);
        same &= isnan(value) ? isnan(x[half]) : quash_f32_bits(x[half]) == quash_f32_bits(value);
    }
    CHECK(same);
    for (size_t n = 0; n <= 256; n++) {
        for (size_t i = 0; i < 256; i++) {
            bytes[i] = (unsigned char)i;
        }
        x[n] = -7.5f;
        kernels->load[QUASH_U8](bytes, n, x);
        for (size_t i = 0; i < n; i++) {
            CHECK(x[i] == (float)i);
        }
        CHECK(x[n] == -7.5f);
        kernels->load[QUASH_I8](bytes, n, x);
        for (size_t i = 0; i < n; i++) {
            CHECK(x[i] == (i < 128 ? (float)i : (float)i - 256.0f));
        }
        CHECK(x[n] == -7.5f);
        float y[257];
        kernels->load[QUASH_F32](bytes + 1, n < 32 ? n : 32, y);
        CHECK(memcmp(y, bytes + 1, 4 * (n < 32 ? n : 32)) == 0);
    }
}

TEST(store_rounds_and_saturates) {
    /* Ties of either kind among the first 16, which SIMD variants see. */
    static const float x[] = {
        1.0f + 0x1p-8f, -1.0f - 0x1.8p-7f, 1.0f + 0x1p-11f, 1.0f,        0.0f,
        -0.0f,          65504.0f,          65519.996f,      65520.0f,    -65520.0f,
        FLT_MAX,        -FLT_MAX,          INFINITY,        -INFINITY,   0x1p-25f,
        -0x1p-26f,      0x1p-149f,         0x1.fefffep127f, 0x1.ffp127f, -0x1.ffp127f
    };
    enum { N = COUNT_OF(x) };
    unsigned char bytes[1 + 4 * N + 1];
    for (int32_t dtype = QUASH_F32; dtype <= QUASH_BF16; dtype++) {
        const size_t size = dtype == QUASH_F32 ? 4 : 2;
        memset(bytes, 0xEE, sizeof bytes);
        kernels->store[dtype](x, N, bytes + 1);
        CHECK_EQ(bytes[1 + size * N], 0xEE);
        for (size_t i = 0; i < N; i++) {
            uint32_t found = 0;
            uint32_t expected = quash_f32_bits(fmaxf(fminf(x[i], FLT_MAX), -FLT_MAX));
            memcpy(&found, bytes + 1 + size * i, size);
            if (dtype == QUASH_F16) {
                expected = quash_f32_to_f16(fmaxf(fminf(x[i], 65504.0f), -65504.0f));
            } else if (dtype == QUASH_BF16) {
                expected = quash_f32_to_bf16(fmaxf(fminf(x[i], 0x1.fep127f), -0x1.fep127f));
            }
            CHECK_EQ(found, expected);
        }
    }
}

/* One NaN or infinity at a time, at every place, among numbers as large as there are. */
TEST(find_nonfinite_gives_the_first) {
    enum { N = 200 };
    static const uint32_t finite[3] = { 0xFF7FFFFFu, 0xFBFFu, 0xFF7Fu };
    static const uint32_t bad[3][4] = { { 0x7F800000u, 0xFF800000u, 0x7F800001u, 0xFFFFFFFFu },
                                        { 0x7C00u, 0xFC00u, 0x7C01u, 0xFFFFu },
                                        { 0x7F80u, 0xFF80u, 0x7F81u, 0xFFFFu } };
    unsigned char bytes[1 + 4 * N];
    for (int32_t dtype = QUASH_F32; dtype <= QUASH_BF16; dtype++) {
        const size_t size = dtype == QUASH_F32 ? 4 : 2;
        for (size_t i = 0; i < N; i++) {
            memcpy(bytes + 1 + size * i, &finite[dtype], size); /* little-endian */
        }
        for (size_t n = 0; n <= N; n++) {
            CHECK_EQ(kernels->find_nonfinite[dtype](bytes + 1, n), n);
        }
        for (size_t i = 0; i < N; i++) {
            unsigned char *const place = bytes + 1 + size * i;
            memcpy(place, &bad[dtype][i % 4], size);
            CHECK_EQ(kernels->find_nonfinite[dtype](bytes + 1, N), i);
            CHECK_EQ(kernels->find_nonfinite[dtype](bytes + 1, i + 1), i);
            CHECK_EQ(kernels->find_nonfinite[dtype](bytes + 1, i), i);
            memcpy(place, &finite[dtype], size);
        }
        memcpy(bytes + 1 + size * 150, &bad[dtype][0], size);
        memcpy(bytes + 1 + size * 190, &bad[dtype][1], size);
        CHECK_EQ(kernels->find_nonfinite[dtype](bytes + 1, N), 150);
    }
}

int main(void) {
    for (int i = QUASH_CPU_C; i < QUASH_CPU_LEVELS; i++) {
        const enum quash_cpu_level level = (enum quash_cpu_level)i;
        if (!test_level(level)) {
            continue;
        }
        quash_kernels_fill(&table, level);
        RUN(max_abs_is_the_largest_magnitude);
        RUN(sum_squares_adds_in_its_fixed_order);
        RUN(multiply_rounds_each_product_once);
        RUN(rotate_is_signs_then_hadamard);
        RUN(half_butterfly_is_its_own_inverse);
        RUN(quantize_keeps_its_definition);
        RUN(quantize_at_its_thresholds);
        RUN(dequantize_looks_up_and_multiplies);
        RUN(load_is_exact_and_needs_no_alignment);
        RUN(store_rounds_and_saturates);
        RUN(find_nonfinite_gives_the_first);
    }
    return test_report();
}
