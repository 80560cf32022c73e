/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that encoding and decoding touch exactly the memory they should, at any dim and bit width:
 * canaries around codes and rows, dims that are no multiple of 8, no rows at all, misaligned codes,
 * strided and misaligned outputs; and that the parameters come back. */
#include "support.h"

#include "base/half.h"
#include "codec/row.h"

#define CANARY 0xC5
#define GUARD 64

static quash_context *context;

static bool is_canary(const uint8_t *bytes, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        if (bytes[i] != CANARY) {
            return false;
        }
    }
    return true;
}

/* ROWS rows of any dim through every combination; bits of padding in codes must be 0. */
static void check_memory(size_t dim, int32_t bits, int32_t scale_dtype) {
    enum { ROWS = 67 };
    quash_codec_params params = test_params(dim, bits);
    params.scale_dtype = scale_dtype;
    quash_codec *const codec = test_codec(context, &params);
    const size_t row_bytes = quash_codec_row_bytes(codec);
    CHECK_EQ(row_bytes,
             (scale_dtype == QUASH_F16 ? 2u : 4u) +
                 (bits == 3 ? (dim + 3) / 4 + (dim + 7) / 8 : (dim * (size_t)bits + 7) / 8));
    const size_t bytes = ROWS * row_bytes;
    uint8_t *const codes = test_alloc(bytes + 2 * GUARD);
    float *const rows = test_alloc(ROWS * dim * sizeof *rows);
    uint8_t *const out = test_alloc(ROWS * dim * sizeof *rows + 2 * GUARD);
    struct test_rng rng = test_rng_start(dim);
    test_fill_gaussian(&rng, rows, ROWS * dim);
    for (size_t shift = 0; shift <= 3; shift += 3) { /* aligned and not */
        memset(codes, CANARY, bytes + 2 * GUARD);
        memset(out, CANARY, ROWS * dim * sizeof *rows + 2 * GUARD);
        uint8_t *const at = codes + GUARD - shift;
        uint8_t *const out_at = out + GUARD - shift;
        const quash_array in = quash_array_view(rows, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        const quash_array back = quash_array_view(out_at, QUASH_F32, 2, ROWS, (int64_t)dim, 0);
        /* More room than needed is fine, and is left alone. */
        CHECK_EQ(quash_encode(codec, &in, at, bytes + GUARD), QUASH_OK);
        CHECK(is_canary(codes, 0, GUARD - shift));
        CHECK(is_canary(codes, GUARD - shift + bytes, bytes + 2 * GUARD));
        CHECK_EQ(quash_decode(codec, at, bytes, &back), QUASH_OK);
        CHECK(is_canary(out, 0, GUARD - shift));
        CHECK(is_canary(out, GUARD - shift + ROWS * dim * sizeof *rows,
                        ROWS * dim * sizeof *rows + 2 * GUARD));
        double error = 0.0;
        for (size_t i = 0; i < ROWS * dim; i++) {
            float value;
            memcpy(&value, out_at + i * sizeof value, sizeof value);
            error += pow((double)value - (double)rows[i], 2.0);
        }
        CHECK(error < 0.75 * test_dot(rows, rows, ROWS * dim));
    }
    free(codes);
    free(rows);
    free(out);
    quash_codec_free(codec);
}

TEST(memory_around_codes_and_rows_is_left_alone) {
    static const size_t dims[] = { 1,  2,  3,  4,  5,  6,  7,  8,  9,  10,  11,  12,
                                   13, 15, 16, 17, 23, 31, 33, 63, 65, 100, 127, 129 };
    for (size_t i = 0; i < COUNT_OF(dims); i++) {
        for (int32_t bits = 1; bits <= 4; bits++) {
            check_memory(dims[i], bits, QUASH_F32);
            check_memory(dims[i], bits, QUASH_F16);
        }
    }
}

TEST(the_largest_dim_works) {
    enum { DIM = QUASH_DIM_MAX };
    float *const rows = test_alloc(2 * DIM * sizeof *rows);
    float *const decoded = test_alloc(2 * DIM * sizeof *decoded);
    struct test_rng rng = test_rng_start(1);
    test_fill_gaussian(&rng, rows, 2 * DIM);
    for (int32_t bits = 1; bits <= 4; bits++) {
        static const double theory[] = { 0.36338, 0.117482, 0.034548, 0.009501 };
        const quash_codec_params params = test_params(DIM, bits);
        quash_codec *const codec = test_codec(context, &params);
        test_round_trip(codec, rows, 2, decoded);
        const double nmse =
            test_squared_error(rows, decoded, 2 * DIM) / test_dot(rows, rows, 2 * DIM);
        CHECK_NEAR(nmse, theory[bits - 1], 0.05 * theory[bits - 1]);
        quash_codec_free(codec);
    }
    free(rows);
    free(decoded);
}

TEST(no_rows_are_fine) {
    const quash_codec_params params = test_params(24, 4);
    quash_codec *const codec = test_codec(context, &params);
    uint8_t codes[16];
    memset(codes, CANARY, sizeof codes);
    quash_array rows = quash_array_view(NULL, QUASH_F32, 2, 0, 24, 0);
    CHECK_EQ(quash_encode(codec, &rows, NULL, 0), QUASH_OK);
    CHECK_EQ(quash_decode(codec, NULL, 0, &rows), QUASH_OK);
    CHECK_EQ(quash_encode(codec, &rows, codes, sizeof codes), QUASH_OK);
    CHECK_EQ(quash_decode(codec, codes, sizeof codes, &rows), QUASH_OK);
    CHECK(is_canary(codes, 0, sizeof codes));
    quash_codec_free(codec);
}

/* Rows of an output may be apart, in reverse, narrow and misaligned: the gaps stay as they were. */
TEST(outputs_may_be_strided) {
    enum { ROWS = 70, DIM = 21, PITCH = 26 };
    const quash_codec_params params = test_params(DIM, 3);
    quash_codec *const codec = test_codec(context, &params);
    const size_t row_bytes = quash_codec_row_bytes(codec);
    static float rows[ROWS * DIM];
    static float plain[ROWS * DIM];
    static uint8_t codes[ROWS * (4 + DIM)];
    static uint8_t out[1 + ROWS * PITCH * 4];
    struct test_rng rng = test_rng_start(2);
    test_fill_gaussian(&rng, rows, ROWS * DIM);
    const quash_array in = quash_array_view(rows, QUASH_F32, 2, ROWS, DIM, 0);
    const quash_array plain_out = quash_array_view(plain, QUASH_F32, 2, ROWS, DIM, 0);
    CHECK_EQ(quash_encode(codec, &in, codes, ROWS * row_bytes), QUASH_OK);
    CHECK_EQ(quash_decode(codec, codes, ROWS * row_bytes, &plain_out), QUASH_OK);
    for (int32_t dtype = QUASH_F32; dtype <= QUASH_BF16; dtype++) {
        const size_t size = dtype == QUASH_F32 ? 4 : 2;
        for (int backwards = 0; backwards <= 1; backwards++) {
            memset(out, CANARY, sizeof out);
            quash_array view = quash_array_view(out + 1, (quash_dtype)dtype, 2, ROWS, DIM, 0);
            view.stride[0] = backwards ? -PITCH : PITCH;
            view.data = out + 1 + (backwards ? (ROWS - 1) * PITCH * size : 0);
            CHECK_EQ(quash_decode(codec, codes, ROWS * row_bytes, &view), QUASH_OK);
            CHECK_EQ(out[0], CANARY);
            for (size_t r = 0; r < ROWS; r++) {
                const size_t source = backwards ? ROWS - 1 - r : r;
                const uint8_t *const row = out + 1 + r * PITCH * size;
                for (size_t i = 0; i < DIM; i++) {
                    const float value = plain[source * DIM + i];
                    uint32_t expected = quash_f32_bits(value);
                    expected = dtype == QUASH_F16 ? quash_f32_to_f16(value) : expected;
                    expected = dtype == QUASH_BF16 ? quash_f32_to_bf16(value) : expected;
                    uint32_t found = 0;
                    memcpy(&found, row + i * size, size);
                    CHECK_EQ(found, expected);
                }
                CHECK(is_canary(row, DIM * size, PITCH * size));
            }
        }
    }
    quash_codec_free(codec);
}

TEST(parameters_come_back) {
    quash_codec_params params = QUASH_CODEC_PARAMS_INIT;
    CHECK_EQ(params.bits, 4);
    CHECK_EQ(params.scale_policy, QUASH_SCALE_LEAST_SQUARES);
    CHECK_EQ(params.rotation_rounds, 2);
    CHECK_EQ(params.seed, 42);
    params.dim = 77;
    params.bits = 3;
    params.scale_policy = QUASH_SCALE_UNBIASED;
    params.scale_dtype = QUASH_F16;
    params.search_level = 2;
    params.rotation_rounds = 1;
    params.seed = UINT64_MAX;
    quash_codec *const codec = test_codec(context, &params);
    const quash_codec_params got = quash_codec_get_params(codec);
    CHECK_EQ(got.struct_size, sizeof got);
    CHECK_EQ(got.dim, params.dim);
    CHECK_EQ(got.bits, params.bits);
    CHECK_EQ(got.scale_policy, params.scale_policy);
    CHECK_EQ(got.scale_dtype, params.scale_dtype);
    CHECK_EQ(got.search_level, params.search_level);
    CHECK_EQ(got.rotation_rounds, params.rotation_rounds);
    CHECK(got.seed == params.seed);
    quash_codec_free(codec);
    quash_codec_free(NULL);
    quash_context_free(NULL);
}

/* Rounds count at powers of two only. */
TEST(rotation_rounds_matter_at_powers_of_two) {
    static const size_t dims[] = { 64, 96 };
    for (size_t k = 0; k < COUNT_OF(dims); k++) {
        float row[96];
        uint8_t codes[2][64];
        struct test_rng rng = test_rng_start(3);
        test_fill_gaussian(&rng, row, dims[k]);
        const quash_array in = quash_array_view(row, QUASH_F32, 2, 1, (int64_t)dims[k], 0);
        for (int32_t rounds = 1; rounds <= 2; rounds++) {
            quash_codec_params params = test_params(dims[k], 4);
            params.rotation_rounds = rounds;
            quash_codec *const codec = test_codec(context, &params);
            CHECK_EQ(quash_encode(codec, &in, codes[rounds - 1], sizeof codes[0]), QUASH_OK);
            quash_codec_free(codec);
        }
        const size_t bytes = 4 + dims[k] / 2;
        CHECK((memcmp(codes[0], codes[1], bytes) == 0) == (dims[k] == 96));
    }
}

int main(void) {
    context = test_context(NULL);
    RUN(memory_around_codes_and_rows_is_left_alone);
    RUN(the_largest_dim_works);
    RUN(no_rows_are_fine);
    RUN(outputs_may_be_strided);
    RUN(parameters_come_back);
    RUN(rotation_rounds_matter_at_powers_of_two);
    quash_context_free(context);
    return test_report();
}
