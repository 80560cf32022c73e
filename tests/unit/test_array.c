/* SPDX-License-Identifier: Apache-2.0 */
/* Proves the validation of array views: what quash_array_view builds, every rule that an input must
 * keep with its message, that outputs must not overlap themselves, and the addresses of rows. */
#include "support.h"

#include "base/array.h"

static float memory[4096];
static const int64_t any[3] = { -1, -1, -1 };

static quash_array matrix(int64_t rows, int64_t columns) {
    return quash_array_view(memory, QUASH_F32, 2, rows, columns, 0);
}

TEST(view_is_row_major) {
    quash_array a = quash_array_view(memory, QUASH_F16, 3, 2, 5, 7);
    CHECK(a.data == memory);
    CHECK_EQ(a.dtype, QUASH_F16);
    CHECK_EQ(a.ndim, 3);
    CHECK_EQ(a.shape[0], 2);
    CHECK_EQ(a.shape[1], 5);
    CHECK_EQ(a.shape[2], 7);
    CHECK_EQ(a.shape[3], 1);
    CHECK_EQ(a.stride[0], 35);
    CHECK_EQ(a.stride[1], 7);
    CHECK_EQ(a.stride[2], 1);
    a = quash_array_view(memory, QUASH_U8, 1, 9, 100, 100);
    CHECK_EQ(a.shape[0], 9);
    CHECK_EQ(a.shape[1], 1);
    CHECK_EQ(a.stride[0], 1);
    a = quash_array_view(memory, QUASH_F32, 2, 3, 0, 0);
    CHECK_EQ(a.stride[0], 1);
    CHECK_EQ(quash_array_check(&a, "a", QUASH_FLOATS, 2, any), QUASH_OK);
}

TEST(rows_are_where_the_strides_say) {
    quash_array a = quash_array_view(memory, QUASH_F16, 3, 2, 5, 7);
    unsigned char *const start = (unsigned char *)memory;
    CHECK(quash_array_row(&a, 1, 3) == start + 2 * (35 + 21));
    a.stride[0] = 100;
    a.stride[1] = 8;
    CHECK(quash_array_row(&a, 1, 3) == start + 2 * 124);
    a = matrix(10, 10);
    CHECK(quash_array_row(&a, 4, 99) == start + 4 * 40);
    a.data = start + 4 * 40;
    a.stride[0] = -10;
    CHECK(quash_array_row(&a, 4, 0) == start);
    CHECK_EQ(quash_dtype_bytes(QUASH_F32), 4);
    CHECK_EQ(quash_dtype_bytes(QUASH_F16), 2);
    CHECK_EQ(quash_dtype_bytes(QUASH_BF16), 2);
    CHECK_EQ(quash_dtype_bytes(QUASH_I8), 1);
    CHECK_EQ(quash_dtype_bytes(QUASH_U8), 1);
}

static void check_input(const quash_array *a, const char *message) {
    if (message == NULL) {
        CHECK_EQ(quash_array_check(a, "x", QUASH_ANY_DTYPE, 2, any), QUASH_OK);
    } else {
        CHECK_FAILS(quash_array_check(a, "x", QUASH_ANY_DTYPE, 2, any), QUASH_ERROR_ARGUMENT,
                    message);
    }
}

TEST(inputs_are_checked) {
    quash_array a = matrix(4, 8);
    check_input(&a, NULL);
    check_input(NULL, "x is NULL");

    a.dtype = -1;
    check_input(&a, "x has dtype -1, which is no quash_dtype");
    a.dtype = 5;
    check_input(&a, "x has dtype 5, which is no quash_dtype");
    for (int32_t dtype = QUASH_F32; dtype <= QUASH_U8; dtype++) {
        a.dtype = dtype;
        check_input(&a, NULL);
        const quash_status status = quash_array_check(&a, "x", QUASH_FLOATS, 2, any);
        CHECK_EQ(status, dtype <= QUASH_BF16 ? QUASH_OK : QUASH_ERROR_ARGUMENT);
        if (status != QUASH_OK) {
            CHECK(strcmp(quash_last_message(),
                         "x has an integer dtype, expected F32, F16 or BF16") == 0);
        }
    }

    static const int32_t wrong_ndims[] = { INT32_MIN, -1, 0, 1, 3, 4, 5, INT32_MAX };
    for (size_t i = 0; i < COUNT_OF(wrong_ndims); i++) {
        char message[64];
        (void)snprintf(message, sizeof message, "x has %d dimensions, expected 2",
                       (int)wrong_ndims[i]);
        a = matrix(4, 8);
        a.ndim = wrong_ndims[i];
        check_input(&a, message);
    }

    a = matrix(4, 8);
    a.shape[0] = -1;
    check_input(&a, "x has size -1 in dimension 0");
    a = matrix(4, 8);
    a.shape[1] = INT64_MIN;
    check_input(&a, "x has size -9223372036854775808 in dimension 1");
    a = matrix(4, 8);
    a.data = NULL;
    check_input(&a, "x has a NULL data pointer");
    a.shape[0] = 0;
    check_input(&a, NULL); /* without elements */
}

TEST(sizes_and_strides_are_bounded) {
    quash_array a = matrix(INT64_MAX / 16, 1);
    check_input(&a, NULL);
    a = matrix(INT64_MAX / 4, 2);
    check_input(&a, "x has more elements than memory can hold");
    a = matrix(INT64_MAX, 1);
    check_input(&a, "x has more elements than memory can hold");
    a = matrix(INT64_MAX, 0); /* a zero does not hide a size that is out of range */
    check_input(&a, "x has more elements than memory can hold");

    a = matrix(4, 8);
    a.stride[0] = INT64_MAX / 64;
    check_input(&a, NULL);
    a.stride[0] = INT64_MAX / 64 + 1;
    check_input(&a, "x has stride 144115188075855872 in dimension 0");
    a.stride[0] = INT64_MIN;
    check_input(&a, "x has stride -9223372036854775808 in dimension 0");
    a.stride[0] = -8;
    check_input(&a, NULL);
    a.stride[0] = 0;
    check_input(&a, NULL);
    a.stride[0] = 3; /* rows of an input may overlap */
    check_input(&a, NULL);
    a = matrix(4, 8);
    a.stride[1] = 2;
    check_input(&a, "x has stride 2 in its last dimension, expected 1");
    a.stride[1] = 0;
    check_input(&a, "x has stride 0 in its last dimension, expected 1");
    a.stride[1] = -1;
    check_input(&a, "x has stride -1 in its last dimension, expected 1");
    a.shape[1] = 1; /* of size 1: any stride */
    check_input(&a, NULL);
}

TEST(expected_sizes_are_compared) {
    static const int64_t expected[2] = { -1, 8 };
    quash_array a = matrix(4, 8);
    CHECK_EQ(quash_array_check(&a, "x", QUASH_FLOATS, 2, expected), QUASH_OK);
    a = matrix(4, 7);
    CHECK_FAILS(quash_array_check(&a, "x", QUASH_FLOATS, 2, expected), QUASH_ERROR_ARGUMENT,
                "x has size 7 in dimension 1, expected 8");
    a.shape[1] = -8;
    CHECK_FAILS(quash_array_check(&a, "x", QUASH_FLOATS, 2, expected), QUASH_ERROR_ARGUMENT,
                "x has size -8 in dimension 1, expected 8");
}

static bool is_output(const quash_array *a, int32_t ndim) {
    return quash_array_check_output(a, "x", ndim, any) == QUASH_OK;
}

TEST(outputs_must_not_overlap) {
    quash_array a = matrix(4, 8);
    CHECK(is_output(&a, 2));
    a.stride[0] = 0;
    CHECK_FAILS(quash_array_check_output(&a, "x", 2, any), QUASH_ERROR_ARGUMENT,
                "x has strides by which its elements overlap");
    a.stride[0] = 7;
    CHECK(!is_output(&a, 2));
    a.stride[0] = -7;
    CHECK(!is_output(&a, 2));
    a.stride[0] = -8;
    CHECK(is_output(&a, 2));
    a.stride[0] = 1000;
    CHECK(is_output(&a, 2));
    a.shape[0] = 1; /* a single row cannot overlap */
    a.stride[0] = 0;
    CHECK(is_output(&a, 2));
    a = matrix(0, 8);
    a.stride[0] = 0;
    CHECK(is_output(&a, 2));
    a = quash_array_view(memory, QUASH_I8, 2, 4, 8, 0);
    CHECK_FAILS(quash_array_check_output(&a, "x", 2, any), QUASH_ERROR_ARGUMENT,
                "x has an integer dtype, expected F32, F16 or BF16");

    a = quash_array_view(memory, QUASH_F32, 3, 3, 4, 5);
    CHECK(is_output(&a, 3));
    a.stride[0] = 5; /* transposed: (tokens, heads, dims) memory seen as (heads, tokens, dims) */
    a.stride[1] = 15;
    CHECK(is_output(&a, 3));
    a.stride[1] = 14;
    CHECK(!is_output(&a, 3));
    a.stride[0] = 20;
    a.stride[1] = -5;
    CHECK(is_output(&a, 3));
    a.stride[0] = 19;
    CHECK(!is_output(&a, 3));
}

int main(void) {
    RUN(view_is_row_major);
    RUN(rows_are_where_the_strides_say);
    RUN(inputs_are_checked);
    RUN(sizes_and_strides_are_bounded);
    RUN(expected_sizes_are_compared);
    RUN(outputs_must_not_overlap);
    return test_report();
}
