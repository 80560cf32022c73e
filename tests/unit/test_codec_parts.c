/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the parts of the codec that callers can use one by one: unpacked codes and scales say the
 * same as canonical rows, quash_rotate is the rotation and its inverse, quash_pack_bits is the bit
 * stream it is said to be; and the answers of all five to bad arguments and lack of memory. */
#include <float.h>

#include "fault/failing_allocator.h"

#include "codec/codec.h"

enum { ROWS = 130, DIM = 37 };

static quash_context *context;
static float rows[ROWS * DIM];
static float output[ROWS * DIM];
static uint8_t codes[ROWS * DIM];
static float scales[ROWS];

static quash_array array_of(const void *data, quash_dtype dtype) {
    return quash_array_view(data, dtype, 2, ROWS, DIM, 0);
}

/* ---- Codes one by one -------------------------------------------------------------------- */

TEST(unpacked_codes_are_those_of_canonical_rows) {
    for (int32_t bits = 1; bits <= 4; bits++) {
        quash_codec_params params = test_params(DIM, bits);
        params.search_level = 1;
        quash_codec *const codec = test_codec(context, &params);
        const size_t row_bytes = quash_codec_row_bytes(codec);
        static uint8_t packed[ROWS * (4 + DIM)];
        static float decoded[ROWS * DIM];
        const quash_array in = array_of(rows, QUASH_F32);
        const quash_array out = array_of(output, QUASH_F32);
        const quash_array plain = array_of(decoded, QUASH_F32);
        const quash_array one_by_one = array_of(codes, QUASH_U8);
        CHECK_EQ(quash_encode(codec, &in, packed, sizeof packed), QUASH_OK);
        CHECK_EQ(quash_encode_codes(codec, &in, &one_by_one, scales), QUASH_OK);
        for (size_t r = 0; r < ROWS; r++) {
            uint8_t unpacked[DIM];
            const uint8_t *const row = packed + r * row_bytes;
            codec->quantizer.kernels->unpack[bits - 1](row + 4, DIM, unpacked);
            CHECK(memcmp(unpacked, codes + r * DIM, DIM) == 0);
            CHECK(memcmp(row, &scales[r], 4) == 0);
        }
        CHECK_EQ(quash_decode(codec, packed, sizeof packed, &plain), QUASH_OK);
        CHECK_EQ(quash_decode_codes(codec, &one_by_one, scales, &out), QUASH_OK);
        CHECK(memcmp(output, decoded, sizeof output) == 0);
        quash_codec_free(codec);
    }
}

/* Scales are binary32 even where canonical rows store binary16: no overflow at 65504. */
TEST(unpacked_scales_are_binary32) {
    quash_codec_params params = test_params(DIM, 4);
    params.scale_dtype = QUASH_F16;
    quash_codec *const codec = test_codec(context, &params);
    static float large[ROWS * DIM];
    static uint8_t packed[ROWS * (4 + DIM)];
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        large[i] = 1e6f * rows[i];
    }
    const quash_array in = array_of(large, QUASH_F32);
    const quash_array one_by_one = array_of(codes, QUASH_U8);
    CHECK_EQ(quash_encode(codec, &in, packed, sizeof packed), QUASH_ERROR_ARGUMENT);
    CHECK_EQ(quash_encode_codes(codec, &in, &one_by_one, scales), QUASH_OK);
    CHECK(scales[0] > 65504.0f);
    quash_codec_free(codec);
}

TEST(codes_misuse) {
    const quash_codec_params params = test_params(DIM, 3);
    quash_codec *const codec = test_codec(context, &params);
    const quash_array in = array_of(rows, QUASH_F32);
    const quash_array out = array_of(output, QUASH_F32);
    quash_array bytes = array_of(codes, QUASH_U8);
    CHECK_EQ(quash_encode_codes(codec, &in, &bytes, scales), QUASH_OK);
    CHECK_FAILS(quash_encode_codes(codec, NULL, &bytes, scales), QUASH_ERROR_ARGUMENT,
                "rows is NULL");
    CHECK_FAILS(quash_encode_codes(codec, &in, NULL, scales), QUASH_ERROR_ARGUMENT,
                "codes is NULL");
    CHECK_FAILS(quash_encode_codes(codec, &in, &bytes, NULL), QUASH_ERROR_ARGUMENT,
                "scales is NULL");
    CHECK_FAILS(quash_decode_codes(codec, NULL, scales, &out), QUASH_ERROR_ARGUMENT,
                "codes is NULL");
    CHECK_FAILS(quash_decode_codes(codec, &bytes, NULL, &out), QUASH_ERROR_ARGUMENT,
                "scales is NULL");
    CHECK_FAILS(quash_decode_codes(codec, &bytes, scales, NULL), QUASH_ERROR_ARGUMENT,
                "rows is NULL");
    bytes.dtype = QUASH_I8;
    CHECK_FAILS(quash_encode_codes(codec, &in, &bytes, scales), QUASH_ERROR_ARGUMENT,
                "codes has dtype 3, expected U8");
    CHECK_FAILS(quash_decode_codes(codec, &bytes, scales, &out), QUASH_ERROR_ARGUMENT,
                "codes has dtype 3, expected U8");
    bytes = array_of(codes, QUASH_U8);
    bytes.shape[0] = ROWS - 1;
    CHECK_FAILS(quash_encode_codes(codec, &in, &bytes, scales), QUASH_ERROR_ARGUMENT,
                "codes has size 129 in dimension 0, expected 130");
    bytes.shape[0] = ROWS;
    bytes.shape[1] = DIM + 1;
    CHECK_FAILS(quash_decode_codes(codec, &bytes, scales, &out), QUASH_ERROR_ARGUMENT,
                "codes has size 38 in dimension 1, expected 37");
    bytes = array_of(codes, QUASH_U8);

    memset(output, 0, sizeof output);
    codes[100 * DIM + 36] = 8;
    CHECK_FAILS(quash_decode_codes(codec, &bytes, scales, &out), QUASH_ERROR_ARGUMENT,
                "codes: 8 in row 100, column 36, expected below 8");
    codes[100 * DIM + 36] = 7;
    static const float bad[] = { NAN, INFINITY, -1.0f };
    static const char *const texts[] = { "nan", "inf", "-1" };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        char message[80];
        (void)snprintf(message, sizeof message, "scales: %s at position 99, expected 0 or more",
                       texts[i]);
        scales[99] = bad[i];
        CHECK_FAILS(quash_decode_codes(codec, &bytes, scales, &out), QUASH_ERROR_ARGUMENT, message);
    }
    for (size_t i = 0; i < COUNT_OF(output); i++) {
        CHECK(output[i] == 0.0f);
    }
    quash_codec_free(codec);
}

/* Codes that are written must not overlap themselves, like every output. */
TEST(written_codes_must_not_overlap) {
    const quash_codec_params params = test_params(DIM, 3);
    quash_codec *const codec = test_codec(context, &params);
    const quash_array in = array_of(rows, QUASH_F32);
    quash_array bytes = array_of(codes, QUASH_U8);
    bytes.stride[0] = 0;
    CHECK_FAILS(quash_encode_codes(codec, &in, &bytes, scales), QUASH_ERROR_ARGUMENT,
                "codes has strides by which its elements overlap");
    bytes.stride[0] = DIM - 1;
    CHECK_FAILS(quash_encode_codes(codec, &in, &bytes, scales), QUASH_ERROR_ARGUMENT,
                "codes has strides by which its elements overlap");
    quash_codec_free(codec);
}

/* ---- Rotation ---------------------------------------------------------------------------- */

TEST(rotate_and_back) {
    const quash_codec_params params = test_params(DIM, 4);
    quash_codec *const codec = test_codec(context, &params);
    const quash_array in = array_of(rows, QUASH_F32);
    const quash_array out = array_of(output, QUASH_F32);
    CHECK_EQ(quash_rotate(codec, 0, &in, &out), QUASH_OK);
    for (size_t r = 0; r < ROWS; r++) {
        float x[DIM];
        memcpy(x, rows + r * DIM, sizeof x);
        quash_rotation_apply(&codec->rotation, codec->quantizer.kernels, x);
        const double norm = sqrt(test_dot(x, x, DIM));
        CHECK(sqrt(test_squared_error(x, output + r * DIM, DIM)) <= 1e-6 * norm);
    }
    CHECK_EQ(quash_rotate(codec, 1, &out, &out), QUASH_OK); /* in place */
    CHECK(sqrt(test_squared_error(rows, output, ROWS * DIM) / test_dot(rows, rows, ROWS * DIM)) <
          1e-6);

    float large[DIM];
    float back[DIM];
    for (size_t i = 0; i < DIM; i++) {
        large[i] = i % 2 == 0 ? FLT_MAX : -FLT_MAX;
    }
    const quash_array big = quash_array_view(large, QUASH_F32, 2, 1, DIM, 0);
    const quash_array big_out = quash_array_view(back, QUASH_F32, 2, 1, DIM, 0);
    CHECK_EQ(quash_rotate(codec, 0, &big, &big_out), QUASH_OK);
    for (size_t i = 0; i < DIM; i++) {
        CHECK(isfinite(back[i]));
    }
    quash_codec_free(codec);
}

TEST(rotate_misuse) {
    const quash_codec_params params = test_params(DIM, 4);
    quash_codec *const codec = test_codec(context, &params);
    const quash_array in = array_of(rows, QUASH_F32);
    quash_array out = array_of(output, QUASH_F32);
    CHECK_FAILS(quash_rotate(codec, 0, NULL, &out), QUASH_ERROR_ARGUMENT, "rows is NULL");
    CHECK_FAILS(quash_rotate(codec, 0, &in, NULL), QUASH_ERROR_ARGUMENT, "out is NULL");
    out.shape[0] = 129;
    CHECK_FAILS(quash_rotate(codec, 0, &in, &out), QUASH_ERROR_ARGUMENT,
                "out has size 129 in dimension 0, expected 130");
    out = array_of(output, QUASH_U8);
    CHECK_FAILS(quash_rotate(codec, 1, &in, &out), QUASH_ERROR_ARGUMENT,
                "out has an integer dtype, expected F32, F16 or BF16");
    out = array_of(output, QUASH_F32);
    out.stride[0] = 0;
    CHECK_FAILS(quash_rotate(codec, 1, &in, &out), QUASH_ERROR_ARGUMENT,
                "out has strides by which its elements overlap");
    out = array_of(output, QUASH_F32);
    const float kept = rows[5 * DIM + 7];
    rows[5 * DIM + 7] = -INFINITY;
    CHECK_FAILS(quash_rotate(codec, 1, &in, &out), QUASH_ERROR_ARGUMENT,
                "rows: NaN or infinity in row 5, column 7");
    rows[5 * DIM + 7] = kept;
    quash_codec_free(codec);
}

/* ---- Bits of the original package -------------------------------------------------------- */

TEST(pack_bits_is_one_stream_per_row) {
    static const int32_t widths[] = { 1, 2, 3, 4, 8 };
    struct test_rng rng = test_rng_start(2);
    for (size_t w = 0; w < COUNT_OF(widths); w++) {
        const int32_t bits = widths[w];
        for (int64_t dim = 1; dim <= 40; dim++) {
            enum { COUNT = 3 };
            const size_t row_bytes = ((size_t)dim * (size_t)bits + 7) / 8;
            uint8_t in[COUNT * 40];
            uint8_t back[COUNT * 40 + 1];
            uint8_t packed[COUNT * 40 + 1];
            for (size_t i = 0; i < COUNT * (size_t)dim; i++) {
                in[i] = (uint8_t)test_below(&rng, (size_t)1 << bits);
            }
            memset(packed, 0xEE, sizeof packed);
            memset(back, 0xEE, sizeof back);
            CHECK_EQ(quash_pack_bits(in, COUNT, dim, bits, packed), QUASH_OK);
            CHECK_EQ(packed[COUNT * row_bytes], 0xEE);
            for (size_t r = 0; r < COUNT; r++) {
                for (size_t bit = 0; bit < 8 * row_bytes; bit++) {
                    const size_t i = bit / (size_t)bits;
                    const int expected =
                        i < (size_t)dim ? in[r * (size_t)dim + i] >> bit % (size_t)bits & 1 : 0;
                    CHECK_EQ(packed[r * row_bytes + bit / 8] >> bit % 8 & 1, expected);
                }
            }
            CHECK_EQ(quash_unpack_bits(packed, COUNT, dim, bits, back), QUASH_OK);
            CHECK(memcmp(in, back, COUNT * (size_t)dim) == 0);
            CHECK_EQ(back[COUNT * dim], 0xEE);
        }
    }
}

TEST(pack_bits_misuse) {
    uint8_t in[12] = { 0 };
    uint8_t packed[12] = { 0 };
    static const int32_t wrong[] = { -1, 0, 5, 6, 7, 9 };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char message[64];
        (void)snprintf(message, sizeof message, "bits is %d, expected 1..4", (int)wrong[i]);
        CHECK_FAILS(quash_pack_bits(in, 1, 4, wrong[i], packed), QUASH_ERROR_ARGUMENT, message);
        CHECK_FAILS(quash_unpack_bits(packed, 1, 4, wrong[i], in), QUASH_ERROR_ARGUMENT, message);
    }
    CHECK_EQ(quash_pack_bits(in, 1, 0, 4, packed), QUASH_ERROR_ARGUMENT);
    CHECK_EQ(quash_pack_bits(in, -1, 4, 4, packed), QUASH_ERROR_ARGUMENT);
    CHECK_EQ(quash_unpack_bits(packed, 1, INT64_MIN, 4, in), QUASH_ERROR_ARGUMENT);
    CHECK_EQ(quash_unpack_bits(packed, INT64_MAX, 2, 4, in), QUASH_ERROR_ARGUMENT);
    CHECK_FAILS(quash_pack_bits(NULL, 1, 4, 4, packed), QUASH_ERROR_ARGUMENT, "codes is NULL");
    CHECK_FAILS(quash_pack_bits(in, 1, 4, 4, NULL), QUASH_ERROR_ARGUMENT, "packed is NULL");
    CHECK_FAILS(quash_unpack_bits(NULL, 1, 4, 4, in), QUASH_ERROR_ARGUMENT, "packed is NULL");
    CHECK_FAILS(quash_unpack_bits(packed, 1, 4, 4, NULL), QUASH_ERROR_ARGUMENT, "codes is NULL");
    CHECK_EQ(quash_pack_bits(NULL, 0, 4, 4, NULL), QUASH_OK);
    in[10] = 8;
    CHECK_FAILS(quash_pack_bits(in, 3, 4, 3, packed), QUASH_ERROR_ARGUMENT,
                "codes: 8 in row 2, column 2, expected below 8");
}

/* ---- Lack of memory ---------------------------------------------------------------------- */

struct state {
    quash_codec *codec;
    quash_array rows;
    quash_array codes;
};

static quash_status encode_codes(void *state) {
    struct state *const s = state;
    return quash_encode_codes(s->codec, &s->rows, &s->codes, scales);
}

static quash_status decode_codes(void *state) {
    struct state *const s = state;
    return quash_decode_codes(s->codec, &s->codes, scales, &s->rows);
}

static quash_status rotate(void *state) {
    struct state *const s = state;
    return quash_rotate(s->codec, 0, &s->rows, &s->rows);
}

TEST(every_allocation_may_fail) {
    static const char *const names[] = { "the scratch of encoding", "the scratch of decoding",
                                         "the scratch of rotation" };
    struct failing_allocator failing = { 0 };
    const quash_allocator allocator = failing_allocator_get(&failing);
    quash_context_params context_params = QUASH_CONTEXT_PARAMS_INIT;
    context_params.allocator = &allocator;
    quash_context *own = NULL;
    CHECK_EQ(quash_context_create(&own, &context_params), QUASH_OK);
    const quash_codec_params params = test_params(DIM, 4);
    struct state s = { test_codec(own, &params), array_of(rows, QUASH_F32),
                       array_of(codes, QUASH_U8) };
    CHECK_EQ(fail_each_allocation(&failing, encode_codes, &s, &names[0], 1), 1);
    s.rows = array_of(output, QUASH_F32);
    CHECK_EQ(fail_each_allocation(&failing, decode_codes, &s, &names[1], 1), 1);
    CHECK_EQ(fail_each_allocation(&failing, rotate, &s, &names[2], 1), 1);
    quash_codec_free(s.codec);
    quash_context_free(own);
    check_no_leak(&failing);
}

int main(void) {
    struct test_rng rng = test_rng_start(1);
    test_fill_gaussian(&rng, rows, COUNT_OF(rows));
    context = test_context(NULL);
    RUN(unpacked_codes_are_those_of_canonical_rows);
    RUN(unpacked_scales_are_binary32);
    RUN(codes_misuse);
    RUN(written_codes_must_not_overlap);
    RUN(rotate_and_back);
    RUN(rotate_misuse);
    RUN(pack_bits_is_one_stream_per_row);
    RUN(pack_bits_misuse);
    RUN(every_allocation_may_fail);
    quash_context_free(context);
    return test_report();
}
