/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that every misuse of the index is refused with the right status and exactly the promised
 * message, and that nothing is written then. */
#include "index_support.h"

#define DIM 4

/* ---- Create ------------------------------------------------------------------------------ */

static void check_create_fails(quash_context *context, const quash_index_params *params,
                               const char *message) {
    quash_index *const untouched = (quash_index *)(void *)&context;
    quash_index *index = untouched;
    CHECK_FAILS(quash_index_create(&index, context, params), QUASH_ERROR_ARGUMENT, message);
    CHECK(index == untouched);
}

TEST(create_refuses_missing_pointers) {
    quash_context *const context = test_context(NULL);
    quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
    quash_index *index = NULL;
    CHECK_FAILS(quash_index_create(NULL, context, &params), QUASH_ERROR_ARGUMENT, "out is NULL");
    CHECK_FAILS(quash_index_create(&index, NULL, &params), QUASH_ERROR_ARGUMENT, "context is NULL");
    CHECK_FAILS(quash_index_create(&index, context, NULL), QUASH_ERROR_ARGUMENT, "params is NULL");
    CHECK(index == NULL);
    quash_index_free(NULL);
    quash_context_free(context);
}

TEST(create_refuses_a_wrong_struct_size) {
    quash_context *const context = test_context(NULL);
    quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
    char message[100];
    static const uint32_t sizes[] = { 0, sizeof params - 1, sizeof params + 8 };
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        params.struct_size = sizes[i];
        (void)snprintf(message, sizeof message, "params: struct_size is %u, expected %zu",
                       (unsigned)sizes[i], sizeof params);
        check_create_fails(context, &params, message);
    }
    quash_context_free(context);
}

TEST(create_refuses_fields_out_of_range) {
    static const struct {
        size_t offset;
        int32_t value;
        const char *message;
    } cases[] = {
        { offsetof(quash_index_params, dim), 0, "dim is 0, expected 1..16384" },
        { offsetof(quash_index_params, dim), -5, "dim is -5, expected 1..16384" },
        { offsetof(quash_index_params, dim), 16385, "dim is 16385, expected 1..16384" },
        { offsetof(quash_index_params, bits), 0, "bits is 0, expected 1..4" },
        { offsetof(quash_index_params, bits), 5, "bits is 5, expected 1..4" },
        { offsetof(quash_index_params, metric), -1, "metric is -1, expected 0..2" },
        { offsetof(quash_index_params, metric), 3, "metric is 3, expected 0..2" },
        { offsetof(quash_index_params, search_level), -1, "search_level is -1, expected 0..2" },
        { offsetof(quash_index_params, search_level), 3, "search_level is 3, expected 0..2" },
        { offsetof(quash_index_params, centre_rows), 0, "centre_rows is 0, expected 1..1048576" },
        { offsetof(quash_index_params, centre_rows), 1048577,
          "centre_rows is 1048577, expected 1..1048576" },
    };
    quash_context *const context = test_context(NULL);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
        memcpy((char *)&params + cases[i].offset, &cases[i].value, sizeof cases[i].value);
        check_create_fails(context, &params, cases[i].message);
    }
    quash_context_free(context);
}

TEST(create_refuses_a_centre_that_is_not_finite) {
    quash_context *const context = test_context(NULL);
    quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
    float centre[DIM] = { 0.0f, 1.0f, NAN, INFINITY };
    params.centre = centre;
    check_create_fails(context, &params, "centre: NaN or infinity in column 2");
    centre[2] = 0.0f;
    check_create_fails(context, &params, "centre: NaN or infinity in column 3");
    centre[3] = 0.0f;
    params.centre_rows = -9; /* ignored when a centre is given */
    quash_index *const index = test_index(context, &params);
    quash_index_free(index);
    quash_context_free(context);
}

/* ---- Rows and queries -------------------------------------------------------------------- */

/* Every way in which a matrix can be malformed; the message starts with the argument's name. */
struct bad_array {
    quash_array array;
    const char *message;
};

#define BAD_ARRAYS 13

static void make_bad_arrays(const float *data, struct bad_array bad[BAD_ARRAYS]) {
    static const char *const messages[BAD_ARRAYS] = {
        "has dtype -1, which is no quash_dtype",
        "has dtype 5, which is no quash_dtype",
        "has 1 dimensions, expected 2",
        "has 3 dimensions, expected 2",
        "has 0 dimensions, expected 2",
        "has size 3 in dimension 1, expected 4",
        "has size 5 in dimension 1, expected 4",
        "has size -1 in dimension 0",
        "has more elements than memory can hold",
        "has a NULL data pointer",
        "has stride 2 in its last dimension, expected 1",
        "has stride -1 in its last dimension, expected 1",
        "has stride 4611686018427387904 in dimension 0",
    };
    for (size_t i = 0; i < BAD_ARRAYS; i++) {
        bad[i] = (struct bad_array){ test_matrix(data, 2, DIM), messages[i] };
    }
    bad[0].array.dtype = -1;
    bad[1].array.dtype = 5;
    bad[2].array = quash_array_view(data, QUASH_F32, 1, DIM, 0, 0);
    bad[3].array = quash_array_view(data, QUASH_F32, 3, 1, 2, DIM);
    bad[4].array.ndim = 0;
    bad[5].array.shape[1] = DIM - 1;
    bad[6].array.shape[1] = DIM + 1;
    bad[7].array.shape[0] = -1;
    bad[8].array.shape[0] = INT64_MAX / 4;
    bad[9].array.data = NULL;
    bad[10].array.stride[1] = 2;
    bad[11].array.stride[1] = -1;
    bad[12].array.stride[0] = INT64_C(1) << 62;
}

static bool add_fails(quash_index *index, const quash_array *rows, const char *message) {
    const int64_t count = quash_index_count(index);
    const int64_t total = quash_index_get_bytes(index).total;
    const bool ok = CHECK_FAILS(quash_index_add(index, rows), QUASH_ERROR_ARGUMENT, message);
    return CHECK(quash_index_count(index) == count &&
                 quash_index_get_bytes(index).total == total) &&
           ok;
}

static bool search_fails(const quash_index *index, const quash_array *queries, int64_t k,
                         const char *message) {
    float scores[32];
    int64_t ids[32];
    memset(scores, 0x11, sizeof scores);
    memset(ids, 0x11, sizeof ids);
    bool ok = CHECK_FAILS(quash_index_search(index, queries, k, scores, ids), QUASH_ERROR_ARGUMENT,
                          message);
    for (size_t i = 0; i < sizeof ids; i++) {
        ok = ok && ((const unsigned char *)ids)[i] == 0x11 &&
             (i >= sizeof scores || ((const unsigned char *)scores)[i] == 0x11);
    }
    return CHECK(ok);
}

static void fill(float *data, size_t size) {
    struct test_rng rng = test_rng_start(3);
    test_fill_gaussian(&rng, data, size);
}

TEST(add_and_search_refuse_malformed_arrays) {
    quash_context *const context = test_context(NULL);
    const quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
    quash_index *const index = test_index(context, &params);
    float data[2 * DIM];
    fill(data, COUNT_OF(data));
    struct bad_array bad[BAD_ARRAYS];
    make_bad_arrays(data, bad);
    char message[120];
    CHECK(add_fails(index, NULL, "rows is NULL"));
    CHECK(search_fails(index, NULL, 1, "queries is NULL"));
    for (size_t i = 0; i < BAD_ARRAYS; i++) {
        (void)snprintf(message, sizeof message, "rows %s", bad[i].message);
        CHECK(add_fails(index, &bad[i].array, message));
        (void)snprintf(message, sizeof message, "queries %s", bad[i].message);
        CHECK(search_fails(index, &bad[i].array, 1, message));
    }
    quash_index_free(index);
    quash_context_free(context);
}

/* Raw and coded indexes: the first bad element of the first bad row is named. */
TEST(add_and_search_name_what_is_not_finite) {
    static const uint16_t half_nan = 0x7E00;
    quash_context *const context = test_context(NULL);
    for (int32_t centre_rows = 1; centre_rows <= 1000; centre_rows += 999) {
        quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_L2);
        params.centre_rows = centre_rows;
        quash_index *const index = test_index(context, &params);
        float data[100 * DIM];
        fill(data, COUNT_OF(data));
        test_add(index, data, 3, DIM);
        data[99 * DIM] = NAN;
        data[7 * DIM + 3] = -INFINITY;
        data[7 * DIM + 1] = INFINITY;
        const quash_array array = test_matrix(data, 100, DIM);
        CHECK(add_fails(index, &array, "rows: NaN or infinity in row 7, column 1"));
        CHECK(search_fails(index, &array, 1, "queries: NaN or infinity in row 7, column 1"));
        uint16_t halves[2 * DIM] = { 0 };
        halves[DIM + 2] = half_nan;
        const quash_array half = quash_array_view(halves, QUASH_F16, 2, 2, DIM, 0);
        CHECK(add_fails(index, &half, "rows: NaN or infinity in row 1, column 2"));
        halves[DIM + 2] = 0xFF80; /* -infinity as BF16 */
        const quash_array brain = quash_array_view(halves, QUASH_BF16, 2, 2, DIM, 0);
        CHECK(search_fails(index, &brain, 1, "queries: NaN or infinity in row 1, column 2"));
        quash_index_free(index);
    }
    quash_context_free(context);
}

TEST(cosine_refuses_zero_rows_and_queries) {
    int32_t workers = 3;
    const quash_runner runner = test_threads(&workers);
    quash_context *const context = test_context(&runner);
    for (int32_t centre_rows = 1; centre_rows <= 1000; centre_rows += 999) {
        quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_COSINE);
        params.centre_rows = centre_rows;
        quash_index *const index = test_index(context, &params);
        float data[300 * DIM];
        fill(data, COUNT_OF(data));
        test_add(index, data, 3, DIM);
        memset(data + 290 * DIM, 0, DIM * sizeof *data);
        memset(data + 150 * DIM, 0, DIM * sizeof *data);
        data[150 * DIM] = -0.0f;
        const quash_array array = test_matrix(data, 300, DIM);
        CHECK(add_fails(index, &array, "rows: row 150 is zero and has no cosine"));
        CHECK(search_fails(index, &array, 1, "queries: row 150 is zero and has no cosine"));
        quash_index_free(index);
    }
    quash_context_free(context);
}

/* Raw and coded rows alike. */
TEST(add_names_a_row_that_binary32_cannot_score) {
    quash_context *const context = test_context(NULL);
    quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_L2);
    params.centre_rows = 3;
    quash_index *const index = test_index(context, &params);
    float data[20 * DIM];
    fill(data, COUNT_OF(data));
    test_add(index, data, 3, DIM);
    data[15 * DIM] = 3e38f;
    data[5 * DIM + 1] = 1e30f;
    const quash_array array = test_matrix(data, 20, DIM);
    CHECK(add_fails(index, &array, "rows: row 5 is longer than 2^60"));
    quash_index_free(index);
    quash_context_free(context);
}

TEST(search_refuses_bad_k_and_missing_outputs) {
    quash_context *const context = test_context(NULL);
    const quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_IP);
    quash_index *const index = test_index(context, &params);
    float data[2 * DIM];
    fill(data, COUNT_OF(data));
    const quash_array queries = test_matrix(data, 2, DIM);
    float scores[2];
    int64_t ids[2];
    CHECK(search_fails(index, &queries, 0, "k is 0, expected 1 or more"));
    CHECK(search_fails(index, &queries, -3, "k is -3, expected 1 or more"));
    CHECK(
        search_fails(index, &queries, INT64_MIN, "k is -9223372036854775808, expected 1 or more"));
    CHECK(search_fails(index, &queries, INT64_MAX,
                       "k is 9223372036854775807: 2 queries times k exceed memory"));
    CHECK(search_fails(index, &queries, INT64_C(1) << 59,
                       "k is 576460752303423488: 2 queries times k exceed memory"));
    CHECK_FAILS(quash_index_search(index, &queries, 1, NULL, ids), QUASH_ERROR_ARGUMENT,
                "scores is NULL");
    CHECK_FAILS(quash_index_search(index, &queries, 1, scores, NULL), QUASH_ERROR_ARGUMENT,
                "ids is NULL");
    quash_index_free(index);
    quash_context_free(context);
}

/* Nothing to do is no error, whatever the other arguments. */
TEST(no_rows_and_no_queries_are_fine) {
    quash_context *const context = test_context(NULL);
    const quash_index_params params = test_index_params(DIM, 4, QUASH_METRIC_COSINE);
    quash_index *const index = test_index(context, &params);
    const quash_array none = test_matrix(NULL, 0, DIM);
    CHECK_EQ(quash_index_add(index, &none), QUASH_OK);
    CHECK_EQ(quash_index_count(index), 0);
    CHECK_EQ(quash_index_search(index, &none, 5, NULL, NULL), QUASH_OK);
    quash_index_free(index);
    quash_context_free(context);
}

int main(void) {
    RUN(create_refuses_missing_pointers);
    RUN(create_refuses_a_wrong_struct_size);
    RUN(create_refuses_fields_out_of_range);
    RUN(create_refuses_a_centre_that_is_not_finite);
    RUN(add_and_search_refuse_malformed_arrays);
    RUN(add_and_search_name_what_is_not_finite);
    RUN(cosine_refuses_zero_rows_and_queries);
    RUN(add_names_a_row_that_binary32_cannot_score);
    RUN(search_refuses_bad_k_and_missing_outputs);
    RUN(no_rows_and_no_queries_are_fine);
    return test_report();
}
