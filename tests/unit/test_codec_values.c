/* SPDX-License-Identifier: Apache-2.0 */
/* Proves what encoding and decoding make of unusual values: zero rows, denormals, constant and
 * one-hot rows, rows near the largest binary32, scales beyond binary16 and binary32, minus zero,
 * NaN and infinity, decoding that saturates, and the meaning of each scale policy. */
#include <float.h>

#include "support.h"

#include "base/half.h"

#define DIM 100

static quash_context *context;

struct setup {
    quash_codec *codec;
    size_t row_bytes;
    uint8_t codes[16 * (4 + QUASH_DIM_MAX / 64)];
    float decoded[16 * 256];
};

static struct setup start(size_t dim, int32_t bits, int32_t policy, int32_t scale_dtype) {
    struct setup s = { 0 };
    quash_codec_params params = test_params(dim, bits);
    params.scale_policy = policy;
    params.scale_dtype = scale_dtype;
    params.search_level = bits % 3;
    s.codec = test_codec(context, &params);
    s.row_bytes = quash_codec_row_bytes(s.codec);
    return s;
}

static quash_status encode(struct setup *s, const float *rows, int64_t count) {
    const int64_t dim = quash_codec_get_params(s->codec).dim;
    const quash_array in = quash_array_view(rows, QUASH_F32, 2, count, dim, 0);
    return quash_encode(s->codec, &in, s->codes, sizeof s->codes);
}

static quash_status decode(struct setup *s, int64_t count) {
    const int64_t dim = quash_codec_get_params(s->codec).dim;
    const quash_array out = quash_array_view(s->decoded, QUASH_F32, 2, count, dim, 0);
    return quash_decode(s->codec, s->codes, sizeof s->codes, &out);
}

/* Relative squared error of one row after a round trip. */
static double round_trip(struct setup *s, const float *row) {
    const size_t dim = (size_t)quash_codec_get_params(s->codec).dim;
    CHECK_EQ(encode(s, row, 1), QUASH_OK);
    CHECK_EQ(decode(s, 1), QUASH_OK);
    return test_squared_error(row, s->decoded, dim) / test_dot(row, row, dim);
}

static const int32_t scale_dtypes[] = { QUASH_F32, QUASH_F16 };

TEST(zero_rows_decode_to_zeros) {
    static const float zeros[2][DIM];
    float minus[DIM];
    for (size_t i = 0; i < DIM; i++) {
        minus[i] = -0.0f;
    }
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (int32_t policy = QUASH_SCALE_LEAST_SQUARES; policy <= QUASH_SCALE_RAW_NORM; policy++) {
            for (size_t d = 0; d < 2; d++) {
                struct setup s = start(DIM, bits, policy, scale_dtypes[d]);
                CHECK_EQ(encode(&s, zeros[0], 2), QUASH_OK);
                CHECK(memcmp(s.codes, s.codes + s.row_bytes, s.row_bytes) == 0);
                memset(s.decoded, 0xFF, sizeof s.decoded);
                CHECK_EQ(decode(&s, 2), QUASH_OK);
                for (size_t i = 0; i < sizeof zeros / sizeof(float); i++) {
                    CHECK(s.decoded[i] == 0.0f);
                }
                uint8_t expected[4 + DIM];
                memcpy(expected, s.codes, s.row_bytes);
                CHECK_EQ(encode(&s, minus, 1), QUASH_OK); /* -0 is 0 */
                CHECK(memcmp(expected, s.codes, s.row_bytes) == 0);
                quash_codec_free(s.codec);
            }
        }
    }
}

/* The signs of the rotation make minus zeros of zeros: a row with some -0 gives the same bytes. */
TEST(minus_zero_is_zero) {
    struct test_rng rng = test_rng_start(1);
    for (int32_t bits = 1; bits <= 4; bits++) {
        struct setup s = start(DIM, bits, QUASH_SCALE_LEAST_SQUARES, QUASH_F32);
        uint8_t expected[4 + DIM];
        float row[DIM];
        test_fill_gaussian(&rng, row, DIM);
        row[0] = row[1] = row[7] = row[99] = 0.0f;
        CHECK_EQ(encode(&s, row, 1), QUASH_OK);
        memcpy(expected, s.codes, s.row_bytes);
        row[0] = row[7] = row[99] = -0.0f;
        CHECK_EQ(encode(&s, row, 1), QUASH_OK);
        CHECK(memcmp(expected, s.codes, s.row_bytes) == 0);
        quash_codec_free(s.codec);
    }
}

/* Scaling a row by a power of two scales what is decoded, down to where scales become denormal. */
TEST(powers_of_two_change_only_the_scale) {
    struct test_rng rng = test_rng_start(2);
    struct setup s = start(DIM, 4, QUASH_SCALE_LEAST_SQUARES, QUASH_F32);
    uint8_t expected[4 + DIM];
    float row[DIM];
    float scaled[DIM];
    float scale = 0.0f;
    test_fill_gaussian(&rng, row, DIM);
    CHECK_EQ(encode(&s, row, 1), QUASH_OK);
    memcpy(&scale, s.codes, sizeof scale);
    memcpy(expected, s.codes, s.row_bytes);
    for (int exponent = -100; exponent <= 124; exponent += 7) {
        for (size_t i = 0; i < DIM; i++) {
            scaled[i] = ldexpf(row[i], exponent);
        }
        CHECK_EQ(encode(&s, scaled, 1), QUASH_OK);
        float found = 0.0f;
        memcpy(&found, s.codes, sizeof found);
        CHECK(found == ldexpf(scale, exponent));
        CHECK(memcmp(expected + 4, s.codes + 4, s.row_bytes - 4) == 0);
    }
    quash_codec_free(s.codec);
}

TEST(denormal_rows_are_kept) {
    struct test_rng rng = test_rng_start(3);
    float row[DIM];
    for (int32_t bits = 2; bits <= 4; bits++) {
        struct setup s = start(DIM, bits, QUASH_SCALE_LEAST_SQUARES, QUASH_F32);
        const double bound = bits == 2 ? 0.2 : (bits == 3 ? 0.06 : 0.02);
        for (int exponent = -128; exponent >= -138; exponent -= 2) {
            for (size_t i = 0; i < DIM; i++) {
                row[i] = ldexpf((float)test_normal(&rng), exponent);
            }
            CHECK(round_trip(&s, row) < bound);
        }
        for (size_t i = 0; i < DIM; i++) { /* the smallest number there is */
            row[i] = i % 3 == 0 ? -0x1p-149f : 0x1p-149f;
        }
        CHECK(round_trip(&s, row) < 2.0); /* one step of binary32 is as large as the row */
        quash_codec_free(s.codec);
    }
    /* A binary16 scale ends at 2^-24: smaller rows become zeros. */
    struct setup s = start(DIM, 4, QUASH_SCALE_LEAST_SQUARES, QUASH_F16);
    for (size_t i = 0; i < DIM; i++) {
        row[i] = i % 2 == 0 ? 0x1p-30f : -0x1p-30f;
    }
    CHECK_EQ(encode(&s, row, 1), QUASH_OK);
    CHECK(s.codes[0] == 0 && s.codes[1] == 0);
    CHECK_EQ(decode(&s, 1), QUASH_OK);
    for (size_t i = 0; i < DIM; i++) {
        CHECK(s.decoded[i] == 0.0f);
    }
    quash_codec_free(s.codec);
}

/* The least-squares error never exceeds the row; at a dim without power-of-two structure it is near
 * that of a Gaussian row. */
TEST(constant_and_one_hot_rows) {
    static const size_t dims[] = { 1, 2, 3, 7, 64, 100, 128, 200 };
    static const double bounds[] = { 0.7, 0.25, 0.1, 0.04 };
    for (size_t k = 0; k < COUNT_OF(dims); k++) {
        for (int32_t bits = 1; bits <= 4; bits++) {
            struct setup s = start(dims[k], bits, QUASH_SCALE_LEAST_SQUARES, QUASH_F32);
            float row[256];
            for (size_t i = 0; i < dims[k]; i++) {
                row[i] = -3.5f;
            }
            const double bound = dims[k] == 100 || dims[k] == 200 ? bounds[bits - 1] : 1.0;
            CHECK(round_trip(&s, row) <= bound);
            for (size_t hot = 0; hot < dims[k]; hot += 1 + dims[k] / 9) {
                memset(row, 0, sizeof row);
                row[hot] = 1e-3f;
                CHECK(round_trip(&s, row) <= bound);
            }
            quash_codec_free(s.codec);
        }
    }
}

TEST(rows_near_the_largest_number) {
    struct test_rng rng = test_rng_start(4);
    float row[DIM];
    for (int32_t bits = 2; bits <= 4; bits++) {
        struct setup s = start(DIM, bits, QUASH_SCALE_LEAST_SQUARES, QUASH_F32);
        const double bound = bits == 2 ? 0.2 : (bits == 3 ? 0.06 : 0.02);
        for (size_t i = 0; i < DIM; i++) {
            row[i] = (test_word(&rng) & 1u) != 0 ? 0.9f * FLT_MAX : -0.9f * FLT_MAX;
        }
        CHECK(round_trip(&s, row) < bound); /* saturation can only help here */
        for (size_t i = 0; i < DIM; i++) {
            CHECK(isfinite(s.decoded[i]));
        }
        memset(row, 0, sizeof row);
        row[17] = -FLT_MAX;
        CHECK(round_trip(&s, row) < bound);
        quash_codec_free(s.codec);
    }
}

TEST(scales_out_of_range_are_reported) {
    float rows[5][DIM];
    for (size_t r = 0; r < 5; r++) {
        for (size_t i = 0; i < DIM; i++) {
            rows[r][i] = r == 2 || r == 4 ? 70000.0f : 60000.0f;
        }
    }
    struct setup s = start(DIM, 4, QUASH_SCALE_RAW_NORM, QUASH_F16);
    CHECK_FAILS(encode(&s, rows[0], 5), QUASH_ERROR_ARGUMENT,
                "rows: the scale of row 2 exceeds binary16 (65504); use scale_dtype QUASH_F32");
    CHECK_EQ(encode(&s, rows[0], 2), QUASH_OK);
    quash_codec_free(s.codec);
    s = start(DIM, 4, QUASH_SCALE_RAW_NORM, QUASH_F32);
    CHECK_EQ(encode(&s, rows[0], 5), QUASH_OK);
    quash_codec_free(s.codec);
    /* At 1 bit the unbiased scale is about 1.57 times the raw one. */
    s = start(DIM, 1, QUASH_SCALE_UNBIASED, QUASH_F32);
    for (size_t i = 0; i < DIM; i++) {
        rows[1][i] = FLT_MAX;
    }
    CHECK_FAILS(encode(&s, rows[0], 5), QUASH_ERROR_ARGUMENT,
                "rows: the scale of row 1 exceeds binary32");
    quash_codec_free(s.codec);
}

TEST(nothing_is_written_for_nan_and_infinity) {
    static const int32_t dtypes[] = { QUASH_F32, QUASH_F16, QUASH_BF16 };
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    enum { ROWS = 70 }; /* more than one task */
    static float rows[ROWS][DIM];
    static uint16_t halves[ROWS][DIM];
    static uint8_t codes[ROWS * (4 + DIM / 2)];
    struct setup s = start(DIM, 4, QUASH_SCALE_LEAST_SQUARES, QUASH_F32);
    for (size_t d = 0; d < COUNT_OF(dtypes); d++) {
        for (size_t b = 0; b < COUNT_OF(bad); b++) {
            memset(rows, 0, sizeof rows);
            rows[66][3] = bad[b];
            rows[66][99] = bad[b];
            rows[67][0] = bad[b];
            for (size_t i = 0; i < ROWS * DIM; i++) {
                const float value = rows[i / DIM][i % DIM];
                halves[i / DIM][i % DIM] =
                    dtypes[d] == QUASH_F16 ? quash_f32_to_f16(value) : quash_f32_to_bf16(value);
            }
            const void *const data = dtypes[d] == QUASH_F32 ? (const void *)rows : halves;
            const quash_array in = quash_array_view(data, (quash_dtype)dtypes[d], 2, ROWS, DIM, 0);
            memset(codes, 0x5A, sizeof codes);
            CHECK_FAILS(quash_encode(s.codec, &in, codes, sizeof codes), QUASH_ERROR_ARGUMENT,
                        "rows: NaN or infinity in row 66, column 3");
            for (size_t i = 0; i < sizeof codes; i++) {
                CHECK(codes[i] == 0x5A);
            }
        }
    }
    quash_codec_free(s.codec);
}

/* A large scale over a narrow dtype: the largest finite number, never infinity. */
TEST(decoding_saturates) {
    struct setup s = start(DIM, 2, QUASH_SCALE_RAW_NORM, QUASH_F32);
    float row[DIM] = { 0.0f };
    row[5] = FLT_MAX;
    row[6] = -FLT_MAX;
    CHECK_EQ(encode(&s, row, 1), QUASH_OK);
    const float scale = FLT_MAX;
    memcpy(s.codes, &scale, sizeof scale);
    static const uint16_t largest[] = { 0, 0x7BFF, 0x7F7F };
    for (int32_t dtype = QUASH_F16; dtype <= QUASH_BF16; dtype++) {
        uint16_t out[DIM];
        const quash_array array = quash_array_view(out, (quash_dtype)dtype, 2, 1, DIM, 0);
        CHECK_EQ(quash_decode(s.codec, s.codes, sizeof s.codes, &array), QUASH_OK);
        int saturated[2] = { 0 };
        for (size_t i = 0; i < DIM; i++) {
            CHECK((out[i] & 0x7FFFu) <= largest[dtype]);
            saturated[out[i] >> 15] += (out[i] & 0x7FFFu) == largest[dtype];
        }
        CHECK(saturated[0] > 0);
        CHECK(saturated[1] > 0);
    }
    CHECK_EQ(decode(&s, 1), QUASH_OK);
    for (size_t i = 0; i < DIM; i++) {
        CHECK(isfinite(s.decoded[i]));
    }
    quash_codec_free(s.codec);
}

TEST(scale_policies_keep_their_promise) {
    struct test_rng rng = test_rng_start(5);
    float row[DIM];
    for (int32_t bits = 1; bits <= 4; bits++) {
        for (int trial = 0; trial < 20; trial++) {
            double errors[4];
            test_fill_gaussian(&rng, row, DIM);
            const double norm = sqrt(test_dot(row, row, DIM));
            for (int32_t policy = 0; policy <= QUASH_SCALE_RAW_NORM; policy++) {
                struct setup s = start(DIM, bits, policy, QUASH_F32);
                float scale = 0.0f;
                errors[policy] = round_trip(&s, row);
                memcpy(&scale, s.codes, sizeof scale);
                const double length = sqrt(test_dot(s.decoded, s.decoded, DIM));
                const double along = test_dot(s.decoded, row, DIM);
                if (policy == QUASH_SCALE_NORM) {
                    CHECK_NEAR(length / norm, 1.0, 3e-6);
                } else if (policy == QUASH_SCALE_UNBIASED) {
                    CHECK_NEAR(along / (norm * norm), 1.0, 3e-6);
                } else if (policy == QUASH_SCALE_RAW_NORM) {
                    CHECK_NEAR((double)scale / (norm / sqrt((double)DIM)), 1.0, 1e-6);
                } else {
                    CHECK_NEAR(along / (length * length), 1.0, 3e-6); /* error orthogonal to x^ */
                }
                quash_codec_free(s.codec);
            }
            for (int policy = 1; policy <= QUASH_SCALE_RAW_NORM; policy++) {
                CHECK(errors[QUASH_SCALE_LEAST_SQUARES] <= errors[policy] * (1.0 + 1e-5));
            }
        }
    }
}

int main(void) {
    context = test_context(NULL);
    RUN(zero_rows_decode_to_zeros);
    RUN(minus_zero_is_zero);
    RUN(powers_of_two_change_only_the_scale);
    RUN(denormal_rows_are_kept);
    RUN(constant_and_one_hot_rows);
    RUN(rows_near_the_largest_number);
    RUN(scales_out_of_range_are_reported);
    RUN(nothing_is_written_for_nan_and_infinity);
    RUN(decoding_saturates);
    RUN(scale_policies_keep_their_promise);
    quash_context_free(context);
    return test_report();
}
