/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the answer of every function of product.h to every bad argument: the status, the exact
 * message, and that outputs stay as they were. */
#include "misuse_arrays.h"
#include "product_support.h"

enum { ROWS = 3, DIM = 6 };

static quash_context *context;
static quash_product *product;

/* ---- Creating ------------------------------------------------------------------------------ */

TEST(create) {
    quash_product_params params = test_product_params(DIM, 3, 1);
    quash_product *out = NULL;
    CHECK_FAILS(quash_product_create(NULL, context, &params), QUASH_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(quash_product_create(&out, NULL, &params), QUASH_ERROR_ARGUMENT, "context is NULL");
    CHECK_FAILS(quash_product_create(&out, context, NULL), QUASH_ERROR_ARGUMENT, "params is NULL");
    params.struct_size = 23;
    CHECK_FAILS(quash_product_create(&out, context, &params), QUASH_ERROR_ARGUMENT,
                "params: struct_size is 23, expected 24");
    static const struct {
        int32_t dim;
        int32_t bits;
        const char *message;
    } bad[] = {
        { 0, 3, "dim is 0, expected 1..8192" },
        { -1, 3, "dim is -1, expected 1..8192" },
        { 8193, 3, "dim is 8193, expected 1..8192" },
        { INT32_MIN, 3, "dim is -2147483648, expected 1..8192" },
        { 8, 0, "bits is 0, expected 1..4" },
        { 8, 5, "bits is 5, expected 1..4" },
        { 8, INT32_MAX, "bits is 2147483647, expected 1..4" },
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        params = test_product_params(8, bad[i].bits, 1);
        params.dim = bad[i].dim;
        CHECK_FAILS(quash_product_create(&out, context, &params), QUASH_ERROR_ARGUMENT,
                    bad[i].message);
        CHECK(out == NULL);
    }
    const quash_product_params unset = QUASH_PRODUCT_PARAMS_INIT;
    CHECK_FAILS(quash_product_create(&out, context, &unset), QUASH_ERROR_ARGUMENT,
                "dim is 0, expected 1..8192");
    quash_product_free(NULL);
}

/* ---- Calls --------------------------------------------------------------------------------- */

/* All arguments of a call, good until one is changed. */
struct call {
    struct test_codes c;
    float x[ROWS * DIM];
    float dots[ROWS];
    quash_array rows; /* or queries */
    quash_array out;
    quash_array codes;
    quash_array signs;
    const quash_array *rows_given;
    const quash_array *out_given;
    const quash_array *codes_given;
    const quash_array *signs_given;
    float *norms;
    float *residual_norms;
    float *dots_given;
};

static struct call call;

static void make_good(void) {
    call.rows = test_floats(call.x, ROWS, DIM);
    call.out = call.rows;
    call.codes = test_bytes(call.c.codes, ROWS, DIM);
    call.signs = test_bytes(call.c.signs, ROWS, DIM);
    call.rows_given = &call.rows;
    call.out_given = &call.out;
    call.codes_given = &call.codes;
    call.signs_given = &call.signs;
    call.norms = call.c.norms;
    call.residual_norms = call.c.residual_norms;
    call.dots_given = call.dots;
    for (size_t i = 0; i < ROWS * DIM; i++) {
        call.x[i] = (float)i - 4.0f;
    }
    const quash_array rows = call.rows;
    CHECK_EQ(quash_product_encode(product, &rows, &call.codes, &call.signs, call.norms,
                                  call.residual_norms),
             QUASH_OK);
    for (size_t i = 0; i < ROWS; i++) {
        call.dots[i] = 7.0f;
    }
}

static quash_status encode(void) {
    return quash_product_encode(product, call.rows_given, call.codes_given, call.signs_given,
                                call.norms, call.residual_norms);
}

static quash_status dot(void) {
    return quash_product_dot(product, call.codes_given, call.signs_given, call.norms,
                             call.residual_norms, call.rows_given, call.dots_given);
}

static quash_status rotate(void) {
    return quash_product_rotate(product, 0, call.rows_given, call.out_given);
}

/* Each failing call leaves everything but its bad argument as it was. */
static void check_fails(quash_status (*function)(void), const char *message, int line) {
    const struct test_codes kept = test_codes_new(ROWS, DIM);
    memcpy(kept.codes, call.c.codes, ROWS * DIM);
    memcpy(kept.signs, call.c.signs, ROWS * DIM);
    memcpy(kept.norms, call.c.norms, 2 * ROWS * sizeof(float));
    memcpy(kept.residual_norms, call.c.residual_norms, 2 * ROWS * sizeof(float));
    (void)test_check_fails(function(), QUASH_ERROR_ARGUMENT, message, __FILE__, line, message);
    CHECK(test_codes_equal(&kept, &call.c));
    for (size_t i = 0; i < ROWS; i++) {
        CHECK(call.dots[i] == 7.0f);
    }
    test_codes_free(&kept);
}

#define BAD(function, change, message)                                                             \
    do {                                                                                           \
        make_good();                                                                               \
        change;                                                                                    \
        check_fails(function, message, __LINE__);                                                  \
    } while (0)

TEST(encode_arguments) {
    make_good();
    check_bad_inputs(encode, &call.rows, &call.rows_given, "rows");
    make_good();
    check_bad_bytes(encode, &call.codes, &call.codes_given, "codes", true);
    make_good();
    check_bad_bytes(encode, &call.signs, &call.signs_given, "signs", true);
    BAD(encode, call.norms = NULL, "norms is NULL");
    BAD(encode, call.x[2 * DIM + 5] = NAN, "rows: NaN or infinity in row 2, column 5");
    BAD(encode, call.x[0] = INFINITY, "rows: NaN or infinity in row 0, column 0");
    make_good();
    call.residual_norms = NULL;
    CHECK_EQ(encode(), QUASH_OK);
}

/* The norm is known when the row is encoded. */
TEST(norms_beyond_binary32) {
    make_good();
    for (size_t i = DIM; i < 2 * DIM; i++) {
        call.x[i] = 3e38f;
    }
    CHECK_FAILS(encode(), QUASH_ERROR_ARGUMENT, "rows: the norm of row 1 exceeds binary32");
    call.x[0] = 3e38f;
    call.x[1] = 3e38f;
    CHECK_FAILS(encode(), QUASH_ERROR_ARGUMENT, "rows: the norm of row 0 exceeds binary32");
}

TEST(dot_arguments) {
    make_good();
    check_bad_inputs(dot, &call.rows, &call.rows_given, "queries");
    make_good();
    check_bad_bytes(dot, &call.codes, &call.codes_given, "codes", false);
    make_good();
    check_bad_bytes(dot, &call.signs, &call.signs_given, "signs", false);
    BAD(dot, call.x[DIM + 3] = -INFINITY, "queries: NaN or infinity in row 1, column 3");
    BAD(dot, call.c.codes[2 * DIM + 1] = 4, "codes: 4 in row 2, column 1, expected below 4");
    BAD(dot, call.c.codes[DIM] = 255, "codes: 255 in row 1, column 0, expected below 4");
    BAD(dot, call.norms = NULL, "norms is NULL");
    BAD(dot, call.norms[1] = -1.0f, "norms: -1 at position 1, expected 0 or more");
    BAD(dot, call.norms[2] = INFINITY, "norms: inf at position 2, expected 0 or more");
    BAD(dot, call.norms[0] = NAN, "norms: nan at position 0, expected 0 or more");
    BAD(dot, call.residual_norms[2] = -0.5f,
        "residual_norms: -0.5 at position 2, expected 0 or more");
    BAD(dot, call.residual_norms[0] = NAN, "residual_norms: nan at position 0, expected 0 or more");
    BAD(dot, call.dots_given = NULL, "dots is NULL");
    make_good();
    call.residual_norms = NULL;
    call.norms[0] = -0.0f; /* counts as 0 */
    CHECK_EQ(dot(), QUASH_OK);
}

/* product.h: queries are floating point. */
TEST(dot_refuses_integer_queries) {
    static int8_t bytes[ROWS * DIM];
    make_good();
    call.rows = quash_array_view(bytes, QUASH_I8, 2, ROWS, DIM, 0);
    check_fails(dot, "queries has an integer dtype, expected F32, F16 or BF16", __LINE__);
}

/* At 1 bit there are no levels: every code is 0. */
TEST(codes_of_one_bit) {
    quash_product *const one = test_product(context, DIM, 1, 1);
    make_good();
    CHECK_EQ(quash_product_encode(one, &call.rows, &call.codes, &call.signs, call.norms,
                                  call.residual_norms),
             QUASH_OK);
    call.c.codes[DIM + 2] = 1;
    CHECK_FAILS(
        quash_product_dot(one, &call.codes, &call.signs, call.norms, NULL, &call.rows, call.dots),
        QUASH_ERROR_ARGUMENT, "codes: 1 in row 1, column 2, expected below 1");
    quash_product_free(one);
}

TEST(rotate_arguments) {
    make_good();
    check_bad_inputs(rotate, &call.rows, &call.rows_given, "rows");
    make_good();
    check_bad_outputs(rotate, &call.out, &call.out_given, "out");
    BAD(rotate, call.x[DIM - 1] = NAN, "rows: NaN or infinity in row 0, column 5");
}

/* No rows need no memory of the caller. */
TEST(empty_calls) {
    make_good();
    const quash_array none = quash_array_view(NULL, QUASH_F32, 2, 0, DIM, 0);
    const quash_array no_bytes = quash_array_view(NULL, QUASH_U8, 2, 0, DIM, 0);
    CHECK_EQ(quash_product_encode(product, &none, &no_bytes, &no_bytes, NULL, NULL), QUASH_OK);
    CHECK_EQ(quash_product_dot(product, &no_bytes, &no_bytes, NULL, NULL, &none, NULL), QUASH_OK);
    CHECK_EQ(quash_product_rotate(product, 1, &none, &none), QUASH_OK);
}

int main(void) {
    context = test_context(NULL);
    product = test_product(context, DIM, 3, 1);
    call.c = test_codes_new(ROWS, DIM);
    RUN(create);
    RUN(encode_arguments);
    RUN(norms_beyond_binary32);
    RUN(dot_arguments);
    RUN(dot_refuses_integer_queries);
    RUN(codes_of_one_bit);
    RUN(rotate_arguments);
    RUN(empty_calls);
    test_codes_free(&call.c);
    quash_product_free(product);
    quash_context_free(context);
    return test_report();
}
