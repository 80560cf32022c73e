/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the answer of quash_encode_codes, quash_decode_codes, quash_rotate, quash_pack_bits and
 * quash_unpack_bits to every bad argument: the status, the exact message, and that outputs stay as
 * they were. */
#include "misuse_arrays.h"

enum { ROWS = 3, DIM = 6 };

static quash_context *context;
static quash_codec *codec;

static float x[ROWS * DIM];
static float scales[ROWS];
static uint8_t bytes[ROWS * DIM];
static quash_array rows;
static quash_array out;
static quash_array codes;
static const quash_array *rows_given;
static const quash_array *out_given;
static const quash_array *codes_given;
static float *scales_given;

static void make_good(void) {
    rows = quash_array_view(x, QUASH_F32, 2, ROWS, DIM, 0);
    out = rows;
    codes = quash_array_view(bytes, QUASH_U8, 2, ROWS, DIM, 0);
    rows_given = &rows;
    out_given = &out;
    codes_given = &codes;
    scales_given = scales;
    for (size_t i = 0; i < COUNT_OF(x); i++) {
        x[i] = 2.0f * (float)i - 4.0f;
        bytes[i] = (uint8_t)(i % 8);
    }
    for (size_t i = 0; i < ROWS; i++) {
        scales[i] = (float)i;
    }
}

static quash_status encode(void) {
    return quash_encode_codes(codec, rows_given, codes_given, scales_given);
}

static quash_status decode(void) {
    return quash_decode_codes(codec, codes_given, scales_given, rows_given);
}

static quash_status rotate(void) {
    return quash_rotate(codec, 1, rows_given, out_given);
}

/* The failing call changes nothing. */
static void check_fails(quash_status (*function)(void), const char *message, int line) {
    float kept_x[ROWS * DIM];
    float kept_scales[ROWS];
    uint8_t kept_bytes[ROWS * DIM];
    memcpy(kept_x, x, sizeof x);
    memcpy(kept_scales, scales, sizeof scales);
    memcpy(kept_bytes, bytes, sizeof bytes);
    (void)test_check_fails(function(), QUASH_ERROR_ARGUMENT, message, __FILE__, line, message);
    CHECK(memcmp(kept_x, x, sizeof x) == 0);
    CHECK(memcmp(kept_scales, scales, sizeof scales) == 0);
    CHECK(memcmp(kept_bytes, bytes, sizeof bytes) == 0);
}

#define BAD(function, change, message)                                                             \
    do {                                                                                           \
        make_good();                                                                               \
        change;                                                                                    \
        check_fails(function, message, __LINE__);                                                  \
    } while (0)

TEST(encode_codes) {
    make_good();
    check_bad_inputs(encode, &rows, &rows_given, "rows");
    make_good();
    check_bad_bytes(encode, &codes, &codes_given, "codes", true);
    BAD(encode, scales_given = NULL, "scales is NULL");
    BAD(encode, x[DIM + 2] = NAN, "rows: NaN or infinity in row 1, column 2");
    BAD(encode, x[3 * DIM - 1] = -INFINITY, "rows: NaN or infinity in row 2, column 5");
}

/* By the unbiased policy, whose scale exceeds |x|/sqrt(dim). */
TEST(scales_beyond_binary32) {
    quash_codec_params params = test_params(DIM, 1);
    params.scale_policy = QUASH_SCALE_UNBIASED;
    quash_codec *const unbiased = test_codec(context, &params);
    make_good();
    for (size_t i = DIM; i < 2 * DIM; i++) {
        x[i] = 3.4e38f;
    }
    CHECK_FAILS(quash_encode_codes(unbiased, &rows, &codes, scales), QUASH_ERROR_ARGUMENT,
                "rows: the scale of row 1 exceeds binary32");
    quash_codec_free(unbiased);
}

TEST(decode_codes) {
    make_good();
    const struct bad_array bad = { decode, &rows, rows, "rows" };
    check_bad_shapes(&bad, &rows_given);
    check_bad_overlap(&bad);
    rows.dtype = QUASH_U8;
    check_bad_array(&bad, "has an integer dtype, expected F32, F16 or BF16");
    make_good();
    check_bad_bytes(decode, &codes, &codes_given, "codes", false);
    BAD(decode, scales_given = NULL, "scales is NULL");
    BAD(decode, bytes[DIM + 4] = 8, "codes: 8 in row 1, column 4, expected below 8");
    BAD(decode, bytes[2 * DIM] = 255, "codes: 255 in row 2, column 0, expected below 8");
    BAD(decode, scales[2] = -1.0f, "scales: -1 at position 2, expected 0 or more");
    BAD(decode, scales[1] = NAN, "scales: nan at position 1, expected 0 or more");
    BAD(decode, scales[0] = INFINITY, "scales: inf at position 0, expected 0 or more");
    BAD(decode, scales[0] = -0x1p-149f, "scales: -1.4013e-45 at position 0, expected 0 or more");
    make_good();
    scales[0] = -0.0f; /* counts as 0 */
    codes.stride[0] = 0;
    CHECK_EQ(decode(), QUASH_OK);
}

TEST(rotations) {
    make_good();
    check_bad_inputs(rotate, &rows, &rows_given, "rows");
    make_good();
    check_bad_outputs(rotate, &out, &out_given, "out");
    BAD(rotate, x[DIM] = NAN, "rows: NaN or infinity in row 1, column 0");
}

TEST(empty_calls) {
    const quash_array none = quash_array_view(NULL, QUASH_F32, 2, 0, DIM, 0);
    const quash_array no_bytes = quash_array_view(NULL, QUASH_U8, 2, 0, DIM, 0);
    CHECK_EQ(quash_encode_codes(codec, &none, &no_bytes, NULL), QUASH_OK);
    CHECK_EQ(quash_decode_codes(codec, &no_bytes, NULL, &none), QUASH_OK);
    CHECK_EQ(quash_rotate(codec, 0, &none, &none), QUASH_OK);
}

/* ---- Packing ------------------------------------------------------------------------------- */

static const struct {
    int64_t rows;
    int64_t dim;
    int32_t bits;
    const char *message;
} bad_sizes[] = {
    { 1, 4, 0, "bits is 0, expected 1..4" },
    { 1, 4, 5, "bits is 5, expected 1..4" },
    { 1, 4, 7, "bits is 7, expected 1..4" },
    { 1, 4, 9, "bits is 9, expected 1..4" },
    { 1, 4, -8, "bits is -8, expected 1..4" },
    { 1, 0, 3, "dim is 0, expected 1..2147483647" },
    { 1, -4, 3, "dim is -4, expected 1..2147483647" },
    { 1, (int64_t)1 << 31, 3, "dim is 2147483648, expected 1..2147483647" },
    { -1, 4, 8, "rows is -1, expected 0..288230376151711743" },
    { (int64_t)1 << 58, 4, 3, "rows is 288230376151711744, expected 0..288230376151711743" },
};

TEST(packing) {
    uint8_t in[8] = { 7, 0, 1, 2, 3, 4, 5, 6 };
    uint8_t packed[8];
    memset(packed, 0x5A, sizeof packed);
    for (size_t i = 0; i < COUNT_OF(bad_sizes); i++) {
        const int64_t n = bad_sizes[i].rows;
        const int64_t dim = bad_sizes[i].dim;
        CHECK_FAILS(quash_pack_bits(in, n, dim, bad_sizes[i].bits, packed), QUASH_ERROR_ARGUMENT,
                    bad_sizes[i].message);
        CHECK_FAILS(quash_unpack_bits(in, n, dim, bad_sizes[i].bits, packed), QUASH_ERROR_ARGUMENT,
                    bad_sizes[i].message);
    }
    CHECK_FAILS(quash_pack_bits(NULL, 2, 4, 3, packed), QUASH_ERROR_ARGUMENT, "codes is NULL");
    CHECK_FAILS(quash_pack_bits(in, 2, 4, 3, NULL), QUASH_ERROR_ARGUMENT, "packed is NULL");
    CHECK_FAILS(quash_unpack_bits(NULL, 2, 4, 3, packed), QUASH_ERROR_ARGUMENT, "packed is NULL");
    CHECK_FAILS(quash_unpack_bits(in, 2, 4, 3, NULL), QUASH_ERROR_ARGUMENT, "codes is NULL");
    static const struct {
        int32_t bits;
        size_t at;
        uint8_t code;
        const char *message;
    } bad[] = {
        { 1, 0, 2, "codes: 2 in row 0, column 0, expected below 2" },
        { 2, 7, 4, "codes: 4 in row 1, column 3, expected below 4" },
        { 3, 5, 8, "codes: 8 in row 1, column 1, expected below 8" },
        { 4, 3, 255, "codes: 255 in row 0, column 3, expected below 16" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        memset(in, 0, sizeof in);
        in[bad[i].at] = bad[i].code;
        CHECK_FAILS(quash_pack_bits(in, 2, 4, bad[i].bits, packed), QUASH_ERROR_ARGUMENT,
                    bad[i].message);
    }
    for (size_t i = 0; i < sizeof packed; i++) {
        CHECK_EQ(packed[i], 0x5A);
    }
}

int main(void) {
    context = test_context(NULL);
    const quash_codec_params params = test_params(DIM, 3);
    codec = test_codec(context, &params);
    RUN(encode_codes);
    RUN(scales_beyond_binary32);
    RUN(decode_codes);
    RUN(rotations);
    RUN(empty_calls);
    RUN(packing);
    quash_codec_free(codec);
    quash_context_free(context);
    return test_report();
}
