/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that unpacked codes are those of the canonical rows, bit for bit, and that quash_rotate is
 * the rotation of the codec, with its inverse, for every dtype and size of numbers. */
#include <float.h>

#include "base/half.h"
#include "codec/codec.h"
#include "kernel/kernel.h"

#include "support.h"

enum { ROWS = 70, DIM_MAX = 200 };

static quash_context *context;
static struct test_rng rng;
static float rows[ROWS * DIM_MAX];

static const size_t dims[] = { 1, 2, 3, 7, 8, 33, 64, 100, 128, 200 };

static quash_array view(const void *data, quash_dtype dtype, size_t dim) {
    return quash_array_view(data, dtype, 2, ROWS, (int64_t)dim, 0);
}

/* ---- Codes one by one ---------------------------------------------------------------------- */

/* Takes canonical rows with binary32 scales apart, as doc/format.md writes them down. */
static void unpack_canonical(const quash_codec *codec, const uint8_t *packed, uint8_t *codes,
                             float *scales) {
    const quash_codec_params params = quash_codec_get_params(codec);
    const size_t dim = (size_t)params.dim;
    const size_t row_bytes = quash_codec_row_bytes(codec);
    const size_t bits = (size_t)params.bits;
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *const row = packed + r * row_bytes;
        memcpy(&scales[r], row, sizeof scales[r]);
        for (size_t i = 0; i < dim; i++) {
            const size_t low_bits = bits == 3 ? 2 : bits;
            const size_t at = i * low_bits;
            const unsigned pair = row[4 + at / 8];
            unsigned code = pair >> at % 8 & ((1u << low_bits) - 1);
            if (bits == 3) {
                const unsigned high = row[4 + (dim + 3) / 4 + i / 8];
                code |= (high >> i % 8 & 1u) << 2;
            }
            codes[r * dim + i] = (uint8_t)code;
        }
    }
}

static void check_codes(const quash_codec_params *params) {
    const size_t dim = (size_t)params->dim;
    static uint8_t codes[2][ROWS * DIM_MAX];
    static uint8_t packed[ROWS * (4 + DIM_MAX / 2)];
    static float decoded[2][ROWS * DIM_MAX];
    float scales[2][ROWS];
    quash_codec *const codec = test_codec(context, params);
    const quash_array in = view(rows, QUASH_F32, dim);
    const quash_array bytes = view(codes[0], QUASH_U8, dim);
    const quash_array out = view(decoded[0], QUASH_F32, dim);
    const quash_array expected = view(decoded[1], QUASH_F32, dim);
    CHECK_EQ(quash_encode(codec, &in, packed, sizeof packed), QUASH_OK);
    CHECK_EQ(quash_decode(codec, packed, sizeof packed, &expected), QUASH_OK);
    unpack_canonical(codec, packed, codes[1], scales[1]);
    CHECK_EQ(quash_encode_codes(codec, &in, &bytes, scales[0]), QUASH_OK);
    CHECK_EQ(quash_decode_codes(codec, &bytes, scales[0], &out), QUASH_OK);
    const bool same = memcmp(codes[0], codes[1], ROWS * dim) == 0 &&
                      memcmp(scales[0], scales[1], sizeof scales[0]) == 0 &&
                      memcmp(decoded[0], decoded[1], ROWS * dim * sizeof(float)) == 0;
    if (!CHECK(same)) {
        printf("    dim %zu, %d bits, policy %d, search %d\n", dim, (int)params->bits,
               (int)params->scale_policy, (int)params->search_level);
    }
    quash_codec_free(codec);
}

TEST(codes_are_those_of_canonical_rows) {
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        for (int32_t bits = 1; bits <= 4; bits++) {
            for (int32_t policy = 0; policy <= 3; policy++) {
                for (int32_t level = 0; level <= 2; level += 2) {
                    quash_codec_params params = test_params(dims[d], bits);
                    params.scale_policy = policy;
                    params.search_level = level;
                    params.rotation_rounds = 1 + level / 2;
                    check_codes(&params);
                }
            }
        }
    }
}

/* Scales are binary32 even where the canonical row has binary16: rows beyond its range encode. */
TEST(scales_are_binary32) {
    enum { DIM = 8 };
    float scales[2][ROWS];
    static uint8_t codes[2][ROWS * DIM];
    const quash_array in = view(rows, QUASH_F32, DIM);
    float huge[DIM];
    for (int32_t half = 0; half < 2; half++) {
        quash_codec_params params = test_params(DIM, 3);
        params.scale_dtype = half ? QUASH_F16 : QUASH_F32;
        quash_codec *const codec = test_codec(context, &params);
        const quash_array bytes = view(codes[half], QUASH_U8, DIM);
        CHECK_EQ(quash_encode_codes(codec, &in, &bytes, scales[half]), QUASH_OK);
        for (size_t i = 0; i < DIM; i++) {
            huge[i] = 1e30f;
        }
        const quash_array one = quash_array_view(huge, QUASH_F32, 2, 1, DIM, 0);
        uint8_t code[DIM];
        float scale = 0.0f;
        const quash_array out = quash_array_view(code, QUASH_U8, 2, 1, DIM, 0);
        CHECK_EQ(quash_encode_codes(codec, &one, &out, &scale), QUASH_OK);
        CHECK(scale > 65504.0f);
        CHECK_EQ(quash_decode_codes(codec, &out, &scale, &one), QUASH_OK);
        CHECK_NEAR(test_dot(huge, huge, DIM) / 8e60, 1.0, 0.5);
        quash_codec_free(codec);
    }
    CHECK(memcmp(codes[0], codes[1], sizeof codes[0]) == 0);
    CHECK(memcmp(scales[0], scales[1], sizeof scales[0]) == 0);
}

/* The raw norm: codes without search, and a scale that is |x|/sqrt(dim). */
TEST(raw_norm_ignores_search) {
    enum { DIM = 100 };
    static uint8_t codes[3][ROWS * DIM];
    float scales[3][ROWS];
    const quash_array in = view(rows, QUASH_F32, DIM);
    for (int32_t level = 0; level <= 2; level++) {
        quash_codec_params params = test_params(DIM, 3);
        params.scale_policy = QUASH_SCALE_RAW_NORM;
        params.search_level = level;
        quash_codec *const codec = test_codec(context, &params);
        const quash_array bytes = view(codes[level], QUASH_U8, DIM);
        CHECK_EQ(quash_encode_codes(codec, &in, &bytes, scales[level]), QUASH_OK);
        CHECK(memcmp(codes[0], codes[level], sizeof codes[0]) == 0);
        CHECK(memcmp(scales[0], scales[level], sizeof scales[0]) == 0);
        CHECK_EQ(quash_codec_get_params(codec).search_level, level);
        quash_codec_free(codec);
    }
    for (size_t r = 0; r < ROWS; r++) {
        const double norm = sqrt(test_dot(rows + r * DIM, rows + r * DIM, DIM) / DIM);
        CHECK_NEAR(scales[0][r], norm, 1e-6 * norm);
    }
}

/* ---- Rotation ------------------------------------------------------------------------------ */

TEST(rotation_is_the_codecs) {
    static float got[ROWS * DIM_MAX];
    static float back[ROWS * DIM_MAX];
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        const size_t dim = dims[d];
        const quash_codec_params params = test_params(dim, 4);
        quash_codec *const codec = test_codec(context, &params);
        const quash_array in = view(rows, QUASH_F32, dim);
        const quash_array out = view(got, QUASH_F32, dim);
        const quash_array undone = view(back, QUASH_F32, dim);
        CHECK_EQ(quash_rotate(codec, 0, &in, &out), QUASH_OK);
        CHECK_EQ(quash_rotate(codec, 1, &out, &undone), QUASH_OK);
        const double norm = test_dot(rows, rows, ROWS * dim);
        CHECK(test_squared_error(rows, back, ROWS * dim) < 1e-12 * norm);
        CHECK_NEAR(test_dot(got, got, ROWS * dim) / norm, 1.0, 1e-5);
        memcpy(back, rows, ROWS * dim * sizeof(float));
        for (size_t r = 0; r < ROWS; r++) {
            quash_rotation_apply(&codec->rotation, codec->context->kernels, back + r * dim);
        }
        CHECK(memcmp(back, got, ROWS * dim * sizeof(float)) == 0);
        memcpy(back, rows, ROWS * dim * sizeof(float));
        CHECK_EQ(quash_rotate(codec, 0, &undone, &undone), QUASH_OK); /* in place */
        CHECK(memcmp(back, got, ROWS * dim * sizeof(float)) == 0);
        quash_codec_free(codec);
    }
}

static float narrow(quash_dtype dtype, float value) {
    switch (dtype) {
    case QUASH_F16: return quash_f16_to_f32(quash_f32_to_f16(value));
    case QUASH_BF16: return quash_bf16_to_f32(quash_f32_to_bf16(value));
    default: return value;
    }
}

/* Small integers, which every dtype holds. */
TEST(rotation_of_every_dtype) {
    enum { DIM = 24, N = ROWS * DIM };
    static float exact[N];
    static float expected[N];
    static int8_t bytes[N];
    static uint16_t halves[2][N];
    static uint16_t narrow_out[N];
    static float out[N];
    for (size_t i = 0; i < N; i++) {
        exact[i] = (float)test_below(&rng, 100);
        bytes[i] = (int8_t)exact[i];
        halves[0][i] = quash_f32_to_f16(exact[i]);
        halves[1][i] = quash_f32_to_bf16(exact[i]);
    }
    const void *const inputs[] = { exact, halves[0], halves[1], bytes, bytes };
    const quash_codec_params params = test_params(DIM, 4);
    quash_codec *const codec = test_codec(context, &params);
    const quash_array reference = view(expected, QUASH_F32, DIM);
    quash_array in = view(exact, QUASH_F32, DIM);
    CHECK_EQ(quash_rotate(codec, 0, &in, &reference), QUASH_OK);
    for (int dtype = QUASH_F32; dtype <= QUASH_U8; dtype++) {
        in = view(inputs[dtype], (quash_dtype)dtype, DIM);
        const quash_array wide = view(out, QUASH_F32, DIM);
        CHECK_EQ(quash_rotate(codec, 0, &in, &wide), QUASH_OK);
        CHECK(memcmp(out, expected, sizeof out) == 0);
    }
    for (int dtype = QUASH_F16; dtype <= QUASH_BF16; dtype++) {
        const quash_array half = view(narrow_out, (quash_dtype)dtype, DIM);
        in = view(exact, QUASH_F32, DIM);
        CHECK_EQ(quash_rotate(codec, 0, &in, &half), QUASH_OK);
        for (size_t i = 0; i < N; i++) {
            const float value = dtype == QUASH_F16 ? quash_f16_to_f32(narrow_out[i])
                                                   : quash_bf16_to_f32(narrow_out[i]);
            CHECK(value == narrow((quash_dtype)dtype, expected[i]));
        }
    }
    quash_codec_free(codec);
}

/* Numbers near the top of binary32 stay finite, and equal those of small rows times a power of two
 * where nothing is cut off; denormals survive. */
TEST(rotation_of_any_size) {
    for (size_t d = 0; d < COUNT_OF(dims); d++) {
        const size_t dim = dims[d];
        float x[DIM_MAX];
        float small[DIM_MAX];
        const quash_codec_params params = test_params(dim, 4);
        quash_codec *const codec = test_codec(context, &params);
        const quash_array large = quash_array_view(x, QUASH_F32, 2, 1, (int64_t)dim, 0);
        const quash_array one = quash_array_view(small, QUASH_F32, 2, 1, (int64_t)dim, 0);
        for (int32_t inverse = 0; inverse < 2; inverse++) {
            for (size_t i = 0; i < dim; i++) {
                small[i] = (test_word(&rng) & 1) != 0 ? 0.74f : -0.74f;
                x[i] = ldexpf(small[i], 127); /* 1.26e38 */
            }
            CHECK_EQ(quash_rotate(codec, inverse, &large, &large), QUASH_OK);
            CHECK_EQ(quash_rotate(codec, inverse, &one, &one), QUASH_OK);
            for (size_t i = 0; i < dim; i++) {
                const double value =
                    fmin(fmax(ldexp((double)small[i], 127), -(double)FLT_MAX), (double)FLT_MAX);
                CHECK((double)x[i] == value);
                small[i] = FLT_MAX;
            }
            CHECK_EQ(quash_rotate(codec, inverse, &one, &one), QUASH_OK);
            double squares = 0.0;
            for (size_t i = 0; i < dim; i++) {
                CHECK(isfinite(small[i]));
                small[i] = 0x1p-140f;
            }
            CHECK_EQ(quash_rotate(codec, inverse, &one, &one), QUASH_OK);
            for (size_t i = 0; i < dim; i++) {
                squares += ldexp((double)small[i], 140) * ldexp((double)small[i], 140);
            }
            CHECK_NEAR(squares / (double)dim, 1.0, 0.05);
        }
        quash_codec_free(codec);
    }
}

int main(void) {
    context = test_context(NULL);
    rng = test_rng_start(51);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    RUN(codes_are_those_of_canonical_rows);
    RUN(scales_are_binary32);
    RUN(raw_norm_ignores_search);
    RUN(rotation_is_the_codecs);
    RUN(rotation_of_every_dtype);
    RUN(rotation_of_any_size);
    quash_context_free(context);
    return test_report();
}
