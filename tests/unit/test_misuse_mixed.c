/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the answer of every function of mixed.h to every bad argument: the status, the exact
 * message, and that outputs stay as they were. */
#include "misuse_arrays.h"
#include "product_support.h"

enum { ROWS = 3, DIM = 6 };

static quash_context *context;
static quash_mixed *plain;   /* 3 bits for channels 4 and 1, 2 for the others */
static quash_mixed *product; /* the same, with inner products */

static const int32_t outliers[] = { 4, 1 };

static quash_mixed_params good_params(void) {
    quash_mixed_params params = QUASH_MIXED_PARAMS_INIT;
    params.dim = DIM;
    params.outliers = outliers;
    params.outlier_count = 2;
    return params;
}

/* ---- Creating ------------------------------------------------------------------------------ */

static void create_fails(const quash_mixed_params *params, const char *message, int line) {
    quash_mixed *out = NULL;
    (void)test_check_fails(quash_mixed_create(&out, context, params), QUASH_ERROR_ARGUMENT, message,
                           __FILE__, line, message);
    CHECK(out == NULL);
}

#define BAD_PARAMS(change, message)                                                                \
    do {                                                                                           \
        quash_mixed_params p = good_params();                                                      \
        change;                                                                                    \
        create_fails(&p, message, __LINE__);                                                       \
    } while (0)

TEST(create) {
    quash_mixed *out = NULL;
    const quash_mixed_params good = good_params();
    CHECK_FAILS(quash_mixed_create(NULL, context, &good), QUASH_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(quash_mixed_create(&out, NULL, &good), QUASH_ERROR_ARGUMENT, "context is NULL");
    CHECK_FAILS(quash_mixed_create(&out, context, NULL), QUASH_ERROR_ARGUMENT, "params is NULL");
    BAD_PARAMS(p.struct_size = 47, "params: struct_size is 47, expected 48");
    BAD_PARAMS(p.dim = 0, "dim is 0, expected 1..16384");
    BAD_PARAMS(p.dim = 16385, "dim is 16385, expected 1..16384");
    BAD_PARAMS((p.dim = 8193, p.product = 1), "dim is 8193, expected 1..8192");
    BAD_PARAMS(p.regular_bits = 0, "regular_bits is 0, expected 1..4");
    BAD_PARAMS(p.regular_bits = 5, "regular_bits is 5, expected 1..4");
    BAD_PARAMS(p.outlier_bits = 5, "outlier_bits is 5, expected 2..4");
    BAD_PARAMS(p.outlier_bits = 1, "outlier_bits is 1, expected 2..4");
    BAD_PARAMS((p.product = 1, p.regular_bits = 4), "regular_bits is 4, expected 1..3");
    BAD_PARAMS((p.product = 1, p.outlier_bits = 4), "outlier_bits is 4, expected 2..3");
    BAD_PARAMS(p.outlier_count = -1, "outlier_count is -1, expected 0..6");
    BAD_PARAMS(p.outlier_count = 7, "outlier_count is 7, expected 0..6");
    BAD_PARAMS(p.outliers = NULL, "outliers is NULL");
    BAD_PARAMS(p.scale_policy = 4, "scale_policy is 4, expected 0..3");
    BAD_PARAMS(p.scale_policy = -1, "scale_policy is -1, expected 0..3");
    BAD_PARAMS(p.search_level = 3, "search_level is 3, expected 0..2");
    const quash_mixed_params unset = QUASH_MIXED_PARAMS_INIT;
    create_fails(&unset, "dim is 0, expected 1..16384", __LINE__);
    quash_mixed_free(NULL);
}

TEST(create_channels) {
    static const struct {
        int32_t channels[4];
        const char *message;
    } bad[] = {
        { { 0, 1, 2, 6 }, "outliers: a channel is 6, expected 0..5" },
        { { -1, 1, 2, 3 }, "outliers: a channel is -1, expected 0..5" },
        { { 0, INT32_MAX, 2, 3 }, "outliers: a channel is 2147483647, expected 0..5" },
        { { 0, 1, 2, 0 }, "outliers: channel 0 appears twice" },
        { { 3, 5, 5, 1 }, "outliers: channel 5 appears twice" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        for (int32_t kind = 0; kind < 2; kind++) {
            BAD_PARAMS((p.outliers = bad[i].channels, p.outlier_count = 4, p.product = kind),
                       bad[i].message);
        }
    }
    quash_mixed_params params = good_params();
    params.outliers = NULL;
    params.outlier_count = 0;
    quash_mixed_free(test_mixed(context, &params));
}

/* mixed.h: with product, the policy and search level are ignored. */
TEST(product_ignores_scales) {
    quash_mixed_params params = good_params();
    params.product = 1;
    params.scale_policy = 99;
    params.search_level = -7;
    quash_mixed *out = NULL;
    CHECK_EQ(quash_mixed_create(&out, context, &params), QUASH_OK);
    quash_mixed_free(out);
}

/* ---- Calls --------------------------------------------------------------------------------- */

/* All arguments of a call, good until one is changed. */
static struct test_codes c;
static float x[ROWS * DIM];
static float dots[ROWS];
static quash_array rows; /* or queries */
static quash_array out;
static quash_array codes;
static quash_array signs;
static const quash_array *rows_given;
static const quash_array *out_given;
static const quash_array *codes_given;
static const quash_array *signs_given;
static float *scales_given; /* or norms */
static float *residual_norms_given;
static float *dots_given;
static int32_t sample_count;
static int32_t channels[DIM];

static void make_good(void) {
    rows = test_floats(x, ROWS, DIM);
    out = rows;
    codes = test_bytes(c.codes, ROWS, DIM);
    signs = test_bytes(c.signs, ROWS, DIM);
    rows_given = &rows;
    out_given = &out;
    codes_given = &codes;
    signs_given = &signs;
    scales_given = c.norms;
    residual_norms_given = c.residual_norms;
    dots_given = dots;
    sample_count = 2;
    memset(c.codes, 1, ROWS * DIM);
    memset(c.signs, 1, ROWS * DIM);
    for (size_t i = 0; i < COUNT_OF(x); i++) {
        x[i] = (float)i - 4.0f;
    }
    for (size_t i = 0; i < 2 * ROWS; i++) {
        c.norms[i] = 1.0f;
        c.residual_norms[i] = 0.5f;
        dots[i / 2] = 7.0f;
        channels[i] = 77;
    }
}

static quash_status encode(void) {
    return quash_mixed_encode(plain, rows_given, codes_given, scales_given);
}

static quash_status decode(void) {
    return quash_mixed_decode(plain, codes_given, scales_given, rows_given);
}

static quash_status product_encode(void) {
    return quash_mixed_product_encode(product, rows_given, codes_given, signs_given, scales_given,
                                      residual_norms_given);
}

static quash_status product_dot(void) {
    return quash_mixed_product_dot(product, codes_given, signs_given, scales_given,
                                   residual_norms_given, rows_given, dots_given);
}

static quash_status rotate(void) {
    return quash_mixed_rotate(plain, 0, rows_given, out_given);
}

static quash_status choose(void) {
    return quash_outlier_channels(context, rows_given, sample_count, channels);
}

/* Each failing call leaves everything but its bad argument as it was. */
static void check_fails(quash_status (*function)(void), quash_status status, const char *message,
                        int line) {
    const struct test_codes kept = test_codes_new(ROWS, DIM);
    float kept_x[ROWS * DIM];
    memcpy(kept.codes, c.codes, ROWS * DIM);
    memcpy(kept.signs, c.signs, ROWS * DIM);
    memcpy(kept.norms, c.norms, 2 * ROWS * sizeof(float));
    memcpy(kept.residual_norms, c.residual_norms, 2 * ROWS * sizeof(float));
    memcpy(kept_x, x, sizeof x);
    (void)test_check_fails(function(), status, message, __FILE__, line, message);
    CHECK(test_codes_equal(&kept, &c));
    CHECK(memcmp(kept_x, x, sizeof x) == 0);
    CHECK(dots[0] == 7.0f && dots[1] == 7.0f && dots[2] == 7.0f);
    CHECK(channels[0] == 77 && channels[1] == 77);
    test_codes_free(&kept);
}

#define BAD(function, change, message)                                                             \
    do {                                                                                           \
        make_good();                                                                               \
        change;                                                                                    \
        check_fails(function, QUASH_ERROR_ARGUMENT, message, __LINE__);                            \
    } while (0)

TEST(outlier_channels) {
    make_good();
    const struct bad_array bad = { choose, &rows, rows, "rows" };
    rows_given = NULL;
    check_bad_array(&bad, "is NULL");
    rows_given = &rows;
    rows.dtype = 5;
    check_bad_array(&bad, "has dtype 5, which is no quash_dtype");
    rows.ndim = 1;
    check_bad_array(&bad, "has 1 dimensions, expected 2");
    rows.stride[1] = 2;
    check_bad_array(&bad, "has stride 2 in its last dimension, expected 1");
    rows.data = NULL;
    check_bad_array(&bad, "has a NULL data pointer");
    rows.shape[0] = 0;
    check_bad_array(&bad, "is empty, expected a sample");
    BAD(choose, rows.shape[1] = 0, "the size of a row is 0, expected 1..16384");
    BAD(choose, (rows.shape[0] = 0, rows.shape[1] = 16385),
        "the size of a row is 16385, expected 1..16384");
    BAD(choose, sample_count = -1, "count is -1, expected 0..6");
    BAD(choose, sample_count = 7, "count is 7, expected 0..6");
    BAD(choose, x[2 * DIM] = NAN, "rows: NaN or infinity in row 2, column 0");
    make_good();
    CHECK_FAILS(quash_outlier_channels(NULL, &rows, 2, channels), QUASH_ERROR_ARGUMENT,
                "context is NULL");
    CHECK_FAILS(quash_outlier_channels(context, &rows, 2, NULL), QUASH_ERROR_ARGUMENT,
                "channels is NULL");
}

TEST(encode_and_decode) {
    make_good();
    check_bad_inputs(encode, &rows, &rows_given, "rows");
    make_good();
    check_bad_bytes(encode, &codes, &codes_given, "codes", true);
    BAD(encode, scales_given = NULL, "scales is NULL");
    BAD(encode, x[DIM + 1] = NAN, "rows: NaN or infinity in row 1, column 1");
    make_good();
    const struct bad_array bad = { decode, &rows, rows, "rows" };
    check_bad_shapes(&bad, &rows_given);
    check_bad_overlap(&bad);
    rows.dtype = QUASH_I8;
    check_bad_array(&bad, "has an integer dtype, expected F32, F16 or BF16");
    check_bad_bytes(decode, &codes, &codes_given, "codes", false);
    BAD(decode, scales_given = NULL, "scales is NULL");
    BAD(decode, c.codes[2 * DIM + 1] = 8, "codes: 8 in row 2, column 1, expected below 8");
    BAD(decode, c.codes[DIM + 4] = 200, "codes: 200 in row 1, column 4, expected below 8");
    BAD(decode, c.codes[DIM + 5] = 4, "codes: 4 in row 1, column 5, expected below 4");
    BAD(decode, c.norms[3] = -1.0f, "scales: -1 at position 3, expected 0 or more");
    BAD(decode, c.norms[0] = NAN, "scales: nan at position 0, expected 0 or more");
    BAD(decode, c.norms[5] = INFINITY, "scales: inf at position 5, expected 0 or more");
}

TEST(product_encode_and_dot) {
    make_good();
    check_bad_inputs(product_encode, &rows, &rows_given, "rows");
    check_bad_bytes(product_encode, &codes, &codes_given, "codes", true);
    check_bad_bytes(product_encode, &signs, &signs_given, "signs", true);
    BAD(product_encode, scales_given = NULL, "norms is NULL");
    BAD(product_encode, x[5] = INFINITY, "rows: NaN or infinity in row 0, column 5");
    make_good();
    check_bad_inputs(product_dot, &rows, &rows_given, "queries");
    check_bad_bytes(product_dot, &codes, &codes_given, "codes", false);
    check_bad_bytes(product_dot, &signs, &signs_given, "signs", false);
    BAD(product_dot, x[7] = NAN, "queries: NaN or infinity in row 1, column 1");
    BAD(product_dot, c.codes[4] = 8, "codes: 8 in row 0, column 4, expected below 8");
    BAD(product_dot, c.codes[2 * DIM] = 4, "codes: 4 in row 2, column 0, expected below 4");
    BAD(product_dot, scales_given = NULL, "norms is NULL");
    BAD(product_dot, c.norms[5] = -2.0f, "norms: -2 at position 5, expected 0 or more");
    BAD(product_dot, c.norms[1] = INFINITY, "norms: inf at position 1, expected 0 or more");
    BAD(product_dot, c.residual_norms[4] = NAN,
        "residual_norms: nan at position 4, expected 0 or more");
    BAD(product_dot, dots_given = NULL, "dots is NULL");
    make_good();
    residual_norms_given = NULL;
    CHECK_EQ(product_encode(), QUASH_OK);
    CHECK_EQ(product_dot(), QUASH_OK);
}

/* mixed.h: as quash_product_dot, whose queries are floating point. */
TEST(product_dot_refuses_integer_queries) {
    static uint8_t bytes[ROWS * DIM];
    BAD(product_dot, rows = quash_array_view(bytes, QUASH_U8, 2, ROWS, DIM, 0),
        "queries has an integer dtype, expected F32, F16 or BF16");
}

TEST(rotations) {
    make_good();
    check_bad_inputs(rotate, &rows, &rows_given, "rows");
    check_bad_outputs(rotate, &out, &out_given, "out");
    BAD(rotate, x[0] = NAN, "rows: NaN or infinity in row 0, column 0");
}

/* A quantizer with or without product serves its own functions only. */
TEST(wrong_kind) {
    static const char *const with = "mixed was created with product: use the product functions";
    static const char *const without = "mixed was created without product";
    quash_mixed *const kept = plain;
    make_good();
    plain = product;
    check_fails(encode, QUASH_ERROR_UNSUPPORTED, with, __LINE__);
    check_fails(decode, QUASH_ERROR_UNSUPPORTED, with, __LINE__);
    CHECK_EQ(rotate(), QUASH_OK);
    make_good();
    plain = kept;
    product = kept;
    check_fails(product_encode, QUASH_ERROR_UNSUPPORTED, without, __LINE__);
    check_fails(product_dot, QUASH_ERROR_UNSUPPORTED, without, __LINE__);
}

/* No rows need no memory of the caller. */
TEST(empty_calls) {
    const quash_array none = quash_array_view(NULL, QUASH_F32, 2, 0, DIM, 0);
    const quash_array no_bytes = quash_array_view(NULL, QUASH_U8, 2, 0, DIM, 0);
    CHECK_EQ(quash_mixed_encode(plain, &none, &no_bytes, NULL), QUASH_OK);
    CHECK_EQ(quash_mixed_decode(plain, &no_bytes, NULL, &none), QUASH_OK);
    CHECK_EQ(quash_mixed_rotate(plain, 1, &none, &none), QUASH_OK);
    CHECK_EQ(quash_mixed_product_encode(product, &none, &no_bytes, &no_bytes, NULL, NULL),
             QUASH_OK);
    CHECK_EQ(quash_mixed_product_dot(product, &no_bytes, &no_bytes, NULL, NULL, &none, NULL),
             QUASH_OK);
}

int main(void) {
    context = test_context(NULL);
    c = test_codes_new(ROWS, DIM);
    quash_mixed_params params = good_params();
    quash_mixed *const first = test_mixed(context, &params);
    params.product = 1;
    quash_mixed *const second = test_mixed(context, &params);
    plain = first;
    product = second;
    RUN(create);
    RUN(create_channels);
    RUN(product_ignores_scales);
    RUN(outlier_channels);
    RUN(encode_and_decode);
    RUN(product_encode_and_dot);
    RUN(product_dot_refuses_integer_queries);
    RUN(rotations);
    RUN(empty_calls);
    RUN(wrong_kind);
    quash_mixed_free(first);
    quash_mixed_free(second);
    test_codes_free(&c);
    quash_context_free(context);
    return test_report();
}
